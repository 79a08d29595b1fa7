# Runs in the root directory of a fresh Debian: makes it what the Multigres images are based on.
set -eu

# The ids of the official images of PostgreSQL; volumes are written under them.
groupmod --gid 999 postgres
usermod --uid 999 --gid 999 postgres
mkdir -p /data /backups
chown 999:999 /data /backups

# pgctld configures every instance with this locale.
localedef --inputfile=en_US --charmap=UTF-8 en_US.UTF-8
for program in /usr/lib/postgresql/17/bin/*; do
    ln -sf "$program" "/usr/bin/$(basename "$program")"
done

# Two thirds of it are of no use to a server.
rm -rf /var/cache/* /var/lib/apt/* /var/lib/dpkg/info/* /var/lib/postgresql/17 /var/log/* /tmp/* \
    /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /usr/share/i18n /usr/share/perl* \
    /usr/lib/*-linux-gnu/libLLVM* /usr/lib/llvm* /usr/lib/*-linux-gnu/libz3* \
    /usr/lib/postgresql/17/lib/bitcode /usr/lib/postgresql/17/lib/llvmjit* \
    /usr/lib/gcc /usr/lib/*-linux-gnu/perl* /usr/lib/*-linux-gnu/gconv
