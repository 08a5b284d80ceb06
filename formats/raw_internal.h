/* SPDX-License-Identifier: Apache-2.0 */
/* What the two ways of writing a raw image share; private to formats/raw*.c. */
#ifndef AMIWRIGHT_FORMATS_RAW_INTERNAL_H
#define AMIWRIGHT_FORMATS_RAW_INTERNAL_H

#include "formats/raw.h"

/* Holes of the image are made of these: the block size of nearly all file systems. */
enum { RAW_PAGE = 4096 };

struct raw_writer {
	struct dev *dev;
	const char *path; /* final name, for messages */
	const struct raw_opts *opts;
	int fd;       /* of the image, as large as the device and all hole */
	bool shares;  /* the file system can share blocks between files: let the kernel copy */
	uint8_t *buf; /* for the way by ranges */
};

/* Writes the pages of buf that are not all zeros. Thread-safe. */
int raw_write_pages(const struct raw_writer *w, const uint8_t *buf, size_t len, uint64_t off,
	struct error *err) MUST_CHECK;
/* ERROR_INTERRUPTED when the caller of raw_write() wants to stop. */
int raw_check_cancelled(const struct raw_writer *w, struct error *err) MUST_CHECK;

/* True when the file system of fd, a file of size bytes that is all hole, can share blocks. */
bool raw_fs_shares(int fd, uint64_t size);

/*
 * All data of the device: by ranges, in whatever steps are cheapest; or block for block, hashing
 * each.
 */
int raw_copy_ranges(struct raw_writer *w, struct error *err) MUST_CHECK;
int raw_copy_blocks(struct raw_writer *w, struct error *err) MUST_CHECK;

#endif
