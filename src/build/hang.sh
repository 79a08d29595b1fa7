# Liveness of PostgreSQL: fails only for a postmaster that lives and does not answer at all.
# One that refuses connections because it starts, recovers from a crash or shuts down is alive (pg_isready: 1).
pg_isready -h "$1" -p "$2" -t 3 -q
[ $? -eq 2 ] || exit 0
# Without a postmaster there is nothing to end: the pooler starts PostgreSQL.
read -r pid 2>/dev/null <"$3/postmaster.pid" || exit 0
# The process of a single-user mode has a negative number.
case $pid in '' | *[!0-9]*) exit 0 ;; esac
while read -r key value _; do
  case $key in Name:) name=$value ;; State:) state=$value ;; esac
done 2>/dev/null <"/proc/$pid/status"
[ "$name" = postgres ] && [ "$state" != Z ] || exit 0
exit 1
