/* SPDX-License-Identifier: Apache-2.0 */
/* From parts back to the image: decrypted, decompressed and unpacked as they are read. */
#include "formats/unbundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crypto_cipher.h"
#include "base/file.h"
#include "base/hash_stream.h"
#include "base/num.h"
#include "base/zero.h"
#include "formats/gunzip.h"
#include "formats/out.h"
#include "formats/unbundle_tar.h"

enum { STEP = 1 << 20, HOLE = 64 << 10, HEX_SIZE = 2 * CRYPTO_AES_SIZE };

/* Gets a part's bytes in order. */
typedef int (*bytes_fn)(void *arg, const uint8_t *data, size_t len, struct error *err);

static int open_part(const char *path, uint64_t *size, struct error *err)
{
	/* What is no file must not make us wait. */
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot open the part '%s'", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, 0, "the part '%s' is no file", path);
	*size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

static char *part_path(const struct unbundle *u, const struct unbundle_opts *o, size_t i,
	struct error *err)
{
	const char *slash = strrchr(u->path, '/');

	if (o->parts)
		return file_join(o->parts, u->parts[i].name, err);
	return buf_strf(err, "%.*s%s", slash ? (int)(slash - u->path) + 1 : 0, u->path,
		u->parts[i].name);
}

static int read_bytes(int fd, const char *path, uint64_t size, const struct unbundle_opts *o,
	bytes_fn fn, void *arg, struct error *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(STEP);

	if (!buf)
		return error_nomem(err, "a part");
	for (uint64_t off = 0; off < size;) {
		size_t step = (size_t)MIN(size - off, (uint64_t)STEP);

		if (o->cancelled && o->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted while reading a bundle");
		if (file_pread_all(fd, buf, step, off, path, err) < 0 || fn(arg, buf, step, err) < 0)
			return -1;
		if (o->progress)
			progress_add(o->progress, step);
		off += step;
	}
	return 0;
}

static int read_part(const struct unbundle *u, size_t i, const struct unbundle_opts *o, bytes_fn fn,
	void *arg, struct error *err)
{
	CLEANUP_FREE char *path = part_path(u, o, i, err);
	CLEANUP_CLOSE int fd = -1;
	uint64_t size;

	if (!path)
		return -1;
	fd = open_part(path, &size, err);
	return fd < 0 ? -1 : read_bytes(fd, path, size, o, fn, arg, err);
}

static int hash_bytes(void *arg, const uint8_t *data, size_t len, struct error *err)
{
	return hash_stream_update(arg, data, len, err);
}

static int check_part(const struct unbundle *u, size_t i, const struct unbundle_opts *o,
	struct error *err)
{
	CLEANUP(hash_stream_cleanup) struct hash_stream *h = hash_stream_new(HASH_SHA1, err);
	uint8_t digest[HASH_STREAM_MAX];
	char found[SHA1_HEX_SIZE], wanted[SHA1_HEX_SIZE];
	size_t len;

	if (!h || read_part(u, i, o, hash_bytes, h, err) < 0 ||
		hash_stream_final(h, digest, &len, err) < 0)
		return -1;
	if (memcmp(digest, u->parts[i].sha1, SHA1_SIZE) == 0)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"the part '%s' is damaged: its SHA-1 is %s, the manifest has %s", u->parts[i].name,
		hex_encode(found, digest, SHA1_SIZE), hex_encode(wanted, u->parts[i].sha1, SHA1_SIZE));
}

/* Sizes first: a part that is missing or cut is found before any is read. */
static int check_sizes(const struct unbundle *u, const struct unbundle_opts *o, struct error *err)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < u->nr_parts; i++) {
		CLEANUP_FREE char *path = part_path(u, o, i, err);
		CLEANUP_CLOSE int fd = -1;
		uint64_t size = 0;

		if (!path)
			return -1;
		fd = open_part(path, &size, err);
		if (fd < 0)
			return -1;
		if (num_add(sum, size, &sum))
			return error_set(err, ERROR_INPUT, 0, "the parts are too large");
	}
	if (sum == u->bundled_size)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "the parts of '%s' have %llu bytes; the manifest says %llu",
		u->path, (unsigned long long)sum, (unsigned long long)u->bundled_size);
}

int unbundle_check_parts(const struct unbundle *u, const struct unbundle_opts *opts, struct error *err)
{
	if (check_sizes(u, opts, err) < 0)
		return -1;
	for (size_t i = 0; i < u->nr_parts; i++)
		if (check_part(u, i, opts, err) < 0)
			return -1;
	return 0;
}

/* One extraction: each stage has the next one. */
struct extraction {
	struct crypto_cipher *cipher;
	struct gunzip *gunzip;
	struct hash_stream *hash;
	struct unbundle_tar *tar;
	struct out *out; /* NULL: only checked */
	uint64_t off;    /* of the image */
	uint64_t zeros;  /* before it that are not written yet: the more at once, the larger a hole */
	struct buf plain;
};

static int put_zeros(struct extraction *x, struct error *err)
{
	uint64_t zeros = x->zeros;

	x->zeros = 0;
	return out_zeros(x->out, zeros, err);
}

static int put_image(void *arg, const void *data, uint64_t len, struct error *err)
{
	struct extraction *x = arg;
	const uint8_t *at = data;

	if (!x->out)
		return 0;
	/* At once: a hole may be as long as its file claims to be. */
	if (!data) {
		x->zeros += len;
		x->off += len;
		return 0;
	}
	while (len) {
		size_t step = (size_t)MIN(len, HOLE - x->off % HOLE);
		bool zeros = zero_all(at, step);

		if (!zeros && (put_zeros(x, err) < 0 || out_write(x->out, at, step, err) < 0))
			return -1;
		x->zeros += zeros ? step : 0;
		x->off += step;
		at += step;
		len -= step;
	}
	return 0;
}

static int put_tar(void *arg, const void *data, size_t len, struct error *err)
{
	struct extraction *x = arg;

	return hash_stream_update(x->hash, data, len, err) < 0 ||
		unbundle_tar_push(x->tar, data, len, err) < 0 ? -1 : 0;
}

static int put_plain(struct extraction *x, struct error *err)
{
	int ret = gunzip_push(x->gunzip, buf_str(&x->plain), x->plain.len, err);

	buf_clear(&x->plain);
	return ret;
}

static int put_encrypted(void *arg, const uint8_t *data, size_t len, struct error *err)
{
	struct extraction *x = arg;

	return crypto_cipher_update(x->cipher, data, len, &x->plain, err) < 0 ? -1 : put_plain(x, err);
}

/* 32 hex digits, encrypted: what else comes out was not encrypted for this key. */
static int unwrap(const struct crypto_rsa_key *key, const struct buf *wrapped,
	uint8_t out[CRYPTO_AES_SIZE])
{
	CLEANUP_BUF struct buf text = BUF_INIT(CRYPTO_RSA_MAX);
	int ret = crypto_rsa_decrypt(key, wrapped->data, wrapped->len, &text, NULL);

	if (!ret && (text.len != HEX_SIZE || hex_decode(out, CRYPTO_AES_SIZE, buf_str(&text))))
		ret = -1;
	if (text.data)
		crypto_wipe(text.data, text.size);
	return ret;
}

static struct crypto_cipher *open_cipher(const struct unbundle *u, const struct crypto_rsa_key *k,
	struct error *err)
{
	uint8_t key[CRYPTO_AES_SIZE], iv[CRYPTO_AES_SIZE];
	struct crypto_cipher *c = NULL;

	if (unwrap(k, &u->user_key, key) < 0 || unwrap(k, &u->user_iv, iv) < 0)
		error_set(err, ERROR_INPUT, 0, "'%s' was not encrypted for this private key", u->path);
	else
		c = crypto_cipher_new(false, key, iv, err);
	crypto_wipe(key, sizeof(key));
	crypto_wipe(iv, sizeof(iv));
	return c;
}

static int open_stages(struct extraction *x, const struct unbundle *u, const struct crypto_rsa_key *key,
	struct error *err)
{
	buf_init(&x->plain, 2 * STEP);
	x->cipher = open_cipher(u, key, err);
	x->hash = x->cipher ? hash_stream_new(HASH_SHA1, err) : NULL;
	x->tar = x->hash ? unbundle_tar_new(u->size, put_image, x, err) : NULL;
	x->gunzip = x->tar ? gunzip_new(put_tar, x, err) : NULL;
	return x->gunzip ? 0 : -1;
}

static int finish(struct extraction *x, const struct unbundle *u, struct error *err)
{
	uint8_t digest[HASH_STREAM_MAX];
	size_t len;

	if (crypto_cipher_final(x->cipher, &x->plain, err) < 0 || put_plain(x, err) < 0 ||
		gunzip_end(x->gunzip, err) < 0 || unbundle_tar_end(x->tar, err) < 0 ||
		hash_stream_final(x->hash, digest, &len, err) < 0)
		return -1;
	if (memcmp(digest, u->sha1, SHA1_SIZE))
		return error_set(err, ERROR_INPUT, 0,
			"the SHA-1 of its content is not what the manifest has");
	return x->out ? put_zeros(x, err) : 0;
}

static int run(struct extraction *x, const struct unbundle *u, const struct unbundle_opts *o,
	struct error *err)
{
	for (size_t i = 0; i < u->nr_parts; i++)
		if (read_part(u, i, o, put_encrypted, x, err) < 0)
			return -1;
	return finish(x, u, err);
}

static void release(struct extraction *x)
{
	if (x->plain.data)
		crypto_wipe(x->plain.data, x->plain.size);
	buf_release(&x->plain);
	gunzip_free(x->gunzip);
	unbundle_tar_free(x->tar);
	hash_stream_free(x->hash);
	crypto_cipher_free(x->cipher);
}

int unbundle_extract(const struct unbundle *u, const struct crypto_rsa_key *key, const char *path,
	const struct unbundle_opts *opts, struct error *err)
{
	/* Somebody had a reason to encrypt it. */
	struct out_opts out_opts = {.secret = true};
	struct extraction x = {0};
	int ret = open_stages(&x, u, key, err);

	if (!ret && path) {
		x.out = out_open(path, &out_opts, err);
		ret = x.out ? 0 : -1;
	}
	if (!ret) {
		ret = run(&x, u, opts, err);
		if (ret < 0 && err && err->kind == ERROR_INPUT)
			error_wrap(err, "the bundle '%s'", u->path);
	}
	if (!ret && x.out)
		ret = out_commit(x.out, NULL, err);
	else
		out_abort(x.out);
	release(&x);
	return ret;
}
