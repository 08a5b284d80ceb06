/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the decompressors: the last member (of a gzip file; a frame of a zstd one) that came to nothing but
 * zeros, kept as the bytes that it was. Members like it are told by comparing, not by decompressing: 8 TiB of zeros
 * in members of 1 MiB are 8 GiB to compare, in seconds, where they took a quarter of an hour and more.
 */
#ifndef AMIWRIGHT_FORMATS_REPEAT_H
#define AMIWRIGHT_FORMATS_REPEAT_H

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
 * Between members: how many of the len bytes are the known member's, going on where the last call stopped. When all
 * of it was there, *zeros is what it stands for; else 0.
 */
size_t repeat_match(struct repeat *r, const void *data, size_t len, uint64_t *zeros);
/* The input went another way: the bytes (of r) that were matched and have to be decompressed after all. */
size_t repeat_give_up(struct repeat *r);

#endif
