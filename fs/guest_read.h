/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of file systems that only the kernel reads well (xfs, btrfs), through a libguestfs appliance.
 *
 * The appliance gets a sparse copy in a temporary file, never the image: whatever the format of the
 * image, nothing can be written to it, and the kernel may replay the journal of one that was not
 * unmounted. The copy takes as much room as the device has data.
 */
#ifndef AMIWRIGHT_FS_GUEST_READ_H
#define AMIWRIGHT_FS_GUEST_READ_H

#include "fs/reader.h"

struct guest_read_opts {
	const char *spool_dir;   /* for the copy; NULL: /var/tmp */
	bool (*cancelled)(void); /* may be NULL */
};

/* Whether a file system of that type (as probe_dev() has it) is read here. */
bool guest_reads(const char *type);

/*
 * Copies dev, starts the appliance (5 to 60 s) and mounts the copy read-only. dev is not needed
 * afterwards. Errors: as guest_start(); ERROR_INPUT when the kernel does not mount it.
 */
struct reader *guest_reader_open(struct dev *dev, const struct guest_read_opts *opts, struct error *err)
	MUST_CHECK;
/* Bytes of the file system and bytes in use, as statvfs() has them. r: of guest_reader_open(). */
int guest_reader_usage(struct reader *r, uint64_t *size, uint64_t *used, struct error *err) MUST_CHECK;

#endif
