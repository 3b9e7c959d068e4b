#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The first process of a guest. Its root is this machine's, read-only. The
# directory that this file lies in is the guest's only way to write: the lab
# left guest.conf and the command there, and reads what the command says and
# its exit status from there.

G=${0%/*}
. "$G/guest.conf"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t devpts -o mode=0620,ptmxmode=0666 devpts /dev/pts
mount -t tmpfs -o mode=0755 run /run
mkdir /run/host /run/lock
mount --bind / /run/host
mount -t tmpfs -o mode=1777 tmp /tmp

# What the fresh /tmp hides and the command needs: the checkout, a build, the
# caller's directory.
for dir in $GUEST_VISIBLE; do
	if [ ! -e "$dir" ]; then
		mkdir -p "$dir"
		mount --bind "/run/host$dir" "$dir"
	fi
done

if [ "$GUEST_KIND" = qemu ]; then
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none,access=any guest "$G"
	echo 64 >/proc/sys/vm/nr_hugepages
else
	mount -t hostfs -o "$G" none "$G"
fi
ip link set lo up 2>/dev/null
echo lab >/proc/sys/kernel/hostname

status()
{
	echo "$1" >"$G/status.new"
	mv "$G/status.new" "$G/status"
}

(
	while :; do
		: >"$G/alive"
		sleep 5
	done
) &

if [ -n "$GUEST_MODULE" ]; then
	# Parameters are words of their own.
	# shellcheck disable=SC2086
	if ! eval insmod "$GUEST_MODULE" "$GUEST_PARAMS" 2>"$G/insmod"; then
		status insmod
		exec "$GUEST_POWEROFF"
	fi
fi

cd "$GUEST_CWD" || cd /
. "$G/environment"
if [ -n "$GUEST_TTY" ]; then
	setsid -c sh "$G/command" <"$GUEST_TTY" >"$GUEST_TTY" 2>&1
else
	sh "$G/command" </dev/null >"$G/stdout" 2>"$G/stderr"
fi
status $?
exec "$GUEST_POWEROFF"
