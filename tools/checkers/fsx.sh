#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
#
# shm_fsx, our stand-in for fsx, on nodes and on region files. Size changes are
# on for region files that have them. One argument: how many operations a run
# has (5000).

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

ops=${1:-5000}

need shm_fsx with_region
echo "TAP version 13"
counters_before

check "shm_fsx finds the mistakes it plants" 300 shm_fsx --self-test
check "shm_fsx on region 0" 300 shm_fsx --ops "$ops" "$control"
node=$(boot_node)
if [ -n "$node" ]; then
	check "shm_fsx on a boot region's node" 300 shm_fsx --ops "$ops" "$node"
else
	skip "shm_fsx on a boot region's node" "there is none: load with regions="
fi
for seed in 1 2 3; do
	check "shm_fsx on a region file, seed $seed" 300 \
		shm_fsx --ops "$ops" --seed "$seed" --region 128K
done
check "shm_fsx on a region file that starts empty" 300 \
	shm_fsx --ops "$ops" --seed 4 --region 0
check "shm_fsx on a region file of several MiB" 300 \
	shm_fsx --ops "$ops" --seed 5 --region 5M --max-length 9M --max-io 3M \
	--check-every 256
check "shm_fsx on a named region file" 300 \
	shm_fsx --ops "$ops" --seed 6 --region 100000 --name shm_fsx.sh
check "shm_fsx on a region file of small folios" 300 \
	shm_fsx --ops "$ops" --seed 7 --region 3M --small
check "shm_fsx on a contiguous region file" 300 \
	shm_fsx --ops "$ops" --seed 8 --region 1M --contig
# shellcheck disable=SC2016 # The inner shell expands these.
check "shm_fsx on a region file by its path" 300 \
	with_region 300K sh -c 'shm_fsx --ops "$1" --seed 9 "$REGION_PATH"' - "$ops"

counters_after
finish
