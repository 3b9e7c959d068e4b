/* SPDX-License-Identifier: BSL-1.0 */
#include <linux/stand_in.h>
