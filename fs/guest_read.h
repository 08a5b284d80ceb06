/* SPDX-License-Identifier: Apache-2.0 */
/* For guest_disks.c: files of a file system that an appliance mounts. */
#ifndef AMIWRIGHT_FS_GUEST_READ_H
#define AMIWRIGHT_FS_GUEST_READ_H

#include "fs/guest.h"

/*
 * Mounts the device (guest_mount_ro()); g is borrowed. One reader at a time: closing it unmounts.
 * Errors as guest_mount_ro().
 */
struct reader *guest_reader_open(struct guest *g, const char *device, struct error *err) MUST_CHECK;

#endif
