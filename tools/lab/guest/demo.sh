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

# A heading, or none if it is empty, and what is about to happen.
tell()
{
	[ -z "$1" ] || printf '\n%s%s%s\n' "$bold" "$1" "$plain"
	shift
	[ $# -eq 0 ] || printf '%s\n' "$@"
}

show()
{
	printf '%s$ %s%s\n' "$blue" "$*" "$plain"
}

# Show a command and run it. That it fails is a failure of the demo.
run()
{
	show "$@"
	if "$@" >/tmp/said 2>&1; then
		sed 's/^/  /' /tmp/said
	else
		failed=1
		sed 's/^/  /' /tmp/said
		echo "  (exit status $?, which should not be)"
	fi
}

# until_true COMMAND...: wait for it to succeed, a second at most.
until_true()
{
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" && return
		sleep 0.05
	done
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

tell "4. Boost.Interprocess, where processes may die" \
	"A map of strings in a managed segment. Only the name of the segment's type is not" \
	"Boost's; and that a process killed with its lock blocks nobody, and a reader takes none."
run managed_segment
tell "" "A segment that grows while another process has it open: nobody maps anew."
run online_grow

tell "5. The kernel as a peer" \
	"A module makes a region with a ring in it and publishes every context switch there;" \
	"a C++ program reads the records where the kernel wrote them, without a system call."
run modprobe shm_kernel_sched
run ring_watch sched 8
tell "" "Doorbells ring in both directions: this program asks a module for a square root."
run modprobe shm_kernel_minimal
run shm_kernel_minimal_user 1764
run rmmod shm_kernel_minimal
tell "" "Whoever waits sees the others come and go, killed ones and unloaded modules, too."
show 'shmtool watch sched &'
: >/tmp/watched
shmtool watch sched >/tmp/watched &
watcher=$!
until_true grep -q watching /tmp/watched
show 'shmtool wait sched &'
shmtool wait sched >/dev/null &
waiting=$!
until_true grep -q came /tmp/watched
run kill -9 $waiting
until_true grep -q went /tmp/watched
run rmmod shm_kernel_sched
until_true grep -q 'no others' /tmp/watched
kill $watcher
echo "What the first one has printed:"
sed 's/^/  /' /tmp/watched
if ! grep -q 'no others' /tmp/watched; then
	echo "  (it has not seen the kernel go, which should not be)"
	failed=1
fi

named()
{
	shmtool list --names | grep -qx "$1"
}

not_named()
{
	! named "$1"
}

tell "6. Nothing is left behind" \
	"The name of a region ends with its last user, even one that is killed."
sleep 100 | boost_queue produce frames >/dev/null &
producer=$!
until_true named frames
run shmtool list
run kill -9 $producer
until_true not_named frames
run shmtool list
if named frames; then
	echo "  (the region is still there, which should not be)"
	failed=1
fi

tell "That was it" \
	"Next: ./lab shell for a look around, ./lab run -- COMMAND for a program of your own," \
	"./lab test for every test."
exit $failed
