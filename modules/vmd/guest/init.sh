#!/bin/sh
# First process of a container guest. Reads the seed disk, sets up the machine,
# and becomes the deployment's entrypoint inside the shared root.
PATH=/bin
export PATH
root=/new_root

say() { echo "gridnode: $*" >/dev/console; }

fail() {
  say "boot failed: $*"
  poweroff -f
  while :; do sleep 60; done
}

# A value as the seed's writer quotes it: double quotes, backslash escapes.
unquote() {
  value=${1#\"}
  value=${value%\"}
  case $value in
    *\\*) value=$(printf '%s' "$value" | sed 's/\\\(["\\]\)/\1/g') ;;
  esac
}

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid dev /dev || fail "no /dev"
exec </dev/console >/dev/console 2>&1

modprobe -a $(cat /etc/boot-modules) || fail "a kernel module did not load"

tag=vroot
read -r arguments </proc/cmdline
for word in $arguments; do
  case $word in
    root=/dev/*) ;;
    root=*) tag=${word#root=} ;;
  esac
done

# The seed is the only read-only disk; a tenant's disk is never taken for it.
find_seed() {
  for block in /sys/block/vd*; do
    read -r readonly <"$block/ro" || continue
    [ "$readonly" = 1 ] || continue
    mount -t vfat -o ro "/dev/${block##*/}" /seed || continue
    [ -f /seed/user-data ] && [ -f /seed/zosrc ] && return 0
    umount /seed
  done
  return 1
}
tries=0
until find_seed; do
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || fail "no seed disk labelled cidata"
  sleep 0.25
done

tries=0
until mount -t virtiofs -o rw "$tag" "$root"; do
  tries=$((tries + 1))
  [ "$tries" -lt 25 ] || fail "the root file system $tag cannot be mounted"
  sleep 1
done

hostname=
while read -r key rest; do
  [ "$key" = local-hostname: ] || continue
  unquote "$rest"
  hostname=$value
done </seed/meta-data
[ -n "$hostname" ] && hostname "$hostname"

mkdir -p "$root/etc" "$root/dev" "$root/proc" "$root/sys" "$root/root"
# A link in the image would lead out of the new root before the switch.
replace() { [ -L "$1" ] && rm -f "$1"; return 0; }

ip link set lo up

# The interface whose hardware address is $1, in `device`.
find_device() {
  for path in /sys/class/net/*; do
    read -r address <"$path/address" || continue
    [ "$address" = "$1" ] || continue
    device=${path##*/}
    return 0
  done
  device=
  say "no interface has the address $1"
  return 1
}

start_device() {
  find_device "$1" || return 0
  ipv4=/proc/sys/net/ipv4/conf/$device
  ipv6=/proc/sys/net/ipv6/conf/$device
  # Announcing the address at once spares the gateway a question.
  echo 1 >"$ipv4/arp_notify"
  if [ -d "$ipv6" ]; then
    echo 0 >"$ipv6/accept_ra"
    echo 0 >"$ipv6/accept_dad"
    echo 1 >"$ipv6/ndisc_notify"
  fi
  ip link set "$device" up || say "interface $device does not come up"
}

# add_route DESTINATION [GATEWAY]
add_route() {
  [ -n "$device" ] || return 0
  family=-4
  case $1$2 in *:*) family=-6 ;; esac
  if [ -z "$2" ]; then
    ip $family route add "$1" dev "$device" || say "no route to $1"
    return 0
  fi
  ip $family route add "$1" via "$2" dev "$device" \
    || ip $family route add "$1" via "$2" dev "$device" onlink \
    || say "no route to $1 via $2"
}

nameservers=
part=
device=
destination=
# A route without a gateway is known by what follows it.
flush_route() {
  [ -n "$destination" ] && add_route "$destination" ""
  destination=
}
while read -r first second third; do
  [ "$first" = via: ] || flush_route
  case $first in
    macaddress:) unquote "$second"; start_device "$value"; part=interface ;;
    nameservers:) part=nameservers ;;
    gateway4: | gateway6:) unquote "$second"; add_route default "$value" ;;
    via:) unquote "$second"; add_route "$destination" "$value"; destination= ;;
    -)
      if [ "$second" = to: ]; then
        unquote "$third"
        destination=$value
      elif [ "$part" = nameservers ]; then
        unquote "$second"
        nameservers="$nameservers$value "
      elif [ -n "$device" ]; then
        unquote "$second"
        ip addr add "$value" dev "$device" || say "no address $value on $device"
      fi
      ;;
  esac
done </seed/network-config
flush_route

if [ -n "$nameservers" ]; then
  replace "$root/etc/resolv.conf"
  for server in $nameservers; do echo "nameserver $server"; done >"$root/etc/resolv.conf"
fi
replace "$root/etc/hosts"
cat >"$root/etc/hosts" <<EOF
127.0.0.1 localhost
127.0.1.1 $hostname
::1 localhost ip6-localhost ip6-loopback
EOF

# mount_at SOURCE TARGET TYPE
mount_at() {
  type=$3
  if [ "$type" = auto ]; then
    type=ext4
    if [ "$(dd if="$1" bs=8 skip=8200 count=1 2>/dev/null)" = _BHRfS_M ]; then
      type=btrfs
      modprobe btrfs
    fi
  fi
  mkdir -p "$root$2"
  mount -t "$type" "$1" "$root$2" || fail "$1 cannot be mounted at $2 as $type"
}

part=
while IFS='"' read -r lead one _ two _ three _; do
  case $lead in
    mounts:*) part=mounts ;;
    users:*) part=users ;;
    *ssh_authorized_keys:*) part=keys ;;
    *'- ['*) [ "$part" = mounts ] && mount_at "$one" "$two" "$three" ;;
  esac
done </seed/user-data

# Keys may hold escaped quotes, so lines are taken whole.
part=
while read -r first rest; do
  case $first in
    ssh_authorized_keys:) part=keys; mkdir -p "$root/root/.ssh"; chmod 700 "$root/root/.ssh" ;;
    -)
      [ "$part" = keys ] || continue
      unquote "$rest"
      printf '%s\n' "$value" >>"$root/root/.ssh/authorized_keys"
      chmod 600 "$root/root/.ssh/authorized_keys"
      ;;
  esac
done </seed/user-data

cp /seed/zosrc /zosrc
umount /seed

mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup

if [ -d "$root/etc/ssh" ] && [ -x "$root/usr/bin/ssh-keygen" ]; then
  [ -e "$root/etc/ssh/ssh_host_ed25519_key" ] || chroot "$root" /usr/bin/ssh-keygen -A
fi

for folder in dev proc sys; do
  mount --move "/$folder" "$root/$folder" || fail "/$folder cannot be moved into the root"
done

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
TERM=${TERM:-linux}
export HOME TERM
init=/sbin/init
set --
# Not inside a function: the file sets this shell's own arguments.
. /zosrc

case $init in
  */*) ;;
  *)
    for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
      if [ -e "$root$folder/$init" ] || [ -L "$root$folder/$init" ]; then
        init=$folder/$init
        break
      fi
    done
    ;;
esac
# Links are followed inside the new root only, after the switch.
if [ ! -x "$root$init" ] && [ ! -L "$root$init" ]; then
  echo "gridnode: boot failed: the entrypoint $init is not an executable file of the image"
  /bin/busybox poweroff -f
fi
exec /bin/busybox switch_root "$root" "$init" "$@"
