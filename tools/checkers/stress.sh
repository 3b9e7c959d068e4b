#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
#
# stress-ng: its dev stressor on the nodes, and on a region file those of its
# file stressors that do not expect a write to make the file longer. These take
# no path: a preloaded library gives them the region for the file they create.
# One argument: the seconds for each stressor (2).
#
# Its exit status alone is not believed. Under User-Mode Linux a stressor may
# end "successful" without having done anything, and one that reads back something
# else than it wrote may only say so, so its words and its count of operations are
# looked at too.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

seconds=${1:-2}

need stress-ng with_region
preload=$(dirname -- "$(command -v with_region)")/libstress_on_region.so

echo "TAP version 13"
counters_before

# stress NAME STRESSOR COMMAND...: the command has to succeed and to have done
# some of STRESSOR's operations.
stress() {
	name=$1
	stressor=$2
	shift 2
	timeout -s KILL $((seconds + 30)) "$@" >"$work/output" 2>&1 </dev/null
	status=$?
	bogo=$(sed -n "s/.*metrc:.* $stressor  *\([0-9][0-9]*\)  *[0-9].*/\1/p" \
		"$work/output")
	if [ "$status" -eq 0 ] && [ "${bogo:-0}" -gt 0 ] &&
		! grep -q mismatch "$work/output"; then
		ok "$name"
	else
		echo "exit status $status, ${bogo:-no} operations" >>"$work/output"
		not_ok "$name" "$work/output"
	fi
}

stress_dev() {
	stress "stress-ng dev on $1" dev \
		stress-ng --temp-path "$work" --dev 1 --dev-file "$2" \
		-t "$seconds" --metrics
}

stress_dev "region 0" "$control"
node=$(boot_node)
if [ -n "$node" ]; then
	stress_dev "a boot region's node" "$node"
else
	skip "stress-ng dev on a boot region's node" "there is none: load with regions="
fi

cat >"$work/on_region.sh" <<'SCRIPT'
preload=$1
shift
LD_PRELOAD=$preload "$@" || exit
# If stress-ng worked elsewhere, the region is still zero.
! cmp -s -n 4194304 "$REGION_PATH" /dev/zero || {
	echo "nothing was written to the region"
	exit 1
}
SCRIPT

# Locking writes nothing.
cat >"$work/lock_region.sh" <<'SCRIPT'
preload=$1
shift
LD_PRELOAD=$preload exec "$@"
SCRIPT

stress_file() {
	script=$1
	stressor=$2
	shift 2
	stress "stress-ng $stressor on a region file" "$stressor" \
		with_region 4M sh "$work/$script" "$preload" \
		stress-ng --temp-path "$work" "--$stressor" 1 "$@" --verify \
		-t "$seconds" --metrics
}

if [ -e "$preload" ]; then
	stress_file on_region.sh msync --msync-bytes 4M
	stress_file on_region.sh seek --seek-size 4M
	stress_file on_region.sh iomix --iomix-bytes 4M
	stress_file on_region.sh aio
	stress_file lock_region.sh flock
	stress_file lock_region.sh lockf
	stress_file lock_region.sh lockofd
else
	skip "stress-ng's file stressors on a region file" \
		"libstress_on_region.so is not built"
fi

counters_after
finish
