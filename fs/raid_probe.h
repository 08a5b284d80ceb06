/* SPDX-License-Identifier: Apache-2.0 */
/* For probe.c: members of Linux's software RAID. */
#ifndef AMIWRIGHT_FS_RAID_PROBE_H
#define AMIWRIGHT_FS_RAID_PROBE_H

#include "fs/probe.h"

/*
 * By superblocks of version 1 (the default since 2009): at the device's beginning (1.1), 4 KiB behind it
 * (1.2), or near its end (1.0). *found; out then has type, label (the array's name) and uuid.
 *
 * A mirror (RAID 1) whose superblock is at the end is not one: it holds what is mirrored from its first
 * byte on, so firmware reads it and so do we.
 *
 * Source: Linux, include/uapi/linux/raid/md_p.h, struct mdp_superblock_1.
 */
int raid_probe(struct dev *dev, struct probe *out, bool *found, struct error *err) MUST_CHECK;

#endif
