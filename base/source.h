/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source: where bytes that are used by reference come from (a folder on the host, a tar file, a
 * spool of unpacked contents). A reference is (source, id, offset, length); what an id means is the
 * source's own business: an index into its table of files, or nothing at all for a single file.
 *
 * Sources are read by many threads at once; each slot must be safe for that.
 */
#ifndef AMIWRIGHT_BASE_SOURCE_H
#define AMIWRIGHT_BASE_SOURCE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct source;

struct source_ops {
	const char *name; /* for messages: "directory", "tar", "spool" */

	/*
	 * Reads exactly len bytes at off of the content `id`. A content that is shorter than it was
	 * when it was scanned, or that changed since (size, mtime, ctime), is ERROR_INPUT naming
	 * the file.
	 */
	int (*pread)(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
		struct error *err);

	/*
	 * Optional: a descriptor in which content `id` begins at *base, for copy_file_range(). The
	 * caller closes it. The source has checked that the content is unchanged. NULL: only pread.
	 */
	int (*open)(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err);

	/* Releases all; may be NULL for sources in the caller's storage. */
	void (*free)(struct source *src);
};

struct source {
	const struct source_ops *ops;
};

/* As the slots say, by the source. */
int source_pread(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
	struct error *err) MUST_CHECK;
/* ERROR_INPUT with errnum ENOTSUP when the source has no descriptor to give. */
int source_open(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
	MUST_CHECK;
/* NULL is fine. */
void source_free(struct source *src);

#endif
