/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipe from a device to parts. Workers read chunks of the image and compress each to a gzip member
 * of its own; the owner takes them in order: SHA-1 of what they were, encryption of what they
 * became, parts. The tar header and the end of the archive are members too. Chunks of zeros all have
 * one member, compressed once.
 */
#include "formats/bundle_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_stream.h"
#include "formats/chunks.h"
#include "formats/deflate.h"
#include "formats/tar_header.h"

/* Larger ones compress 0.1 % better and cost memory in each worker. */
enum { CHUNK = 1 << 20, MANIFEST_MAX = 16 << 20 };

struct writer {
	const struct bundle_opts *opts;
	const struct bundle_sink *sink;
	struct bundle_result *result;
	struct bundle_keys keys;
	struct hash_stream *hash;     /* of the tar stream */
	struct crypto_cipher *cipher;
	struct deflate *deflate;      /* the owner's */
	uint8_t *zeros;               /* CHUNK */
	struct buf zero_member;       /* of CHUNK zeros */
	struct buf member, encrypted; /* scratch */
	struct buf part;              /* up to BUNDLE_PART_SIZE */
	struct buf parts;             /* of the manifest */
};

static bool is_name(const char *text)
{
	return *text && *text != '.' && *text != '-' && strlen(text) <= BUNDLE_PREFIX_MAX &&
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
			strlen(text);
}

int bundle_check(const struct bundle_opts *o, uint64_t size, struct error *err)
{
	char text[NUM_SIZE_TEXT];

	if (!is_name(o->prefix))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' cannot name a bundle: 1 to %d letters, digits, '.', '_' and '-' are right, a "
			"letter, digit or '_' first; --prefix gives another one",
			o->prefix, BUNDLE_PREFIX_MAX);
	if (!crypto_certificate_fits(o->certificate, o->key))
		return error_set(err, ERROR_INPUT, 0, "the certificate is not that of the private key");
	if (size > BUNDLE_IMAGE_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"the image has %s (%llu bytes); the root of an instance-store AMI has at most 10 GiB "
			"(%llu)",
			num_format_size(text, size), (unsigned long long)size,
			(unsigned long long)BUNDLE_IMAGE_MAX);
	return 0;
}

uint64_t bundle_size_max(uint64_t size)
{
	/* Stored blocks of deflate and the frames of members: far below 1 KiB for each chunk. */
	return size + (num_div_up(size, CHUNK) + 2) * KIB + TAR_RECORD;
}

static int send_part(struct writer *w, struct error *err)
{
	struct bundle_part part = {.index = w->result->nr_parts, .data = &w->part};
	char name[BUNDLE_PREFIX_MAX + 32];

	snprintf(name, sizeof(name), "%s.part.%02u", w->opts->prefix, part.index);
	part.name = name;
	if (sha1(w->part.data, w->part.len, part.sha1, err) < 0 ||
		bundle_manifest_add_part(&w->parts, &part, err) < 0)
		return -1;
	w->result->bundled_size += w->part.len;
	w->result->nr_parts++;
	if (w->sink->part(w->sink->arg, &part, err) < 0)
		return -1;
	buf_clear(&w->part);
	return 0;
}

/* A part goes when there is more behind it, or at the end: none is empty. */
static int split(struct writer *w, struct error *err)
{
	const char *at = buf_str(&w->encrypted);
	size_t left = w->encrypted.len;

	while (left) {
		size_t step;

		if (w->part.len == BUNDLE_PART_SIZE && send_part(w, err) < 0)
			return -1;
		step = MIN(left, (size_t)BUNDLE_PART_SIZE - w->part.len);
		if (buf_add(&w->part, at, step, err) < 0)
			return -1;
		at += step;
		left -= step;
	}
	buf_clear(&w->encrypted);
	return 0;
}

static int put_member(struct writer *w, const struct buf *member, struct error *err)
{
	if (crypto_cipher_update(w->cipher, member->data, member->len, &w->encrypted, err) < 0)
		return -1;
	return split(w, err);
}

/* Bytes of the tar stream that the owner compresses himself. */
static int put(struct writer *w, const void *data, size_t len, struct error *err)
{
	buf_clear(&w->member);
	if (hash_stream_update(w->hash, data, len, err) < 0 ||
		deflate_gzip(w->deflate, data, len, &w->member, err) < 0)
		return -1;
	return put_member(w, &w->member, err);
}

static int emit(struct chunk *c, void *arg, struct error *err)
{
	struct writer *w = arg;

	if (w->opts->cancelled && w->opts->cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted while bundling");
	if (!c->data && c->len < CHUNK)
		return put(w, w->zeros, c->len, err);
	if (hash_stream_update(w->hash, c->data ? c->data : w->zeros, c->len, err) < 0)
		return -1;
	return put_member(w, c->data ? &c->out : &w->zero_member, err);
}

static int work(struct chunk *c, void *arg, struct error *err)
{
	(void)arg;
	return deflate_gzip(c->state, c->data, c->len, &c->out, err);
}

static void *new_state(void *arg, struct error *err)
{
	const struct writer *w = arg;

	return deflate_new(w->opts->level, err);
}

static void free_state(void *state)
{
	deflate_free(state);
}

/* Zeros to the next block, two blocks of zeros, and to the end of the record. */
static int put_end(struct writer *w, uint64_t size, struct error *err)
{
	uint64_t block = num_align(size, TAR_BLOCK);
	uint64_t end = num_align(block + 3 * TAR_BLOCK, TAR_RECORD) - TAR_BLOCK;

	return put(w, w->zeros, (size_t)(end - size), err);
}

static int put_image(struct writer *w, struct dev *dev, struct error *err)
{
	struct chunks_opts opts = {
		.size = CHUNK,
		.workers = w->opts->workers,
		.what = "bundling",
		.progress = w->opts->progress,
		.cancelled = w->opts->cancelled,
		.all = true,
		.new_state = new_state,
		.free_state = free_state,
		.work = work,
		.emit = emit,
		.arg = w,
	};
	uint8_t header[TAR_BLOCK];

	tar_header(header, w->opts->prefix, dev->size, 0);
	if (put(w, header, sizeof(header), err) < 0 || chunks_run(dev, &opts, err) < 0 ||
		put_end(w, dev->size, err) < 0)
		return -1;
	if (crypto_cipher_final(w->cipher, &w->encrypted, err) < 0 || split(w, err) < 0)
		return -1;
	return send_part(w, err);
}

static int prepare(struct writer *w, struct error *err)
{
	buf_init(&w->zero_member, 2 * CHUNK); /* while it is compressed */
	buf_init(&w->member, 2 * CHUNK);
	buf_init(&w->encrypted, 4 * CHUNK);
	buf_init(&w->part, BUNDLE_PART_SIZE);
	buf_init(&w->parts, MANIFEST_MAX / 2);
	if (bundle_keys_make(&w->keys, w->opts, err) < 0)
		return -1;
	w->hash = hash_stream_new(HASH_SHA1, err);
	w->deflate = w->hash ? deflate_new(w->opts->level, err) : NULL;
	w->cipher = w->deflate ? crypto_cipher_new(true, w->keys.key, w->keys.iv, err) : NULL;
	if (!w->cipher)
		return -1;
	w->zeros = calloc(1, CHUNK);
	if (!w->zeros)
		return error_nomem(err, "a chunk");
	return deflate_gzip(w->deflate, w->zeros, CHUNK, &w->zero_member, err);
}

static int put_manifest(struct writer *w, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(MANIFEST_MAX);
	char name[BUNDLE_PREFIX_MAX + 32];
	uint8_t digest[HASH_STREAM_MAX];
	size_t len;

	if (hash_stream_final(w->hash, digest, &len, err) < 0)
		return -1;
	memcpy(w->result->sha1, digest, SHA1_SIZE);
	if (bundle_manifest_make(w->opts, &w->keys, w->result, &w->parts, &text, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "%s.manifest.xml", w->opts->prefix);
	return w->sink->manifest(w->sink->arg, name, text.data, text.len, err);
}

int bundle_write(struct dev *dev, const struct bundle_opts *opts, const struct bundle_sink *sink,
	struct bundle_result *result, struct error *err)
{
	struct writer w = {.opts = opts, .sink = sink, .result = result};
	int ret;

	*result = (struct bundle_result){.size = dev->size};
	ret = bundle_check(opts, dev->size, err);
	if (!ret)
		ret = prepare(&w, err);
	if (!ret)
		ret = put_image(&w, dev, err);
	if (!ret)
		ret = put_manifest(&w, err);
	bundle_keys_release(&w.keys);
	hash_stream_free(w.hash);
	crypto_cipher_free(w.cipher);
	deflate_free(w.deflate);
	free(w.zeros);
	buf_release(&w.zero_member);
	buf_release(&w.member);
	buf_release(&w.encrypted);
	buf_release(&w.part);
	buf_release(&w.parts);
	return ret;
}
