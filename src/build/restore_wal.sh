#!/bin/sh
# PostgreSQL's restore_command: fetches the file $1 from the archive to $2.
#
# A primary that is replaced while it still runs archives log that nobody follows: what it wrote after the next timeline
# had left its own. PostgreSQL looks for a segment on each timeline of its history, the newest first. As long as the
# segment in which that one begins is not archived, it would take the former primary's for it, and be no copy of the new
# primary any more. Such a segment is left out here, and PostgreSQL has its log from the primary.
set -eu

# The number of a segment of 16 MiB: where the log in it begins, in hexadecimal, before and after the slash.
segment() {
    echo $((0x$1 * 256 + 0x$2 / 16777216))
}

# The segment in which the newest timeline that PostgreSQL has the history of left the timeline $1, if it did.
left_in() {
    for history in pg_wal/????????.history; do :; done
    [ -f "$history" ] || return 0
    while read -r timeline position _; do
        [ "$timeline" != "$1" ] || segment "${position%/*}" "${position#*/}"
    done <"$history"
}

# Segments are named by timeline, and by both halves of their number.
case $1 in
????????????????????????)
    number=${1#????????}
    left=$(left_in $((0x${1%"$number"})))
    if [ -n "$left" ] && [ "$(segment "${number%????????}" "${number#????????}000000")" -ge "$left" ]; then
        echo "segment $1 is left out: the timeline was left by then" >&2
        exit 1
    fi
    ;;
esac
exec pgbackrest --stanza=multigres --config=/data/pgbackrest/pgbackrest.conf archive-get "$1" "$2"
