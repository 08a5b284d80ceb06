/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole pieces through libdeflate: a grain of a VMDK as a zlib stream, a cluster of a qcow2 as bare deflate
 * data, a piece of a file as a member of a gzip file. The same bytes, level and version of libdeflate give
 * the same bytes; no time and no name is in them.
 *
 * Sources: RFC 1950 (zlib), RFC 1951 (deflate), RFC 1952 (gzip; 2.2: members one after another are
 * one content).
 */
#ifndef AMIWRIGHT_FORMATS_DEFLATE_H
#define AMIWRIGHT_FORMATS_DEFLATE_H

#include "base/buf.h"
#include "base/cleanup.h"

enum { DEFLATE_LEVEL_MIN = 1, DEFLATE_LEVEL_MAX = 12, DEFLATE_LEVEL = 5 };

/* For one thread at a time. level 0: DEFLATE_LEVEL. */
struct deflate;
struct deflate *deflate_new(int level, struct error *err) MUST_CHECK;
void deflate_free(struct deflate *d);
DEFINE_CLEANUP(deflate, struct deflate, deflate_free)

/* Append to out one zlib stream, one gzip member, of len bytes. */
int deflate_zlib(struct deflate *d, const void *data, size_t len, struct buf *out, struct error *err)
	MUST_CHECK;
int deflate_gzip(struct deflate *d, const void *data, size_t len, struct buf *out, struct error *err)
	MUST_CHECK;

/* For one thread at a time. */
struct inflate;
struct inflate *inflate_new(struct error *err) MUST_CHECK;
void inflate_free(struct inflate *i);
DEFINE_CLEANUP(inflate, struct inflate, inflate_free)

/*
 * Exactly out_len bytes from a zlib stream that begins at data and ends within len (what follows it
 * is not looked at). ERROR_INPUT, without saying where, when it is damaged, shorter or longer.
 */
int inflate_zlib(struct inflate *i, const void *data, size_t len, void *out, size_t out_len,
	struct error *err) MUST_CHECK;
/* The same from bare deflate data: nothing says whether what came out is right. */
int inflate_raw(struct inflate *i, const void *data, size_t len, void *out, size_t out_len,
	struct error *err) MUST_CHECK;

/* CRC-32 of RFC 1952, going on from crc (0 at the start). */
uint32_t deflate_crc32(uint32_t crc, const void *data, size_t len);

#endif
