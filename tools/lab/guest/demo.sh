#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo: what `lab demo` runs in a guest where the driver is loaded with
# size=64K and shmtool and the SDK's examples are in PATH. Every line after a
# '$' is a command that really runs; the exit status says whether all went well.

set -u
failed=0
if [ -n "${DEMO_COLOUR:-}" ]; then
	bold=$(printf '\033[1m') blue=$(printf '\033[36m') plain=$(printf '\033[0m')
else
	bold='' blue='' plain=''
fi

# A heading, and what is about to happen.
tell()
{
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
	shift
	[ $# -eq 0 ] || printf '%s\n' "$@"
}

# Show a command and run it. That it fails is a failure of the demo.
run()
{
	printf '%s$ %s%s\n' "$blue" "$*" "$plain"
	if "$@" >/tmp/said 2>&1; then
		sed 's/^/  /' /tmp/said
	else
		failed=1
		sed 's/^/  /' /tmp/said
		echo "  (exit status $?, which should not be)"
	fi
}

printf '%sshm_kernel: memory that the kernel and user space share, and in which locks work%s\n' "$bold" "$plain"
echo "This is Linux $(uname -r) with the series applied, running as a program on this machine."

tell "1. The driver is loaded, and with it comes region 0" \
	"The kernel put two words into it: 0x1111 at 0 and 0x2222 at 0x100."
run shmtool list
run shmtool dump - --length 272

tell "2. A program and the kernel share it" \
	"What a program writes, the kernel sees; here the kernel brings the first content back."
run shmtool write - --offset 16 --string hello
run shmtool dump - --length 48
run shmtool reset -
run shmtool dump - --length 48

tell "3. A lock whose owner dies" \
	"A C++ program locks a robust mutex in region 0, after a look at the kernel's words;" \
	"its worker is killed with the lock held, the other process repairs and goes on."
run robust_counter --node /dev/shm_kernel_driver

tell "4. Boost.Interprocess on a named region" \
	"Two processes, a mapped_region, an interprocess_mutex and a condition: only the class" \
	"that the memory comes from is not Boost's."
run boost_queue

tell "5. Nothing is left behind" \
	"The name of a region ends with its last user, even one that is killed."
sleep 100 | boost_queue produce frames >/dev/null &
producer=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
	shmtool list --names | grep -qx frames && break
	sleep 0.1
done
run shmtool list
run kill -9 $producer
for _ in 1 2 3 4 5 6 7 8 9 10; do
	shmtool list --names | grep -qx frames || break
	sleep 0.1
done
run shmtool list
if shmtool list --names | grep -qx frames; then
	echo "  (the region is still there, which should not be)"
	failed=1
fi

tell "That was it" \
	"Next: ./lab shell for a look around, ./lab run -- COMMAND for a program of your own," \
	"./lab test for every test."
exit $failed
