#!/bin/sh
# PostgreSQL's restore_command: fetches the file $1 from the archive to $2.
#
# A primary that is replaced while it still runs archives log that nobody follows: what it wrote after the next timeline
# had left its own. PostgreSQL looks for a segment on each timeline of its history, the newest first. As long as the
# segment in which that one begins is not archived, it would take the former primary's for it, and be no copy of the new
# primary any more. So a segment ends here where the next timeline begins, as the new primary's own copy of it does, and
# PostgreSQL has the rest from the primary.
#
# An instance that has promised its shard not to follow an older term (the file PROMISE) is a member of the cohort. Its
# copy counts, so only the primary it is told to follow may change it. The archive could lead it elsewhere: a history
# makes PostgreSQL refuse to start where its own log goes beyond the fork, and segments that a former primary still
# archives would put it ahead of the next one. A member takes
# - no history, because streaming brings the histories of its primary's timeline, except when it is about to lead: it
#   numbers its own timeline after the newest one that it knows, and two timelines of one number cannot be told apart;
# - no segment while no primary is configured.
# An instance that is being restored from a backup takes everything until it is consistent.
set -eu

# The pooler's record of what it has promised, from PostgreSQL's directory, where this script is run.
PROMISE=../consensus_term.json

# Bytes of a segment.
SIZE=16777216

# A position in the log, in bytes, whose halves are hexadecimal.
position() {
    echo $((0x$1 * 4294967296 + 0x$2))
}

# Where the newest timeline that PostgreSQL has the history of left the timeline $1, if it did.
left_at() {
    for history in pg_wal/????????.history; do :; done
    [ -f "$history" ] || return 0
    while read -r timeline at _; do
        [ "$timeline" != "$1" ] || position "${at%/*}" "${at#*/}"
    done <"$history"
}

# Whether the pooler has promised to ignore terms below a number.
has_promised() {
    [ -f "$PROMISE" ] || return 1
    while read -r key value || [ -n "$key" ]; do
        case $key$value in
        *\"revokedBelowTerm\":*[1-9]*) return 0 ;;
        esac
    done <"$PROMISE"
    return 1
}

# Whether what was restored from a backup is not consistent yet.
is_restoring() {
    [ ! -f backup_label ] || return 0
    LC_ALL=C pg_controldata . 2>/dev/null | while read -r subject aspect detail position; do
        [ "$subject $aspect $detail" != "Backup start location:" ] || [ "$position" = 0/0 ] || echo restoring
    done | read -r _
}

# Whether a setting has a value. Of several lines for it the last one counts.
is_set() {
    setting=
    while read -r name _ value; do
        [ "$name" != "$1" ] || setting=$value
    done <postgresql.auto.conf
    [ -n "$setting" ] && [ "$setting" != "''" ]
}

# Whether connections are accepted, which the last line of the file says.
is_open() {
    state=
    while read -r line || [ -n "$line" ]; do
        state=$line
    done <postmaster.pid
    [ "$state" = ready ]
}

# Whether the shard promotes this instance now. It has been given standbys to wait for, and follows nobody.
is_about_to_lead() {
    is_open && is_set synchronous_standby_names && ! is_set primary_conninfo
}

leave_out() {
    echo "$1 is left out: $2" >&2
    exit 1
}

fetch() {
    pgbackrest --stanza=multigres --config=/data/pgbackrest/pgbackrest.conf archive-get "$1" "$2"
}

# Fetches a segment, of which so many bytes were written before its timeline was left.
fetch_until() {
    if [ "$3" -le 0 ]; then
        echo "segment $1 is left out: the timeline was left by then" >&2
        exit 1
    fi
    if [ "$3" -ge "$SIZE" ]; then
        fetch "$1" "$2"
        return
    fi
    # The new primary archives what it has of it under this name. Where that is all there is, nobody else has it.
    fetch "$1" "$2" || fetch "$1.partial" "$2"
    echo "segment $1 ends after $3 bytes, where the timeline was left" >&2
    truncate -s "$3" "$2"
    truncate -s "$SIZE" "$2"
}

if has_promised && ! is_restoring; then
    case $1 in
    *.history) is_about_to_lead || leave_out "$1" "a member of the cohort follows its primary only" ;;
    *) is_set primary_conninfo || leave_out "$1" "a member of the cohort has no primary to follow yet" ;;
    esac
fi

# Segments are named by timeline, and by both halves of their number.
case $1 in
????????????????????????)
    number=${1#????????}
    left=$(left_at $((0x${1%"$number"})))
    if [ -n "$left" ]; then
        fetch_until "$1" "$2" $((left - $(position "${number%????????}" "${number#????????}000000")))
        exit
    fi
    ;;
esac
fetch "$1" "$2"
