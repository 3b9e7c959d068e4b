# SPDX-License-Identifier: BSL-1.0
# shellcheck shell=sh
#
# What the checker scripts share: TAP lines, the things to check, and the
# driver's counters. Sourced by fsx.sh, fio.sh and stress.sh, which run in a
# guest (or on a machine) where the driver is loaded, for example with
#
#	size=4M regions=checked:4M
#
# CHECKERS_BIN is the directory of the programs, if not in PATH.

set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
PATH=${CHECKERS_BIN:-$here}:$PATH
stats=/sys/kernel/debug/shm_kernel/stats
control=/dev/shm_kernel_driver
number=0
failed=0

work=$(mktemp -d "${TMPDIR:-/tmp}/checkers.XXXXXX" 2>/dev/null) ||
	work=$(mktemp -d /run/checkers.XXXXXX) || exit 2
trap 'rm -rf "$work"' EXIT

need() {
	for program; do
		command -v "$program" >/dev/null 2>&1 && continue
		echo "1..0 # SKIP $program is not installed"
		exit 0
	done
	[ -c "$control" ] && return
	echo "1..0 # SKIP no $control: the driver is not loaded"
	exit 0
}

# The first boot region behind region 0, if there is one.
boot_node() {
	for node in /dev/shm_kernel/*; do
		[ -c "$node" ] && echo "$node" && return
	done
}

ok() {
	number=$((number + 1))
	echo "ok $number - $1"
}

not_ok() {
	number=$((number + 1))
	failed=$((failed + 1))
	echo "not ok $number - $1"
	[ -n "${2:-}" ] && sed 's/^/# /' "$2"
}

skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# check NAME SECONDS COMMAND...: one TAP line for one command.
check() {
	name=$1
	seconds=$2
	shift 2
	timeout -s KILL "$seconds" "$@" >"$work/output" 2>&1 </dev/null
	status=$?
	if [ "$status" -eq 0 ]; then
		ok "$name"
	elif [ "$status" -eq 137 ]; then
		echo "killed after $seconds seconds" >>"$work/output"
		not_ok "$name" "$work/output"
	else
		echo "exit status $status" >>"$work/output"
		not_ok "$name" "$work/output"
	fi
}

# What a checker made must be gone when it has ended.
counters_before() {
	[ -r "$stats" ] && cat "$stats" >"$work/before"
}

counters_after() {
	if [ ! -r "$work/before" ]; then
		skip "counters as before" "no $stats"
		return
	fi
	# The last reference of a killed program may go a moment later.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		cat "$stats" >"$work/after"
		cmp -s "$work/before" "$work/after" && break
		sleep 0.1
	done
	if diff "$work/before" "$work/after" >"$work/output"; then
		ok "counters as before"
	else
		not_ok "counters as before" "$work/output"
	fi
}

finish() {
	echo "1..$number"
	[ "$failed" -eq 0 ]
	exit
}
