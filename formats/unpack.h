/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of compressed images (gzip, zstd, xz, bzip2, lz4): the content is decompressed into a temporary
 * file without a name, zeros as holes, and read from there; an image of another format inside is opened
 * in its turn. Compressed twice is ERROR_INPUT.
 */
#ifndef AMIWRIGHT_FORMATS_UNPACK_H
#define AMIWRIGHT_FORMATS_UNPACK_H

#include "formats/format.h"

/* The slot open() of struct format_reader, for gzip and for the others. */
int unpack_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;
/* Whether detect_format() calls something that unpack_open() reads by this name. */
bool unpack_knows(const char *format);

/*
 * All that comes from fd (a pipe) as such a file; name for messages. Then it can be opened by
 * format_open_dev().
 */
struct dev *unpack_spool(int fd, const char *name, const struct format_read_opts *opts,
	struct error *err) MUST_CHECK;

#endif
