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
	bool no_copy; /* copy_file_range() does not work here */
	uint8_t *buf; /* for the copying way */
};

/* Writes the pages of buf that are not all zeros. Thread-safe. */
int raw_write_pages(const struct raw_writer *w, const uint8_t *buf, size_t len, uint64_t off,
	struct error *err) MUST_CHECK;
/* ERROR_INTERRUPTED when the caller of raw_write() wants to stop. */
int raw_check_cancelled(const struct raw_writer *w, struct error *err) MUST_CHECK;

/* All data of the device: by ranges, as fast as the kernel copies; or block for block, hashing each. */
int raw_copy_ranges(struct raw_writer *w, struct error *err) MUST_CHECK;
int raw_copy_blocks(struct raw_writer *w, struct error *err) MUST_CHECK;

#endif
