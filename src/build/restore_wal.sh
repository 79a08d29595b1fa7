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

# The number of the segment in which a position lies, whose halves are hexadecimal.
segment() {
    echo $((0x$1 * 256 + 0x$2 / SIZE))
}

# Where the newest timeline that PostgreSQL has the history of left the timeline $1, if it did.
left_at() {
    for history in pg_wal/????????.history; do :; done
    [ -f "$history" ] || return 0
    while read -r timeline position _; do
        [ "$timeline" != "$1" ] || echo "$position"
    done <"$history"
}

fetch() {
    pgbackrest --stanza=multigres --config=/data/pgbackrest/pgbackrest.conf archive-get "$1" "$2"
}

# Fetches a segment up to a position, if that lies in it or after it.
fetch_until() {
    number=$(segment "$3" "$4")
    begins=${1#????????}
    begins=$(segment "${begins%????????}" "${begins#????????}000000")
    bytes=$((0x$4 % SIZE))
    if [ "$begins" -gt "$number" ] || { [ "$begins" -eq "$number" ] && [ "$bytes" -eq 0 ]; }; then
        echo "segment $1 is left out: the timeline was left by then" >&2
        exit 1
    fi
    if [ "$begins" -lt "$number" ]; then
        fetch "$1" "$2"
    else
        # The new primary archives what it has of it under this name. Where that is all there is, nobody else has it.
        fetch "$1" "$2" || fetch "$1.partial" "$2"
        echo "segment $1 ends at $3/$4, where the timeline was left" >&2
        truncate -s "$bytes" "$2"
        truncate -s "$SIZE" "$2"
    fi
}

# Segments are named by timeline, and by both halves of their number.
case $1 in
????????????????????????)
    position=$(left_at $((0x${1%????????????????})))
    if [ -n "$position" ]; then
        fetch_until "$1" "$2" "${position%/*}" "${position#*/}"
        exit
    fi
    ;;
esac
fetch "$1" "$2"
