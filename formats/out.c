/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes are gathered to large writes; zeros in a file are a matter of its length alone. */
#include "formats/out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "base/scratch.h"
#include "base/zero.h"

enum { GATHER = 1 << 20, HOLE_MIN = 64 << 10 };

struct out {
	struct out_opts opts;
	struct atomic_file file; /* not open: standard output or a sink */
	char *path;
	int fd;                  /* of a file or standard output, or of a temporary file, which is owned */
	struct out_sink sink;    /* write NULL: none */
	bool temporary;
	uint64_t off;    /* of the next byte */
	uint64_t at;     /* bytes that the file has, or will have by its length: off less what is gathered */
	struct sha256 *hash;
	size_t gathered;
	uint8_t *buf;    /* GATHER */
	uint8_t *zeros;  /* GATHER; for the digest and for pipes */
};

static bool is_file(const struct out *o)
{
	return o->file.fd >= 0 || o->temporary;
}

static struct out *new_out(const char *path, const struct out_opts *opts, struct error *err)
{
	struct out *o = calloc(1, sizeof(*o));

	if (!o)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an output");
	o->opts = *opts;
	o->file = (struct atomic_file)ATOMIC_FILE_INIT;
	o->path = strdup(path);
	o->buf = malloc(GATHER);
	o->zeros = calloc(1, GATHER);
	if (opts->digest)
		o->hash = sha256_new(err);
	if (o->path && o->buf && o->zeros && (o->hash || !opts->digest))
		return o;
	error_nomem(err, "output buffers");
	out_abort(o);
	return NULL;
}

static int open_path(struct out *o, const char *path, struct error *err)
{
	if (strcmp(path, "-")) {
		if (atomic_file_open(&o->file, path, o->opts.secret ? 0600 : 0644, err) < 0)
			return -1;
		o->fd = o->file.fd;
		return 0;
	}
	o->fd = STDOUT_FILENO;
	return !isatty(o->fd) ? 0 : error_set(err, ERROR_USAGE, 0,
		"an image does not go to a terminal: give a file, or lead it into a pipe");
}

struct out *out_open(const char *path, const struct out_opts *opts, struct error *err)
{
	struct out *o = new_out(strcmp(path, "-") ? path : "standard output", opts, err);

	if (!o || !open_path(o, path, err))
		return o;
	out_abort(o);
	return NULL;
}

struct out *out_to_sink(const char *name, const struct out_sink *sink, const struct out_opts *opts,
	struct error *err)
{
	struct out *o = new_out(name, opts, err);

	if (o)
		o->sink = *sink;
	return o;
}

struct out *out_temporary(const char *dir, const struct out_opts *opts, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "a temporary file in %s", dir ? dir : "/var/tmp");
	struct out *o = path ? new_out(path, opts, err) : NULL;

	if (!o)
		return NULL;
	o->fd = scratch_open(dir, err);
	o->temporary = o->fd >= 0;
	if (o->temporary)
		return o;
	out_abort(o);
	return NULL;
}

uint64_t out_off(const struct out *o)
{
	return o->off;
}

const char *out_path(const struct out *o)
{
	return o->path;
}

/* Past the gathering, at the place where the file has come to. */
static int put(struct out *o, const void *data, size_t len, struct error *err)
{
	int ret = o->sink.write ? o->sink.write(o->sink.arg, data, len, err) :
		  is_file(o) ? file_pwrite_all(o->fd, data, len, o->at, o->path, err) :
			       file_write_all(o->fd, data, len, o->path, err);

	o->at += len;
	return ret;
}

static int flush(struct out *o, struct error *err)
{
	size_t len = o->gathered;

	o->gathered = 0;
	return len ? put(o, o->buf, len, err) : 0;
}

static int count(struct out *o, const void *data, size_t len, struct error *err)
{
	o->off += len;
	return o->hash ? sha256_update(o->hash, data, len, err) : 0;
}

int out_write(struct out *o, const void *data, size_t len, struct error *err)
{
	if (!len)
		return 0;
	if (count(o, data, len, err) < 0)
		return -1;
	if (o->gathered + len > GATHER && flush(o, err) < 0)
		return -1;
	if (len >= GATHER)
		return put(o, data, len, err);
	memcpy(o->buf + o->gathered, data, len);
	o->gathered += len;
	return 0;
}

int out_zeros(struct out *o, uint64_t len, struct error *err)
{
	bool hole = is_file(o) && len >= HOLE_MIN;

	if (hole && flush(o, err) < 0)
		return -1;
	if (hole && !o->hash) {
		o->off += len;
		o->at += len;
		return 0;
	}
	while (len) {
		size_t step = MIN(len, (uint64_t)GATHER);

		if (!hole && out_write(o, o->zeros, step, err) < 0)
			return -1;
		if (hole && count(o, o->zeros, step, err) < 0)
			return -1;
		o->at += hole ? step : 0;
		len -= step;
	}
	return 0;
}

int out_sparse(struct out *o, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;

	for (size_t done = 0, step; done < len; done += step) {
		int ret;

		step = MIN(len - done, (size_t)HOLE_MIN);
		ret = step == HOLE_MIN && zero_all(p + done, step) ? out_zeros(o, step, err) :
								   out_write(o, p + done, step, err);
		if (ret < 0)
			return -1;
	}
	return 0;
}

int out_pad(struct out *o, uint64_t align, struct error *err)
{
	return out_zeros(o, -o->off & (align - 1), err);
}

int out_copy(struct out *o, int fd, uint64_t off, uint64_t len, struct error *err)
{
	uint8_t *buf = len ? malloc(GATHER) : NULL;
	int ret = 0;

	if (len && !buf)
		return error_nomem(err, "a copy buffer");
	while (len && !ret) {
		size_t step = MIN(len, (uint64_t)GATHER);

		ret = file_pread_all(fd, buf, step, off, "a temporary file", err);
		if (!ret)
			ret = out_write(o, buf, step, err);
		off += step;
		len -= step;
	}
	free(buf);
	return ret;
}

static void release(struct out *o)
{
	if (o->temporary)
		close(o->fd);
	sha256_free(o->hash);
	free(o->path);
	free(o->buf);
	free(o->zeros);
	free(o);
}

static int finish(struct out *o, uint8_t sha256[SHA256_SIZE], struct error *err)
{
	if (flush(o, err) < 0 || (o->hash && sha256_final(o->hash, sha256, err) < 0))
		return -1;
	/* Zeros at the end are there by the length alone. */
	if (is_file(o) && ftruncate(o->fd, (off_t)o->off) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write '%s'", o->path);
	return 0;
}

int out_commit(struct out *o, uint8_t sha256[SHA256_SIZE], struct error *err)
{
	int ret = finish(o, sha256, err);

	if (!ret && o->sink.commit)
		ret = o->sink.commit(o->sink.arg, err);
	else if (!ret && o->file.fd >= 0)
		ret = atomic_file_commit(&o->file, o->opts.durable, err);
	else
		atomic_file_abort(&o->file);
	release(o);
	return ret;
}

int out_take_fd(struct out *o, uint8_t sha256[SHA256_SIZE], struct error *err)
{
	int fd = finish(o, sha256, err) < 0 ? -1 : o->fd;

	if (fd >= 0)
		o->temporary = false;
	release(o);
	return fd;
}

void out_abort(struct out *o)
{
	if (!o)
		return;
	atomic_file_abort(&o->file);
	release(o);
}
