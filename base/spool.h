/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool: append-only bytes in an unlinked temporary file, for contents that arrive once (a
 * compressed tar, a pipe) and are wanted by reference later, and for metadata beyond what memory
 * should hold. It is a source; the id of a reference into it is 0 and the offset is the spool's
 * own.
 */
#ifndef AMIWRIGHT_BASE_SPOOL_H
#define AMIWRIGHT_BASE_SPOOL_H

#include "base/source.h"

struct spool;

/*
 * dir: folder for the file (NULL: /var/tmp). The file has no name (O_TMPFILE, or created and
 * unlinked at once), so nothing is left behind by any kind of death.
 */
struct spool *spool_new(const char *dir, struct error *err) MUST_CHECK;
void spool_free(struct spool *sp);

/* Appends; *off is where the bytes begin. Not for several threads at once. Buffered up to 1 MiB. */
int spool_append(struct spool *sp, const void *data, size_t len, uint64_t *off, struct error *err)
	MUST_CHECK;
/* Writes what is buffered; must be called before the first read or spool_source() use. */
int spool_flush(struct spool *sp, struct error *err) MUST_CHECK;
/* Bytes appended so far. */
uint64_t spool_size(const struct spool *sp);
/* Random access for overwriting and reading back (offsets below spool_size()). */
int spool_pread(struct spool *sp, void *buf, size_t len, uint64_t off, struct error *err) MUST_CHECK;
int spool_pwrite(struct spool *sp, const void *buf, size_t len, uint64_t off, struct error *err)
	MUST_CHECK;
/* Borrowed until spool_free(). source_free() on it is not allowed. */
struct source *spool_source(struct spool *sp);

#endif
