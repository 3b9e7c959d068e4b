#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Loads each sample, uses it as its documentation says, and unloads it. Prints
# TAP; to be run in a guest.

number=0
failed=0

check()
{
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number - $2"
	else
		failed=1
		echo "not ok $number - $2"
		sed 's/^/# /' /tmp/said
	fi
}

# says PATTERN COMMAND...: it succeeds and prints a line with the pattern.
says()
{
	pattern=$1
	shift
	timeout 20 "$@" >/tmp/said 2>&1
	status=$?
	[ $status -eq 0 ] && grep -q "$pattern" /tmp/said && return
	echo "$*: exit status $status, or no line with $pattern" >>/tmp/said
	return 1
}

load()
{
	modprobe "$@" >/tmp/said 2>&1
	check $? "load $*"
}

unload()
{
	rmmod "$1" >/tmp/said 2>&1
	check $? "unload $1"
}

echo "TAP version 13"

load shm_kernel_minimal
says '^the square root of 1764 is 42$' shm_kernel_minimal_user
check $? "it takes a square root"
says '^the square root of 99 is 9$' shm_kernel_minimal_user 99
check $? "and another one"
unload shm_kernel_minimal
! shm_kernel_minimal_user >/tmp/said 2>&1
check $? "its program says that it is gone"

for words in "" "overwrite=1" "delay=0 cells=64" "name=switches mode=0644"; do
	# shellcheck disable=SC2086 # Parameters are words of their own.
	load shm_kernel_sched $words
	case $words in
	*name=*) name=switches ;;
	*) name=sched ;;
	esac
	says '^[0-9.]* \[[0-9]*\] .*:[0-9]* .* ==> .*:[0-9]*$' shm_kernel_sched_user 100 $name
	check $? "its program reads 100 switches"
	[ "$(wc -l </tmp/said)" -ge 100 ]
	check $? "and prints as many"
	unload shm_kernel_sched
done

load shm_kernel_sched
shm_kernel_sched_user >/tmp/printed 2>&1 &
reader=$!
sleep 0.5
unload shm_kernel_sched
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	kill -0 $reader 2>/dev/null || break
	sleep 0.1
done
! kill -9 $reader 2>/dev/null
check $? "a reader sees the kernel go and ends"
tail -n 3 /tmp/printed >/tmp/said
[ "$(wc -l </tmp/printed)" -gt 1 ]
check $? "it has read something"

echo "1..$number"
exit $failed
