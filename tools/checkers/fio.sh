#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
#
# fio writes a region at random, with a checksum in every block, and reads it
# back: six I/O engines on region 0, on a boot region's node and on a region
# file. A run on a file with one changed byte has to fail.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

size=4194304
engines="psync mmap io_uring libaio vsync splice"

need fio with_region
echo "TAP version 13"
counters_before

# fio PATH ENGINE ARG...; the size is given, because fio cannot ask a node for
# it, and fio must not make or resize anything.
fio_on() {
	path=$1
	engine=$2
	shift 2
	echo fio --name=a --filename="$path" --ioengine="$engine" --bs=4k \
		--size="$size" --allow_file_create=0 --randseed=1 \
		--verify=crc32c --verify_fatal=1 --thread --minimal "$@"
}

fits() {
	[ "$(wc -c <"$1")" -ge "$size" ]
}

all_engines() {
	title=$1
	path=$2
	shift 2
	for engine in $engines; do
		# shellcheck disable=SC2046 # The command's words hold no blanks.
		check "fio $engine on $title" 120 "$@" \
			$(fio_on "$path" "$engine" --rw=randrw --do_verify=1)
	done
}

if fits "$control"; then
	all_engines "region 0" "$control"
else
	for engine in $engines; do
		skip "fio $engine on region 0" "it is too small: load with size=4M"
	done
fi

node=$(boot_node)
if [ -n "$node" ] && fits "$node"; then
	all_engines "a boot region's node" "$node"
else
	for engine in $engines; do
		skip "fio $engine on a boot region's node" \
			"none of 4 MiB: load with regions=checked:4M"
	done
fi

all_engines "a region file" /proc/self/fd/100 with_region 4M

cat >"$work/control.sh" <<CONTROL
$(fio_on /proc/self/fd/100 psync --rw=randwrite --do_verify=0) || exit 1
$(fio_on /proc/self/fd/100 psync --rw=randwrite --verify_only=1) || exit 1
# The last bytes of a block are its content, not fio's header.
printf '\252\125' | dd of=/proc/self/fd/100 bs=1 seek=1048570 conv=notrunc || exit 1
! $(fio_on /proc/self/fd/100 psync --rw=randwrite --verify_only=1)
CONTROL
check "fio finds a changed byte in a region file" 60 with_region 4M sh "$work/control.sh"

counters_after
finish
