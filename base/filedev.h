/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A regular file or block device as a device. Holes (SEEK_HOLE) are EXTENT_ZERO: a file cannot say
 * whether anybody will read them.
 */
#ifndef AMIWRIGHT_BASE_FILEDEV_H
#define AMIWRIGHT_BASE_FILEDEV_H

#include "base/dev.h"

/* Opens path for reading only; directories, FIFOs and empty files are ERROR_INPUT. */
struct dev *filedev_open(const char *path, struct error *err) MUST_CHECK;
/*
 * The same for a name that came out of a file of somebody else's, who must not choose what is read:
 * symbolic links and all that is no regular file are ERROR_INPUT. Folders of path may be links.
 */
struct dev *filedev_open_plain(const char *path, struct error *err) MUST_CHECK;
/*
 * Takes fd (also on error). writable: pwrite, clear (punches holes) and flush work too. name for
 * messages.
 */
struct dev *filedev_from_fd(int fd, bool writable, const char *name, struct error *err) MUST_CHECK;
/*
 * Whether the kernel has path, a block device, or a part of it, as a file system, volume, array or swap:
 * what it writes there while it is read may come half. False for all that is not a block device.
 */
bool filedev_in_use(const char *path);

#endif
