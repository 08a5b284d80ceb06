/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of OCI images, as ranges of sources: taking their compression off, and adding them with
 * their whiteouts. Three steps, the first and the last over the headers of the archive:
 *
 *   collect    names of whiteouts; links that a directory of the layer replaces go already, so that
 *              nothing is looked for behind them
 *   apply      whiteouts to the tree, which has nothing of this layer yet
 *   add        all else
 *
 * So a whiteout never reaches what its own layer brings, in whatever order the entries are.
 */
#include "fs/tree_tar.h"

#include <errno.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/num.h"
#include "fs/tree_tar_internal.h"

enum { BLOCK = 128 << 10, WHITEOUTS_MAX = 1 << 30 };

static const char whiteout[] = ".wh.";
static const char whiteout_meta[] = ".wh..wh.";
static const char opaque[] = ".wh..wh..opq";

DEFINE_CLEANUP(archive, struct archive, archive_read_free)

/* What a reader of compressed bytes reads from. */
struct packed {
	const struct tree_tar_range *range;
	uint64_t pos;
	char *block;
};

static la_ssize_t read_packed(struct archive *a, void *arg, const void **data)
{
	struct packed *in = arg;
	size_t len = MIN((uint64_t)BLOCK, in->range->len - in->pos);
	struct error err = ERROR_INIT;

	if (len > 0 && source_pread(in->range->src, in->range->id, in->block, len,
		in->range->off + in->pos, &err) < 0) {
		archive_set_error(a, err.errnum ? err.errnum : EIO, "%s", err.text);
		return -1;
	}
	in->pos += len;
	*data = in->block;
	return (la_ssize_t)len;
}

/* in->block is the caller's to free, after the archive. */
static struct archive *open_packed(struct packed *in, const char *name, struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *raw = tar_raw_new(err);

	if (!raw)
		return NULL;
	in->block = malloc(BLOCK);
	if (!in->block) {
		error_nomem(err, "a read buffer");
		return NULL;
	}
	if (tar_raw_begin(raw, archive_read_open(raw, in, NULL, read_packed, NULL), name, err) < 0)
		return NULL;
	return steal_ptr(&raw);
}

int tree_tar_is_compressed(const struct tree_tar_range *range, const char *name, bool *compressed,
	struct error *err)
{
	struct packed in = {.range = range};
	struct archive *raw;

	*compressed = false;
	if (range->len == 0)
		return 0;
	raw = open_packed(&in, name, err);
	if (raw)
		*compressed = archive_filter_code(raw, 0) != ARCHIVE_FILTER_NONE;
	archive_read_free(raw);
	free(in.block);
	return raw ? 0 : -1;
}

static int unpack(struct archive *raw, const char *name,
	int (*sink)(void *arg, const void *data, size_t len, struct error *err), void *arg,
	struct error *err)
{
	for (;;) {
		const void *data;
		la_int64_t off;
		size_t len;
		int r = archive_read_data_block(raw, &data, &len, &off);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r != ARCHIVE_OK)
			return error_set(err, ERROR_INPUT, 0, "'%s' is damaged: %s", name,
				archive_error_string(raw));
		if (len > 0 && sink(arg, data, len, err) < 0)
			return -1;
	}
}

int tree_tar_unpack(const struct tree_tar_range *range, const char *name,
	int (*sink)(void *arg, const void *data, size_t len, struct error *err), void *arg,
	struct error *err)
{
	struct packed in = {.range = range};
	struct archive *raw;
	int r = -1;

	if (range->len == 0)
		return 0;
	raw = open_packed(&in, name, err);
	if (raw)
		r = unpack(raw, name, sink, arg, err);
	archive_read_free(raw);
	free(in.block);
	return r;
}

/* The last component of a path that is made safe. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_whiteout(const char *name)
{
	return strncmp(name, whiteout, sizeof(whiteout) - 1) == 0;
}

/* Marks, what is below one that is a directory (aufs has such), and nothing else. */
static bool is_below_whiteout(const char *path)
{
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (is_whiteout(p))
			return true;
	}
	return false;
}

struct layer_scan {
	struct tar_scan scan;
	struct buf whiteouts; /* paths of the marks, each with its NUL */
};

static int entry_path(struct tar_scan *s, struct archive_entry *entry, struct error *err)
{
	const char *raw = archive_entry_pathname(entry);

	buf_clear(&s->last);
	if (!raw)
		return error_set(err, ERROR_INPUT, 0, "'%s' has an entry without a name", s->name);
	if (buf_add_str(&s->last, raw, err) < 0)
		return -1;
	return tar_make_safe(s, "name", raw, &s->path, err);
}

/* What a directory of the layer replaces goes before whiteouts below it are looked up. */
static int drop_replaced(struct tar_scan *s, struct error *err)
{
	struct tree_attr attr;
	tree_node node;

	if (tree_lookup(s->tree, buf_str(&s->path), false, &node, err) < 0)
		return error_wrap(err, "'%s'", s->name);
	if (node == TREE_NONE || node == TREE_ROOT)
		return 0;
	tree_get(s->tree, node, &attr);
	if (!S_ISDIR(attr.mode))
		tree_remove(s->tree, node);
	return 0;
}

static int collect(struct tar_scan *s, struct archive_entry *entry, struct error *err)
{
	struct layer_scan *ls = (struct layer_scan *)s;
	const char *name, *hidden;

	if (entry_path(s, entry, err) < 0)
		return -1;
	name = base_name(buf_str(&s->path));
	if (!is_whiteout(name)) {
		bool folder = archive_entry_filetype(entry) == AE_IFDIR &&
			!archive_entry_hardlink(entry);

		return folder && !is_below_whiteout(buf_str(&s->path)) ? drop_replaced(s, err) : 0;
	}
	if (strcmp(name, opaque) != 0 &&
		strncmp(name, whiteout_meta, sizeof(whiteout_meta) - 1) == 0)
		return 0;
	hidden = name + sizeof(whiteout) - 1;
	if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return error_set(err, ERROR_INPUT, 0, "'%s': whiteout '%s' names no file", s->name,
			buf_str(&s->last));
	return buf_add(&ls->whiteouts, buf_str(&s->path), s->path.len + 1, err);
}

static void remove_children(struct tree *t, tree_node dir)
{
	tree_node child;

	while ((child = tree_first_child(t, dir)) != TREE_NONE)
		tree_remove(t, child);
}

/* path: of the mark. What it hides may be gone already, with a directory or by another mark. */
static int apply_one(struct tar_scan *s, const char *path, struct error *err)
{
	const char *name = base_name(path), *hidden = name + sizeof(whiteout) - 1;
	CLEANUP_FREE char *parent = buf_strf(err, "/%.*s", (int)(name - path), path);
	tree_node dir, node;

	if (!parent)
		return -1;
	if (tree_lookup(s->tree, parent, true, &dir, err) < 0)
		return error_wrap(err, "'%s': whiteout '%s'", s->name, path);
	if (dir == TREE_NONE)
		return 0;
	if (strcmp(name, opaque) == 0) {
		remove_children(s->tree, dir);
		return 0;
	}
	node = tree_child(s->tree, dir, hidden, strlen(hidden));
	if (node != TREE_NONE)
		tree_remove(s->tree, node);
	return 0;
}

static int apply(struct layer_scan *ls, struct error *err)
{
	for (size_t at = 0; at < ls->whiteouts.len; at += strlen(ls->whiteouts.data + at) + 1)
		if (apply_one(&ls->scan, ls->whiteouts.data + at, err) < 0)
			return -1;
	return 0;
}

static int add(struct tar_scan *s, struct archive_entry *entry, struct error *err)
{
	if (entry_path(s, entry, err) < 0)
		return -1;
	return is_below_whiteout(buf_str(&s->path)) ? 0 : tar_add_entry(s, entry, err);
}

static struct tar_scan layer_scan(struct tree *t, const struct tree_tar_range *range,
	const char *name)
{
	return (struct tar_scan){.tree = t, .name = name, .layer = true, .source = range->src,
		.source_id = range->id, .source_off = range->off, .source_size = range->len};
}

int tree_tar_add_layer(struct tree *t, const struct tree_tar_range *range, const char *name,
	struct error *err)
{
	struct layer_scan ls = {.scan = layer_scan(t, range, name),
		.whiteouts = BUF_INIT(WHITEOUTS_MAX)};
	struct tar_stream in = {.range = range, .fd = -1, .size = range->len};
	struct tar_scan s = layer_scan(t, range, name);
	int r;

	if (range->len == 0)
		return 0;
	ls.scan.on_entry = collect;
	r = tar_scan_run(&ls.scan, &in, err);
	if (r == 0)
		r = apply(&ls, err);
	buf_release(&ls.whiteouts);
	if (r < 0)
		return -1;
	s.on_entry = add;
	in = (struct tar_stream){.range = range, .fd = -1, .size = range->len};
	return tar_scan_run(&s, &in, err);
}
