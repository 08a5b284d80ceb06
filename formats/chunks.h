/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device read once from its start to its end in aligned chunks, by a pool of workers that read and
 * work on them (compress, mostly) and an owner that gets them in order. What the owner is given does not
 * depend on the number of workers.
 */
#ifndef AMIWRIGHT_FORMATS_CHUNKS_H
#define AMIWRIGHT_FORMATS_CHUNKS_H

#include "base/buf.h"
#include "base/dev.h"
#include "base/progress.h"

#include <stdbool.h>

/* A chunk is at most this long. */
enum { CHUNKS_MAX = 4 << 20 };

struct chunk {
	uint64_t off;        /* bytes of the device, a multiple of the chunks' size */
	size_t len;          /* of them on the device; less than the chunks' size only at its end */
	const uint8_t *data; /* the chunks' size of bytes, zeros behind len; NULL: nothing there but zeros */
	struct buf out;      /* what work() makes; empty when it is called */
	void *state;         /* of new_state() */
};

struct chunks_opts {
	uint64_t size;             /* bytes of a chunk: a multiple of 512 KiB when there is a block() */
	unsigned workers;          /* threads; <= 1: none */
	const char *what;          /* "compressing": for the message of an interruption */
	struct progress *progress; /* begun and ended by the caller; may be NULL */
	bool (*cancelled)(void);   /* may be NULL */
	bool all;                  /* hand over chunks without data too (data NULL, not worked on) */
	/*
	 * As in struct raw_opts: called in block order with the SHA-256 of each aligned 512 KiB
	 * block that the device has as data. May be NULL.
	 */
	int (*block)(void *arg, uint64_t index, const uint8_t digest[32], struct error *err);
	void *block_arg;
	/* What a chunk may keep from one use to the next, like a compressor; both may be NULL. */
	void *(*new_state)(void *arg, struct error *err);
	void (*free_state)(void *state);
	/* In a worker; touches only its chunk. Called for chunks with data, may be NULL. */
	int (*work)(struct chunk *c, void *arg, struct error *err);
	/* In the caller's thread, in ascending order. May be NULL. */
	int (*emit)(struct chunk *c, void *arg, struct error *err);
	void *arg;
};

/* As initialisers: what options of writing (struct format_write_opts) have by the same names. */
#define CHUNKS_FROM(o)                                                                             \
	.workers = (o)->workers, .progress = (o)->progress, .cancelled = (o)->cancelled,           \
	.block = (o)->block, .block_arg = (o)->block_arg

/* Memory: 2 * workers + 2 chunks, with what work() makes of them. */
int chunks_run(struct dev *dev, const struct chunks_opts *opts, struct error *err) MUST_CHECK;

#endif
