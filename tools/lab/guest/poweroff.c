// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a guest. reboot(8) would ask an init that is not there, and with
 * -f makes User-Mode Linux start again.
 */
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
