#!/bin/sh
# PostgreSQL's restore_command: fetches the file $1 from the archive to $2.
#
# A primary that is replaced while it still runs archives log that nobody follows: what it wrote after the next timeline
# had left its own. PostgreSQL looks for a segment on each timeline of its history, the newest first. As long as the
# segment in which that one begins is not archived, it would take the former primary's for it, and be no copy of the new
# primary any more. So a segment ends here where the next timeline begins, as the new primary's own copy of it does, and
# PostgreSQL has the rest from the primary.
set -eu

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
