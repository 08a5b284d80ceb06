/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar archives into a tree: the streams. Two libarchive readers: the first only takes compression
 * off, the second only knows tar. That is what lets us see the end of both: the tar must have its
 * end-of-archive mark, and the compressed stream must be whole to its last checksum, which
 * lies behind that mark.
 *
 *   plain file      windows of the file ─▶ tar             contents referred to, never read
 *   all else        file, pipe, memory ─▶ raw ─▶ tar       contents to the spool
 *
 * Windows are small and go from header to header: a mapping would make a file that is cut while we
 * read it a SIGBUS.
 */
#include "fs/tree_tar.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/num.h"
#include "fs/tree_tar_internal.h"

enum { FD_BLOCK = 128 << 10, NAMES_MAX = 1 << 30 };

DEFINE_CLEANUP(archive, struct archive, archive_read_free)

static la_ssize_t read_range(struct archive *a, struct tar_stream *in, const void **data)
{
	size_t len = MIN(sizeof(in->window), in->size - in->pos);
	struct error err = ERROR_INIT;

	if (len > 0 && source_pread(in->range->src, in->range->id, in->window, len,
		in->range->off + in->pos, &err) < 0) {
		archive_set_error(a, err.errnum ? err.errnum : EIO, "%s", err.text);
		return -1;
	}
	in->ended = len == 0;
	in->pos += len;
	*data = in->window;
	return (la_ssize_t)len;
}

static la_ssize_t read_window(struct archive *a, void *arg, const void **data)
{
	struct tar_stream *in = arg;
	ssize_t n;

	if (in->range)
		return read_range(a, in, data);
	do {
		n = pread(in->fd, in->window, sizeof(in->window), (off_t)in->pos);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		archive_set_error(a, errno, "cannot read");
		return -1;
	}
	in->ended = n == 0;
	in->pos += (uint64_t)n;
	*data = in->window;
	return n;
}

/* Never past the end: what is missing must be found missing. */
static la_int64_t skip_window(struct archive *a, void *arg, la_int64_t len)
{
	struct tar_stream *in = arg;
	uint64_t left = in->size > in->pos ? in->size - in->pos : 0;
	uint64_t step = MIN(left, (uint64_t)len);

	(void)a;
	in->pos += step;
	return (la_int64_t)step;
}

static la_ssize_t read_raw(struct archive *a, void *arg, const void **data)
{
	struct tar_stream *in = arg;
	la_int64_t off;
	size_t len;
	int r;

	do {
		r = archive_read_data_block(in->raw, data, &len, &off);
	} while (r == ARCHIVE_OK && len == 0);
	if (r == ARCHIVE_OK)
		return (la_ssize_t)len;
	in->ended = r == ARCHIVE_EOF;
	if (in->ended)
		return 0;
	archive_set_error(a, archive_errno(in->raw), "%s", archive_error_string(in->raw));
	return -1;
}

int tar_damaged(const struct tar_scan *s, struct error *err)
{
	const char *why = archive_error_string(s->archive);

	if (archive_errno(s->archive) == ENOMEM)
		return error_nomem(err, "a tar archive");
	if (s->last.len > 0)
		return error_set(err, ERROR_INPUT, 0, "'%s' is damaged in or behind entry '%s': %s",
			s->name, buf_str(&s->last), why ? why : "no reason given");
	return error_set(err, ERROR_INPUT, 0, "'%s' is no tar archive, or damaged at its start: %s",
		s->name, why ? why : "no reason given");
}

/*
 * A warning means that something of the entry was lost, with one exception: names that libarchive
 * cannot convert to the locale (always "C" here) are kept as the bytes that they are, just as we
 * want them.
 */
static bool is_harmless(struct archive *a)
{
	const char *why = archive_error_string(a);

	return why && strstr(why, "can't be converted from ");
}

/* A warning comes with the entry: its name is the one to show. */
static int refuse_warning(struct tar_scan *s, struct archive_entry *entry, struct error *err)
{
	const char *raw = archive_entry_pathname(entry);

	buf_clear(&s->last);
	if (raw && buf_add_str(&s->last, raw, err) < 0)
		return -1;
	return tar_damaged(s, err);
}

static int add_entries(struct tar_scan *s, struct error *err)
{
	struct archive_entry *entry;

	for (;;) {
		int r = archive_read_next_header(s->archive, &entry);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r == ARCHIVE_WARN && !is_harmless(s->archive))
			return refuse_warning(s, entry, err);
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return tar_damaged(s, err);
		if (s->on_entry(s, entry, err) < 0)
			return -1;
	}
}

/*
 * An archive that just stops between two entries is one that was cut off there. Layers are known to
 * be whole by their digests, and some tools write them without the mark.
 */
static int check_end(const struct tar_scan *s, const struct tar_stream *in, struct error *err)
{
	if (!in->ended || s->layer)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is cut off behind entry '%s': there is no end-of-archive mark", s->name,
		buf_str(&s->last));
}

/* Reads on to the end, for the checksums there (and so that a writer of a pipe can end). */
static int drain(const struct tar_scan *s, struct archive *raw, struct error *err)
{
	const void *data;
	la_int64_t off;
	size_t len;
	int r;

	do {
		r = archive_read_data_block(raw, &data, &len, &off);
	} while (r == ARCHIVE_OK);
	if (r == ARCHIVE_EOF)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' is damaged at its end: %s", s->name,
		archive_error_string(raw));
}

static int open_tar(struct tar_scan *s, struct tar_stream *in, struct error *err)
{
	struct archive *a = s->archive;

	if (archive_read_support_format_tar(a) != ARCHIVE_OK)
		return tar_damaged(s, err);
	archive_read_set_read_callback(a, in->raw ? read_raw : read_window);
	if (!in->raw)
		archive_read_set_skip_callback(a, skip_window);
	archive_read_set_callback_data(a, in);
	if (archive_read_open1(a) != ARCHIVE_OK)
		return tar_damaged(s, err);
	return 0;
}

static void scan_release(struct tar_scan *s)
{
	buf_release(&s->path);
	buf_release(&s->target);
	buf_release(&s->last);
	buf_release(&s->parent_path);
	buf_release(&s->names);
	free(s->pending);
}

/* Reads the tar of `in` to its end. */
static int scan_stream(struct tar_scan *s, struct tar_stream *in, struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *a = archive_read_new();

	if (!a)
		return error_nomem(err, "a tar archive");
	s->archive = a;
	if (open_tar(s, in, err) < 0 || add_entries(s, err) < 0 || check_end(s, in, err) < 0)
		return -1;
	if (in->raw && drain(s, in->raw, err) < 0)
		return -1;
	return tar_resolve_pending(s, err);
}

/*
 * libarchive converts the UTF-8 names of pax headers to the locale's charset, and normalises them
 * when that is UTF-8 as well. In "C" it fails at that, and keeps the bytes.
 */
int tar_scan_run(struct tar_scan *s, struct tar_stream *in, struct error *err)
{
	static const struct tree_tar_opts no_opts;
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old;
	int r;

	if (!c)
		return error_nomem(err, "a locale");
	old = uselocale(c);
	if (!s->opts)
		s->opts = &no_opts;
	if (!s->on_entry)
		s->on_entry = tar_add_entry;
	s->parent = TREE_NONE;
	buf_init(&s->path, TREE_PATH_MAX);
	buf_init(&s->target, TREE_PATH_MAX);
	buf_init(&s->last, 0);
	buf_init(&s->parent_path, TREE_PATH_MAX);
	buf_init(&s->names, NAMES_MAX);
	r = scan_stream(s, in, err);
	scan_release(s);
	uselocale(old);
	freelocale(c);
	return r;
}

/* The first reader, whose filters are all that we take. */
struct archive *tar_raw_new(struct error *err)
{
	struct archive *a = archive_read_new();

	if (!a || archive_read_support_format_raw(a) != ARCHIVE_OK) {
		archive_read_free(a);
		error_nomem(err, "a tar archive");
		return NULL;
	}
	/* A warning says that an external program would be run for one that is not built in. */
	if (archive_read_support_filter_gzip(a) == ARCHIVE_FATAL ||
		archive_read_support_filter_xz(a) == ARCHIVE_FATAL ||
		archive_read_support_filter_zstd(a) == ARCHIVE_FATAL ||
		archive_read_support_filter_bzip2(a) == ARCHIVE_FATAL ||
		archive_read_support_filter_lz4(a) == ARCHIVE_FATAL) {
		archive_read_free(a);
		error_nomem(err, "a tar archive");
		return NULL;
	}
	return a;
}

/* r: what opening gave. */
int tar_raw_begin(struct archive *raw, int r, const char *name, struct error *err)
{
	struct archive_entry *entry;

	if (r == ARCHIVE_OK)
		r = archive_read_next_header(raw, &entry);
	if (r == ARCHIVE_OK)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is no tar archive, plain or compressed by gzip, xz, zstd, bzip2 or lz4: %s", name,
		r == ARCHIVE_EOF ? "it is empty" : archive_error_string(raw));
}

static int add_plain_file(struct tree *t, int fd, const char *path, const struct stat *st,
	const struct tree_tar_opts *opts, struct error *err)
{
	struct source *source = tar_source_new(fd, path, st, err);
	struct tar_stream in = {.fd = fd, .size = (uint64_t)st->st_size};
	struct tar_scan s = {.tree = t, .name = path, .opts = opts, .source = source,
		.source_size = in.size};

	if (!source || tree_take_source(t, source, err) < 0)
		return -1;
	if (tar_scan_run(&s, &in, err) < 0) {
		/* Whatever went wrong, a file that changed is the better reason. */
		struct error changed = ERROR_INIT;

		if (tar_source_check(source, &changed) < 0)
			*err = changed;
		return -1;
	}
	return tar_source_check(source, err);
}

static int add_raw(struct tree *t, struct archive *raw, const char *name,
	const struct tree_tar_opts *opts, struct error *err)
{
	struct tar_stream in = {.fd = -1, .raw = raw};
	struct tar_scan s = {.tree = t, .name = name, .opts = opts};

	return tar_scan_run(&s, &in, err);
}

int tree_tar_add_fd(struct tree *t, int fd, const char *name, const struct tree_tar_opts *opts,
	struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *raw = tar_raw_new(err);

	if (!raw || tar_raw_begin(raw, archive_read_open_fd(raw, fd, FD_BLOCK), name, err) < 0)
		return -1;
	return add_raw(t, raw, name, opts, err);
}

int tree_tar_add_mem(struct tree *t, const void *data, size_t len, const char *name,
	const struct tree_tar_opts *opts, struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *raw = tar_raw_new(err);

	if (!raw || tar_raw_begin(raw, archive_read_open_memory(raw, data, len), name, err) < 0)
		return -1;
	return add_raw(t, raw, name, opts, err);
}

int tree_tar_add(struct tree *t, const char *path, const struct tree_tar_opts *opts,
	struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *raw = NULL;
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_INPUT, 0, "'%s' is a directory, not a tar archive", path);
	raw = tar_raw_new(err);
	if (!raw || tar_raw_begin(raw, archive_read_open_fd(raw, fd, FD_BLOCK), path, err) < 0)
		return -1;
	if (!S_ISREG(st.st_mode) || archive_filter_code(raw, 0) != ARCHIVE_FILTER_NONE)
		return add_raw(t, raw, path, opts, err);
	return add_plain_file(t, steal_fd(&fd), path, &st, opts, err);
}
