/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the headers of a tar archive say, apart from how their bytes come: for the reader of bundles, which has a
 * stream, and the reader of OVAs, which has a file.
 */
#ifndef AMIWRIGHT_FORMATS_TAR_READ_H
#define AMIWRIGHT_FORMATS_TAR_READ_H

#include "base/buf.h"
#include "formats/tar_header.h"

#include <stdbool.h>

enum { TAR_SPARSE_IN_HEADER = 4, TAR_SPARSE_IN_BLOCK = 21 };
/* More pieces than a 10 GiB file of alternating pages has. */
enum { TAR_PIECES_MAX = 4 << 20 };

struct tar_piece {
	uint64_t off, len; /* bytes of the file that are in the archive */
};

struct tar_map {
	struct tar_piece *pieces; /* owned */
	size_t nr, alloc;
};

/* What pax records have said of the next member. */
struct tar_pax {
	bool has_size, has_real_size, sparse_1_0, map_given;
	uint64_t size, real_size;
	uint64_t off;             /* of a GNU.sparse.offset whose length has not come yet */
	const char *path;         /* NULL: none was said; path_len bytes of the records, borrowed */
	size_t path_len;
};

/* Octal digits or base 256. */
int tar_number(const uint8_t *field, size_t len, uint64_t *value, struct error *err) MUST_CHECK;
/* ERROR_INPUT when the checksum is wrong. */
int tar_check_header(const uint8_t block[TAR_BLOCK], struct error *err) MUST_CHECK;

/* Pieces come in ascending order and do not meet; empty ones are passed over. */
int tar_map_add(struct tar_map *m, uint64_t off, uint64_t len, struct error *err) MUST_CHECK;
/* Up to nr entries of an old GNU header or its extension, until one that is empty. */
int tar_map_add_old(struct tar_map *m, const uint8_t *entries, size_t nr, struct error *err) MUST_CHECK;
/* All records of a pax header. */
int tar_pax_read(struct tar_pax *p, struct tar_map *m, const char *text, size_t len, struct error *err)
	MUST_CHECK;

#endif
