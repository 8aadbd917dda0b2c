// SPDX-License-Identifier: GPL-2.0
// A module that answers as NVIDIA's does on a machine without a GPU: it loads, finds none, goes.
// Stands in for the driver where the real one takes too long to build.
#include <linux/init.h>
#include <linux/module.h>

static int __init stand_in_init(void)
{
	pr_info("NVRM: No NVIDIA GPU found.\n");
	return -ENODEV;
}

static void __exit stand_in_exit(void)
{
}

module_init(stand_in_init);
module_exit(stand_in_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION("580.178.04");
MODULE_DESCRIPTION("stand-in for NVIDIA's open kernel module");
