/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the decompressors: the last member (of a gzip file; a frame of a zstd one) that came to nothing but
 * zeros, kept as the bytes that it was. Members like it are told by comparing, not by decompressing: 8 TiB of zeros
 * in members of 1 MiB are 8 GiB to compare, in seconds, where they took a quarter of an hour and more.
 */
#ifndef AMIWRIGHT_FORMATS_REPEAT_H
#define AMIWRIGHT_FORMATS_REPEAT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a member that is kept: zeros of 4 MiB are less in any format. */
enum { REPEAT_MAX = 5000 };

/* Zeroed is fine. */
struct repeat {
	uint8_t known[REPEAT_MAX];
	size_t known_len; /* 0: none so far */
	uint64_t zeros;   /* what it came to */
	size_t matched;   /* bytes of it that the input has brought again */
	/* The member that is being decompressed. */
	uint8_t now[REPEAT_MAX];
	size_t now_len;   /* REPEAT_MAX + 1: too long */
	uint64_t made;
	bool other;       /* there was something else than zeros */
};

/* While decompressing: bytes that went in, bytes that came out; then that the member is at its end. */
void repeat_in(struct repeat *r, const void *data, size_t len);
void repeat_out(struct repeat *r, const void *data, size_t len);
void repeat_end(struct repeat *r);

/*
 * Between members: passes by all that are known and tells zeros of their lengths; p and len go on to what is left.
 * *again is how many bytes of r->known have to be decompressed before that: those of a member that seemed to be known.
 */
typedef int (*repeat_zeros_fn)(void *arg, uint64_t len, struct error *err);
int repeat_pass(struct repeat *r, const uint8_t **p, size_t *len, size_t *again, repeat_zeros_fn zeros, void *arg,
	struct error *err) MUST_CHECK;

#endif
