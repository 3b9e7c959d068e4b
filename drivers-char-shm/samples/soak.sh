#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Loads, reads, resets, unloads and reloads shm_kernel_sched and kills its
# readers, at random, and looks whether anything is left of it. To be run by root
# where shm_kernel_driver is loaded, with the seconds it takes (60) and the seed of
# an earlier run, if that is to be repeated.
#
# MODULES are the directories of shm_kernel_sched.ko and shm_kernel_ring.ko,
# separated by colons; without it they are loaded by modprobe. READERS are
# commands that read the region "sched" until it goes, separated by semicolons;
# without it that is shm_kernel_sched_user, built by cc if it is not there, and
# shmtool if it is in PATH.

set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
seconds=${1:-60}
seed=${2:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
control=/dev/shm_kernel_driver
stats=/sys/kernel/debug/shm_kernel/stats
number=0
failed=0
loaded=0
readers=
loads=0
unloads=0
starts=0
kills=0
resets=0

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

[ -c "$control" ] || skip_all "no $control: the driver is not loaded"
[ -r "$stats" ] || skip_all "no $stats"

work=$(mktemp -d "${TMPDIR:-/tmp}/soak.XXXXXX" 2>/dev/null) ||
	work=$(mktemp -d /run/soak.XXXXXX) || exit 1

insert()
{
	module=$1
	shift
	IFS=:
	for directory in ${MODULES:-}; do
		unset IFS
		[ -e "$directory/$module.ko" ] || continue
		insmod "$directory/$module.ko" "$@"
		return
	done
	unset IFS
	modprobe "$module" "$@"
}

is_inserted()
{
	[ -d "/sys/module/$1" ]
}

# Whatever happens, nothing of this stays behind.
clean_up()
{
	for pid in $readers; do
		kill -9 "$pid" 2>/dev/null
	done
	is_inserted shm_kernel_sched && rmmod shm_kernel_sched
	[ -n "${ring_was_there:-}" ] || ! is_inserted shm_kernel_ring ||
		rmmod shm_kernel_ring
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

result()
{
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $number - $2"
	[ -n "${3:-}" ] && sed 's/^/# /' "$3"
}

# random N: 0 to N - 1, in $random.
random()
{
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	random=$((seed / 65536 % $1))
}

# pick WORD...: one of them, in $picked.
pick()
{
	random $#
	shift "$random"
	picked=$1
}

if [ -z "${READERS:-}" ]; then
	reader=$here/shm_kernel_sched_user
	if [ ! -x "$reader" ]; then
		reader=$work/shm_kernel_sched_user
		# shellcheck disable=SC2086 # These are several words.
		TMPDIR=$work ${CC:-cc} ${KHDR_INCLUDES:-} -O2 -o "$reader" \
			"$here/shm_kernel_sched_user.c" || skip_all "no reader"
	fi
	READERS="$reader;$reader 1000"
	if command -v shmtool >/dev/null; then
		READERS="$READERS;shmtool ring sched --read --follow --format hex"
		READERS="$READERS;shmtool ring sched;shmtool wait sched;shmtool watch sched"
	fi
fi

load()
{
	[ "$loaded" -eq 0 ] || return
	pick 64 256 4096
	cells=$picked
	pick 0 0 1
	overwrite=$picked
	pick 0 1 10
	if ! insert shm_kernel_sched "cells=$cells" "overwrite=$overwrite" \
	     "delay=$picked" >>"$work/modules" 2>&1; then
		echo "cannot load" >>"$work/modules"
		return
	fi
	loaded=1
	loads=$((loads + 1))
}

unload()
{
	[ "$loaded" -eq 1 ] || return
	if ! rmmod shm_kernel_sched >>"$work/modules" 2>&1; then
		echo "cannot unload" >>"$work/modules"
		return
	fi
	loaded=0
	unloads=$((unloads + 1))
}

# What a reader that ended said; one that crashed or found the ring damaged has
# found a mistake.
reap()
{
	wait "$1" 2>/dev/null
	status=$?
	case $status in
	0 | 1 | 3 | 137) ;;
	*) echo "a reader ended with status $status" >>"$work/readers" ;;
	esac
	grep -as damaged "$work/reader.$1" >>"$work/readers"
	rm -f "$work/reader.$1"
}

start_reader()
{
	count=0
	for pid in $readers; do
		count=$((count + 1))
	done
	[ "$count" -lt 6 ] || return
	IFS=';'
	# shellcheck disable=SC2086 # Split at the semicolons.
	pick $READERS
	unset IFS
	starts=$((starts + 1))
	# shellcheck disable=SC2086 # A command and its arguments.
	sh -c "exec $picked 2>$work/reader.\$\$ >$work/output.$starts" </dev/null &
	readers="$readers $!"
}

# Keeps the files small, and counts what was read.
count_output()
{
	for file in "$work"/output.*; do
		[ -s "$file" ] && echo read >>"$work/read"
		: >"$file"
	done
}

# Forgets those that have ended.
sort_readers()
{
	rest=
	for pid in $readers; do
		if kill -0 "$pid" 2>/dev/null; then
			rest="$rest $pid"
		else
			reap "$pid"
		fi
	done
	readers=$rest
}

kill_reader()
{
	[ -n "$readers" ] || return
	# shellcheck disable=SC2086 # Process ids.
	pick $readers
	kill -9 "$picked" 2>/dev/null && kills=$((kills + 1))
}

reset_region()
{
	[ "$loaded" -eq 1 ] && command -v shmtool >/dev/null || return
	shmtool reset sched >/dev/null 2>"$work/reset" ||
		cat "$work/reset" >>"$work/modules"
	resets=$((resets + 1))
}

is_inserted shm_kernel_ring && ring_was_there=1
if [ -z "${ring_was_there:-}" ]; then
	insert shm_kernel_ring || skip_all "no shm_kernel_ring"
fi
is_inserted shm_kernel_sched && skip_all "shm_kernel_sched is loaded"
: >"$work/modules"
: >"$work/readers"
: >"$work/read"
cat "$stats" >"$work/before"
dmesg >"$work/dmesg.before"

echo "TAP version 13"
echo "# seed $seed"
end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt "$end" ]; do
	random 16
	case $random in
	0 | 1 | 2 | 3) load ;;
	4 | 5 | 6 | 7 | 8) start_reader ;;
	9 | 10) unload ;;
	11) unload; load ;;
	12 | 13) kill_reader ;;
	14) reset_region ;;
	15) sort_readers; count_output ;;
	esac
	pick 0 0 0.01 0.05 0.2
	sleep "$picked"
done
count_output
unload

# Readers see the kernel go and end by themselves; the others are ended here.
sleep 0.5
for pid in $readers; do
	kill -9 "$pid" 2>/dev/null
	reap "$pid"
done
readers=
echo "# $loads loads, $unloads unloads, $starts readers, $kills killed, $resets resets"

[ ! -s "$work/modules" ]
result $? "the module can be loaded, reset and unloaded at any time" "$work/modules"

[ ! -s "$work/readers" ]
result $? "no reader crashed or found damage" "$work/readers"

[ -s "$work/read" ]
result $? "readers read something"

# The last reference of a killed program may go a moment later.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	cat "$stats" >"$work/after"
	cmp -s "$work/before" "$work/after" && break
	sleep 0.1
done
diff "$work/before" "$work/after" >"$work/diff"
result $? "the counters are what they were" "$work/diff"

if command -v shmtool >/dev/null; then
	! shmtool info sched >"$work/info" 2>&1
	result $? "no name is left" "$work/info"
fi

if [ -n "${ring_was_there:-}" ]; then
	result 0 "shm_kernel_ring can be unloaded # SKIP it was loaded before"
else
	rmmod shm_kernel_ring 2>"$work/rmmod"
	result $? "shm_kernel_ring can be unloaded" "$work/rmmod"
fi

# Others may have the driver open, but no module may.
case $(ls /sys/module/shm_kernel_driver/holders 2>/dev/null) in
*shm_kernel_sched*) result 1 "no module holds the driver" ;;
*) result 0 "no module holds the driver" ;;
esac

dmesg | diff "$work/dmesg.before" - | sed -n 's/^> //p' |
	grep -E 'WARNING|BUG|INFO:|Oops|panic|Call Trace|deadlock|KASAN' >"$work/dmesg"
[ ! -s "$work/dmesg" ]
result $? "the kernel has nothing to complain of" "$work/dmesg"

echo "1..$number"
[ "$failed" -eq 0 ]
