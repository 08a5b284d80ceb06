/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fs/initrd*.c share: the input, and a stream over it or over what it unpacks to. */
#ifndef AMIWRIGHT_FS_INITRD_INTERNAL_H
#define AMIWRIGHT_FS_INITRD_INTERNAL_H

#include "fs/initrd.h"

enum { INITRD_CHUNK = 64 << 10 };
#define INITRD_OLD_LZ4 "lz4 (old form)"

/* The initrd itself: a file of a tree, or memory. */
struct initrd_input {
	const struct tree *tree; /* NULL: mem */
	tree_node node;
	const uint8_t *mem;
	uint64_t size;
	const char *name; /* for messages */
};

struct initrd_unpacker;

/* Bytes one after the other: the input's from pos to end, or those that come out of a decompressor. */
struct initrd_stream {
	const struct initrd_input *in;
	struct initrd_unpacker *unpacker; /* NULL: the input's own bytes */
	uint64_t pos, end;                /* of the input: next to be read; where this stream ends */
	const uint8_t *data;              /* what was read last; [at, len) is still to be taken */
	size_t at, len;
	uint8_t chunk[INITRD_CHUNK];
};

/* The input's own bytes from pos to end. */
void initrd_stream_init(struct initrd_stream *s, const struct initrd_input *in, uint64_t pos,
	uint64_t end);
/* Makes at least one byte available in [at, len), or none at the end. */
int initrd_stream_fill(struct initrd_stream *s, struct error *err) MUST_CHECK;
/* Up to len bytes; *got is less only at the end. */
int initrd_stream_read(struct initrd_stream *s, void *buf, size_t len, size_t *got,
	struct error *err) MUST_CHECK;
/*
 * Puts the last len bytes back; for streams without unpacker; what they were the
 * input still knows.
 */
void initrd_stream_unread(struct initrd_stream *s, size_t len);
/* ERROR_INPUT when fewer bytes are left. */
int initrd_stream_skip(struct initrd_stream *s, uint64_t len, struct error *err) MUST_CHECK;
int initrd_stream_skip_zeros(struct initrd_stream *s, struct error *err) MUST_CHECK;
/* Where in the input the next byte is; for streams without unpacker. */
uint64_t initrd_stream_tell(const struct initrd_stream *s);

/* "the initrd 'X' is damaged: it ends inside an archive". Returns -1. */
int initrd_cut_off(const struct initrd_input *in, struct error *err);

/*
 * The compression by the first bytes; NULL when they are none's. at: 8 bytes, or fewer with zeros
 * behind.
 */
const char *initrd_compression(const uint8_t at[8]);
/*
 * Where the compressed data at the start of the stream ends, when its decoder has to know: else, and
 * when it is cut off, the stream's end. All frames that follow each other without a gap are one.
 */
int initrd_find_end(struct initrd_stream *s, const char *compression, uint64_t *end,
	struct error *err) MUST_CHECK;
/*
 * A decompressor over the input from pos. ERROR_INPUT (ENOTSUP) for one that we do not have.
 * unpacked counts what comes out, of all archives of the initrd, against INITRD_BYTES_MAX. in and
 * unpacked are borrowed.
 */
struct initrd_unpacker *initrd_unpacker_new(const struct initrd_input *in, uint64_t pos,
	const char *compression, uint64_t *unpacked, struct error *err) MUST_CHECK;
void initrd_unpacker_free(struct initrd_unpacker *u);
DEFINE_CLEANUP(initrd_unpacker, struct initrd_unpacker, initrd_unpacker_free)
/* The next bytes; *len 0 at the end. Borrowed until the next call. */
int initrd_unpacker_read(struct initrd_unpacker *u, const uint8_t **data, size_t *len,
	struct error *err) MUST_CHECK;
/* After the end: where in the input the compressed data ended. */
uint64_t initrd_unpacker_end(const struct initrd_unpacker *u);

#endif
