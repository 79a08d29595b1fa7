# Turns new mount, network and process namespaces into a machine of their own, and stays as their process 1.
#
# $1 is the directory in which the machine keeps everything, $2 its address. Nothing done here can be seen from outside,
# and all of it is gone as soon as process 1 is.
set -eu
state=$1 address=$2

# Still the process table of outside, which says what number this process has there.
read -r pid rest </proc/self/stat
mount -t proc proc /proc
# Kubelets refuse to work where mounts do not reach the containers.
mount --make-rshared /

# What programs write to fixed places. It must not get among what the machine outside keeps there.
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/log
mkdir -p /run/lib/upper /run/lib/work /var/log/pods "$state/logs/pods"
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/lib/upper,workdir=/run/lib/work overlay /var/lib
mount --bind "$state/logs/pods" /var/log/pods

# A kubelet insists on changing these, and they are not of a namespace but of the kernel.
mkdir /run/sysctl
for parameter in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
    kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    shadow=/run/sysctl/$(basename "$parameter")
    cat "/proc/sys/$parameter" >"$shadow"
    mount --bind "$shadow" "/proc/sys/$parameter"
done

# The names of Services are known to every program in here.
resolver=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$resolver")"
[ -e "$resolver" ] || : >"$resolver"
mount --bind "$state/config/resolv.conf" "$resolver"

# A node needs an interface that is not the loopback one; where it leads does not matter.
ip link set lo up
ip link add node0 type veth peer name node0-peer
ip link set node0-peer up
ip address add "$address/24" dev node0
ip link set node0 up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward

echo "$pid" >"$state/namespaces.pid.unfinished"
mv "$state/namespaces.pid.unfinished" "$state/namespaces.pid"
# Something has to bury the orphans.
exec catatonit -P
