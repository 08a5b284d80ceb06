/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which block device this is, whatever its name: what an earlier run noted about one must not be
 * taken for another that has come under the same name. Inside snapshot_*.c.
 */
#ifndef AMIWRIGHT_UPLOADER_DOWNLOAD_DEVICE_H
#define AMIWRIGHT_UPLOADER_DOWNLOAD_DEVICE_H

#include "base/error.h"

/*
 * A line of text that no other device has, and that this one has as long as it lives: an id of its
 * own (sysfs: wwid, cid, md/uuid, dm/uuid, serial), for a loop device the file behind it and where in
 * it, else (and beside it, where the medium can be changed) boot and diskseq, which the kernel gives
 * no second time. A partition has its disk's, with its start and size. *id is the caller's to free;
 * NULL: nothing is known.
 */
int download_device_id(int fd, char **id, struct error *err) MUST_CHECK;
/* The same from another folder than /sys/dev/block/MAJOR:MINOR, and another boot_id, for tests. */
int download_device_id_at(int fd, const char *folder, const char *boot_id, char **id,
	struct error *err) MUST_CHECK;

/*
 * Where in the folder the journal of a snapshot onto this device is. *path is the caller's to free;
 * NULL when nothing tells the device from others.
 */
int download_device_journal(int fd, const char *folder, const char *snapshot, char **path,
	struct error *err) MUST_CHECK;

#endif
