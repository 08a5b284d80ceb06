/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip goes through zlib by ourselves, because libarchive does not hold a member's content against its CRC, and
 * zstd through libzstd, so that of a disk's many pieces of zeros one is decompressed; all the others go through
 * libarchive's filters, which check what their formats let one check.
 */
#include "formats/unpack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/num.h"
#include "base/scratch.h"
#include "formats/detect.h"
#include "formats/gunzip.h"
#include "formats/zstd_stream.h"

enum { STEP = 256 << 10 };

/* Nothing that EC2 takes is larger; a bomb ends there at the latest. */
#define CONTENT_MAX (64 * TIB)

struct unpack {
	struct dev *file; /* NULL: from fd */
	int fd;
	const char *path;
	const struct format_read_opts *opts;
	struct scratch *scratch;
	struct progress progress;
	uint64_t at;       /* of the next byte of the file */
	struct error *err; /* of the run, for what libarchive calls */
	bool failed;       /* *err is set */
	uint8_t buf[STEP];
};

static int check_cancelled(const struct unpack *u, struct error *err)
{
	if (!u->opts->cancelled || !u->opts->cancelled())
		return 0;
	return error_set(err, ERROR_INTERRUPTED, 0, "reading '%s' was interrupted", u->path);
}

/* The next piece of the file; 0 at its end. */
static int next_piece(struct unpack *u, size_t *len, struct error *err)
{
	if (check_cancelled(u, err) < 0)
		return -1;
	*len = (size_t)MIN((uint64_t)STEP, u->file->size - u->at);
	if (*len && dev_pread(u->file, u->buf, *len, u->at, err) < 0)
		return -1;
	u->at += *len;
	progress_add(&u->progress, *len);
	return 0;
}

static int too_large(const struct unpack *u, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' holds more than 64 TiB, which no disk has", u->path);
}

static int take(void *arg, const void *data, size_t len, struct error *err)
{
	struct unpack *u = arg;

	/* A few bytes may come to much. */
	if (check_cancelled(u, err) < 0)
		return -1;
	if (len > CONTENT_MAX - scratch_size(u->scratch))
		return too_large(u, err);
	return scratch_write(u->scratch, data, len, err);
}

static int take_zeros(void *arg, uint64_t len, struct error *err)
{
	struct unpack *u = arg;

	if (len > CONTENT_MAX - scratch_size(u->scratch))
		return too_large(u, err);
	return scratch_zeros(u->scratch, len, err);
}

static int run_gunzip(struct unpack *u, struct error *err)
{
	CLEANUP(gunzip_cleanup) struct gunzip *g = gunzip_new(take, u, err);
	size_t len;

	if (!g)
		return -1;
	gunzip_take_zeros(g, take_zeros);
	for (;;) {
		if (next_piece(u, &len, err) < 0)
			return -1;
		if (!len)
			return gunzip_end(g, err);
		if (gunzip_push(g, u->buf, len, err) < 0)
			return -1;
	}
}

static int run_zstd(struct unpack *u, struct error *err)
{
	CLEANUP(zstd_stream_cleanup) struct zstd_stream *z = zstd_stream_new(take, take_zeros, u, err);
	size_t len;

	if (!z)
		return -1;
	for (;;) {
		if (next_piece(u, &len, err) < 0)
			return -1;
		if (!len)
			return zstd_stream_end(z, err);
		if (zstd_stream_push(z, u->buf, len, err) < 0)
			return -1;
	}
}

static la_ssize_t read_callback(struct archive *a, void *arg, const void **data)
{
	struct unpack *u = arg;
	size_t len;

	(void)a;
	*data = u->buf;
	if (!next_piece(u, &len, u->err))
		return (la_ssize_t)len;
	u->failed = true;
	return -1;
}

static int damaged(struct unpack *u, struct archive *a, struct error *err)
{
	const char *why = archive_error_string(a);

	/* liblzma's LZMA_BUF_ERROR: it wants more, and there is none. */
	if (!u->failed && why && strstr(why, "No progress is possible"))
		return error_set(err, ERROR_INPUT, 0, "its compressed data ends too soon");
	return u->failed ? -1 : error_set(err, ERROR_INPUT, 0, "its compressed data is damaged (%s)",
		why ? why : "no reason is known");
}

static int copy_content(struct unpack *u, struct archive *a, struct error *err)
{
	for (;;) {
		uint8_t out[32 << 10];
		la_ssize_t len = archive_read_data(a, out, sizeof(out));

		if (len < 0)
			return damaged(u, a, err);
		if (!len)
			return 0;
		if (take(u, out, (size_t)len, err) < 0)
			return -1;
	}
}

static void archive_cleanup(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
}

static int run_filter(struct unpack *u, const char *format, struct error *err)
{
	static const struct {
		const char *format;
		int (*support)(struct archive *a);
	} filters[] = {
		{"xz", archive_read_support_filter_xz},
		{"bzip2", archive_read_support_filter_bzip2},
		{"lz4", archive_read_support_filter_lz4},
	};
	CLEANUP(archive_cleanup) struct archive *a = archive_read_new();
	struct archive_entry *entry;

	if (!a || archive_read_support_format_raw(a) != ARCHIVE_OK)
		return error_nomem(err, "a decompressor");
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
		if (!strcmp(filters[i].format, format) && filters[i].support(a) != ARCHIVE_OK)
			return error_set(err, ERROR_INPUT, 0,
				"this libarchive does not decompress %s by itself", format);
	u->err = err;
	if (archive_read_open(a, u, NULL, read_callback, NULL) != ARCHIVE_OK ||
		archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return damaged(u, a, err);
	return copy_content(u, a, err);
}

bool unpack_knows(const char *format)
{
	static const char *const formats[] = {"gzip", "zstd", "xz", "bzip2", "lz4"};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i], format))
			return true;
	return false;
}

static struct dev *unpack(struct unpack *u, const char *format, struct error *err)
{
	char what[sizeof(u->progress.what)];
	struct dev *dev = NULL;
	int ret;

	u->scratch = scratch_new(u->opts->spool_dir, u->opts->spool_key, err);
	if (!u->scratch)
		return NULL;
	snprintf(what, sizeof(what), "unpack %s", format);
	progress_begin(&u->progress, u->opts->progress, what, u->file->size);
	ret = !strcmp(format, "gzip") ? run_gunzip(u, err) : !strcmp(format, "zstd") ? run_zstd(u, err) :
	      run_filter(u, format, err);
	progress_end(&u->progress, !ret);
	if (ret < 0 && err->kind == ERROR_INPUT)
		(void)!error_wrap(err, "'%s'", u->path);
	if (!ret)
		dev = scratch_dev(u->scratch, u->path, err);
	scratch_free(u->scratch);
	return dev;
}

/* What was inside, opened in its turn; the file's size stays that of the compressed one. */
static int open_inside(struct dev *dev, const char *path, const struct format_read_opts *opts,
	const char *outside, struct image *out, struct error *err)
{
	uint64_t size = out->file_size;
	const char *inside;

	if (detect_format(dev, &inside, err) < 0 || (unpack_knows(inside) &&
		error_set(err, ERROR_INPUT, 0, "'%s' is compressed twice (%s inside of %s): decompress it first",
			path, inside, outside) < 0)) {
		dev_close(dev, NULL);
		return -1;
	}
	if (format_open_inside(dev, path, opts, out, err) < 0)
		return -1;
	out->file_size = size;
	if (!strcmp(out->format, "raw") || !strcmp(out->format, "unknown"))
		out->format = outside;
	return 0;
}

int unpack_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err)
{
	CLEANUP_FREE struct unpack *u = calloc(1, sizeof(*u));
	const char *format = out->format;
	struct dev *dev = NULL;

	if (u) {
		u->file = file;
		u->path = path;
		u->opts = opts;
		dev = unpack(u, format, err);
	} else {
		error_nomem(err, "a decompressor");
	}
	dev_close(file, NULL);
	return dev ? open_inside(dev, path, opts, format, out, err) : -1;
}

static int read_all(struct unpack *u, struct error *err)
{
	for (;;) {
		ssize_t len = read(u->fd, u->buf, STEP);

		if (check_cancelled(u, err) < 0)
			return -1;
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return error_set(err, ERROR_IO, errno, "cannot read %s", u->path);
		if (!len)
			return 0;
		if (take(u, u->buf, (size_t)len, err) < 0)
			return -1;
		progress_add(&u->progress, (uint64_t)len);
	}
}

struct dev *unpack_spool(int fd, const char *name, const struct format_read_opts *opts,
	struct error *err)
{
	CLEANUP_FREE struct unpack *u = calloc(1, sizeof(*u));
	struct dev *dev = NULL;
	int ret;

	if (!u)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a copy of %s", name);
	u->fd = fd;
	u->path = name;
	u->opts = opts;
	u->scratch = scratch_new(opts->spool_dir, opts->spool_key, err);
	if (!u->scratch)
		return NULL;
	progress_begin(&u->progress, opts->progress, "read", 0);
	ret = read_all(u, err);
	progress_end(&u->progress, !ret);
	if (!ret)
		dev = scratch_dev(u->scratch, name, err);
	scratch_free(u->scratch);
	return dev;
}
