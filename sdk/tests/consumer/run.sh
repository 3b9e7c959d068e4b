#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
#
# Installs the SDK from a build directory under a temporary prefix and builds
# and runs a project outside the tree against it: with CMake, with pkg-config.
# Also looks at what the library shows to the outside.
#
# usage: run.sh BUILD-DIRECTORY
# Environment: CMAKE, CXX, CXXFLAGS as for the build itself.

set -eu

if [ $# -ne 1 ] || [ ! -f "$1/CMakeCache.txt" ]; then
	echo "usage: run.sh BUILD-DIRECTORY" >&2
	exit 2
fi
build=$1
here=$(cd "$(dirname "$0")" && pwd)
cmake=${CMAKE:-cmake}
CXX=${CXX:-c++}
export CXX

work=$(mktemp -d "${TMPDIR:-/tmp}/consumer.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say()
{
	echo "consumer: $*"
}

say "installs the SDK"
"$cmake" --install "$build/sdk" --prefix "$work/prefix" >"$work/log" 2>&1 ||
	{ cat "$work/log"; exit 1; }
libdir=$(dirname "$(find "$work/prefix" -name 'libshm_kernel.*' | head -n 1)")

cp -R "$here" "$work/source"

# configure DIRECTORY ARGUMENT...
configure()
{
	directory=$work/$1
	shift
	"$cmake" -S "$work/source" -B "$directory" \
		-DCMAKE_PREFIX_PATH="$work/prefix" "$@" >"$work/log" 2>&1
}

say "builds a CMake project with $CXX, without Boost"
configure core -DINTERPROCESS=OFF -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON &&
	"$cmake" --build "$work/core" >>"$work/log" 2>&1 ||
	{ cat "$work/log"; exit 1; }
"$work/core/use_core"
if configure none -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON; then
	say "found the Boost layer without a Boost"
	exit 1
fi

programs=use_core
if [ -d "$work/prefix/include/shm_kernel/interprocess" ]; then
	programs="use_core use_interprocess"
	say "builds a CMake project with $CXX and Boost"
	configure both && "$cmake" --build "$work/both" >>"$work/log" 2>&1 ||
		{ cat "$work/log"; exit 1; }
	"$work/both/use_core"
	"$work/both/use_interprocess"
fi

if ! command -v pkg-config >/dev/null; then
	say "there is no pkg-config (install the package pkg-config)"
	exit 1
fi
say "builds a Makefile with pkg-config"
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
make -s -C "$work/source" PROGRAMS="$programs"
for program in $programs; do
	LD_LIBRARY_PATH=$libdir "$work/source/$program"
done

version=$(pkg-config --modversion shm_kernel)
say "has version $version"

library=$libdir/libshm_kernel.so
if [ -e "$library" ]; then
	say "looks at $(basename "$library")"
	objdump -p "$library" | grep -q 'SONAME *libshm_kernel.so.0$' ||
		{ say "the SONAME is not libshm_kernel.so.0"; exit 1; }
	strangers=$(nm -DC --defined-only "$library" | cut -d' ' -f3- |
		grep -v 'shm_kernel::' | grep -vE '(^|for )std::' || true)
	[ -z "$strangers" ] ||
		{ say "exports what is not ours:"; echo "$strangers"; exit 1; }
	# What has something internal as an argument is not meant.
	! nm -DC --defined-only "$library" | sed 's/(.*//' |
		grep 'shm_kernel::detail::' ||
		{ say "exports what is internal"; exit 1; }
	! objdump -p "$library" | grep 'NEEDED.*boost' ||
		{ say "the core library needs Boost"; exit 1; }
fi
say "done"
