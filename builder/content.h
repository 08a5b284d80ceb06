/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a disk's content: SHA-256 over its size and, for each 512 KiB block that somebody
 * may read, its index, kind and digest. Equal digests make equal volumes; it is what a snapshot is
 * tagged with, so that publishing again finds it.
 */
#ifndef AMIWRIGHT_BUILDER_CONTENT_H
#define AMIWRIGHT_BUILDER_CONTENT_H

#include "base/dev.h"
#include "base/hash.h"
#include "base/progress.h"

struct content_opts {
	unsigned workers;                     /* threads that read and hash */
	const struct progress_opts *progress; /* may be NULL */
	bool (*cancelled)(void);              /* may be NULL */
};

/* Reads all data of dev once. Memory: 2 blocks a worker and 2 more. */
int content_digest(struct dev *dev, const struct content_opts *opts, char hex[SHA256_HEX_SIZE],
	struct error *err) MUST_CHECK;

#endif
