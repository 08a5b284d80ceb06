/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMDK as a device: a row of parts, each a sparse extent, a range of a flat file or zeros. A file
 * that begins with a sparse header is the one part of itself; a descriptor names its parts.
 */
#include "formats/vmdk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/file.h"
#include "base/filedev.h"
#include "base/num.h"
#include "formats/vmdk_descriptor.h"
#include "formats/vmdk_extent.h"

struct part {
	uint64_t start, len;        /* of the disk */
	uint64_t off;               /* in a flat file */
	struct dev *file;           /* NULL: zeros; owned */
	struct vmdk_extent *sparse; /* NULL: flat; owned */
	char *path;                 /* for messages; owned */
};

struct vmdk {
	struct dev dev;
	struct part *parts; /* in order, without gaps */
	size_t nr_parts;
};

static struct vmdk *from_dev(struct dev *dev)
{
	return (struct vmdk *)dev;
}

static size_t find_part(const struct vmdk *v, uint64_t off)
{
	return ARRAY_LAST_UP_TO(v->parts, v->nr_parts, start, off);
}

static int part_pread(const struct part *p, void *buf, size_t len, uint64_t off, struct error *err)
{
	if (p->sparse)
		return vmdk_extent_pread(p->sparse, buf, len, off, err);
	if (p->file)
		return dev_pread(p->file, buf, len, p->off + off, err);
	memset(buf, 0, len);
	return 0;
}

static int vmdk_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	const struct vmdk *v = from_dev(dev);
	uint8_t *to = buf;

	for (size_t i = find_part(v, off); len; i++) {
		const struct part *p = &v->parts[i];
		uint64_t at = off - p->start;
		size_t n = (size_t)MIN(len, p->len - at);

		if (part_pread(p, to, n, at, err) < 0)
			return -1;
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* A flat file's own extents, moved to where it is in the disk. */
static int flat_extents(
	const struct part *p, uint64_t at, uint64_t len, struct extent_list *list, struct error *err)
{
	struct extent_list own = EXTENT_LIST_INIT;
	int ret = dev_extents(p->file, p->off + at, len, &own, err);

	for (size_t i = 0; ret == 0 && i < own.nr; i++)
		ret = extent_list_add(list, own.items[i].off - p->off + p->start, own.items[i].len,
			own.items[i].kind, err);
	extent_list_release(&own);
	return ret;
}

static int part_extents(
	const struct part *p, uint64_t at, uint64_t len, struct extent_list *list, struct error *err)
{
	if (p->sparse)
		return vmdk_extent_list(p->sparse, at, len, p->start, list, err);
	if (p->file)
		return flat_extents(p, at, len, list, err);
	return extent_list_add(list, p->start + at, len, EXTENT_ZERO, err);
}

static int vmdk_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	const struct vmdk *v = from_dev(dev);

	for (size_t i = find_part(v, off); len; i++) {
		const struct part *p = &v->parts[i];
		uint64_t at = off - p->start, n = MIN(len, p->len - at);

		if (part_extents(p, at, n, list, err) < 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

static int vmdk_close(struct dev *dev, struct error *err)
{
	struct vmdk *v = from_dev(dev);

	(void)err; /* nothing was written */
	for (size_t i = 0; i < v->nr_parts; i++) {
		vmdk_extent_free(v->parts[i].sparse);
		dev_close(v->parts[i].file, NULL);
		free(v->parts[i].path);
	}
	free(v->parts);
	free(v);
	return 0;
}

static const struct dev_ops vmdk_ops = {
	.name = "vmdk",
	.pread = vmdk_pread,
	.extents = vmdk_extents,
	.close = vmdk_close,
};

bool vmdk_reads(const struct dev *dev, const char *path)
{
	const struct vmdk *v = (const struct vmdk *)dev;
	struct stat at, part;

	if (dev->ops != &vmdk_ops || stat(path, &at) < 0)
		return false;
	for (size_t i = 0; i < v->nr_parts; i++)
		if (v->parts[i].path && stat(v->parts[i].path, &part) == 0 && part.st_dev == at.st_dev &&
			part.st_ino == at.st_ino)
			return true;
	return false;
}

static void free_vmdk(struct vmdk *v)
{
	vmdk_close(&v->dev, NULL);
}
DEFINE_CLEANUP(vmdk, struct vmdk, free_vmdk)

static struct vmdk *new_vmdk(size_t nr_parts, struct error *err)
{
	struct vmdk *v = calloc(1, sizeof(*v));

	if (v)
		v->parts = calloc(nr_parts, sizeof(*v->parts));
	if (!v || !v->parts) {
		free(v);
		error_nomem(err, "a VMDK");
		return NULL;
	}
	v->dev.ops = &vmdk_ops;
	v->nr_parts = nr_parts;
	return v;
}

/* The part gets its content from p->file (in p already), len bytes of it. */
static int set_sparse(struct part *p, uint64_t len, struct error *err)
{
	p->sparse = vmdk_extent_new(p->file, p->path, err);
	if (!p->sparse)
		return -1;
	p->len = len ? len : vmdk_extent_size(p->sparse);
	if (p->len <= vmdk_extent_size(p->sparse))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' holds %llu sectors, and its descriptor says %llu",
		p->path, (unsigned long long)(vmdk_extent_size(p->sparse) / VMDK_SECTOR),
		(unsigned long long)(p->len / VMDK_SECTOR));
}

static int set_flat(struct part *p, uint64_t off, uint64_t len, struct error *err)
{
	p->off = off;
	p->len = len;
	if (off <= p->file->size && len <= p->file->size - off)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' has %llu bytes, and its descriptor needs %llu", p->path,
		(unsigned long long)p->file->size, (unsigned long long)(off + len));
}

/* Beside the descriptor at path. */
static char *path_beside(const char *path, const char *name, struct error *err)
{
	const char *slash = strrchr(path, '/');

	return buf_strf(err, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);
}

static int open_part(struct part *p, const struct vmdk_extent_line *line, const char *path,
	struct error *err)
{
	p->len = line->sectors * VMDK_SECTOR;
	if (line->type == VMDK_EXTENT_ZERO)
		return 0;
	p->path = path_beside(path, line->name, err);
	if (!p->path)
		return -1;
	p->file = filedev_open_plain(p->path, err);
	if (!p->file)
		return error_wrap(err, err->kind == ERROR_INPUT ? "'%s' must have its extents beside it as files" :
			"'%s' names a file that is missing or cannot be read", path);
	if (line->type == VMDK_EXTENT_SPARSE)
		return set_sparse(p, p->len, err);
	return set_flat(p, line->off * VMDK_SECTOR, p->len, err);
}

static int open_parts(
	const struct vmdk_descriptor *d, const char *path, struct image *out, struct error *err)
{
	CLEANUP(vmdk_cleanup) struct vmdk *v = new_vmdk(d->nr_extents, err);

	if (!v)
		return -1;
	file_allow(d->nr_extents);
	for (size_t i = 0; i < d->nr_extents; i++) {
		struct part *p = &v->parts[i];

		p->start = v->dev.size;
		if (open_part(p, &d->extents[i], path, err) < 0)
			return -1;
		v->dev.size += p->len;
		out->file_size += p->file ? p->file->size : 0;
	}
	out->dev = &steal_ptr(&v)->dev;
	return 0;
}

static int read_text(struct dev *file, uint64_t off, uint64_t len, struct buf *text, struct error *err)
{
	void *to = buf_extend(text, len, err);

	return to ? dev_pread(file, to, len, off, err) : -1;
}

static int open_descriptor(struct dev *file, const char *path, struct image *out, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(VMDK_DESCRIPTOR_MAX);
	struct vmdk_descriptor d = {0};
	int ret;

	if (file->size > VMDK_DESCRIPTOR_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s' is too long for a VMDK descriptor", path);
	if (read_text(file, 0, file->size, &text, err) < 0)
		return -1;
	ret = vmdk_descriptor_parse(&d, text.data, text.len, true, path, err);
	if (ret == 0)
		ret = open_parts(&d, path, out, err);
	if (ret == 0)
		snprintf(out->variant, sizeof(out->variant), "%s", d.create_type);
	vmdk_descriptor_release(&d);
	return ret;
}

/*
 * The extent's own descriptor; empty when there is none, or only room for one, as in QEMU's parts of a
 * disk.
 */
static int read_embedded(struct dev *file, const struct vmdk_header *h, const char *path,
	struct buf *text, struct error *err)
{
	if (!h->descriptor || !h->descriptor_size)
		return 0;
	if (h->descriptor_size > VMDK_DESCRIPTOR_MAX / VMDK_SECTOR ||
		h->descriptor > file->size / VMDK_SECTOR ||
		h->descriptor_size * VMDK_SECTOR > file->size - h->descriptor * VMDK_SECTOR)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' says that its descriptor is where the file does not reach: it is damaged or cut off",
			path);
	return read_text(file, h->descriptor * VMDK_SECTOR, h->descriptor_size * VMDK_SECTOR, text, err);
}

/* Whether there is a parent, and what the extent is called. */
static int check_embedded(
	struct dev *file, const struct vmdk_header *h, const char *path, struct image *out, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(VMDK_DESCRIPTOR_MAX);
	struct vmdk_descriptor d = {0};
	int ret;

	if (read_embedded(file, h, path, &text, err) < 0)
		return -1;
	if (!*buf_str(&text) && !vmdk_header_compressed(h))
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is one of several files of a disk: name the descriptor that belongs to it (a small .vmdk "
			"of text)",
			path);
	ret = vmdk_descriptor_parse(&d, buf_str(&text), text.len, false, path, err);
	snprintf(out->variant, sizeof(out->variant), "%s",
		d.create_type[0] || !vmdk_header_compressed(h) ? d.create_type : "streamOptimized");
	vmdk_descriptor_release(&d);
	return ret;
}

/* Takes file with success only. */
static int open_sparse(struct dev *file, const char *path, struct image *out, struct error *err)
{
	CLEANUP(vmdk_cleanup) struct vmdk *v = new_vmdk(1, err);
	struct part *p;

	if (!v)
		return -1;
	p = &v->parts[0];
	p->path = strdup(path);
	if (!p->path)
		return error_nomem(err, "a VMDK");
	p->file = file;
	if (set_sparse(p, 0, err) < 0 ||
		check_embedded(file, vmdk_extent_header(p->sparse), path, out, err) < 0) {
		p->file = NULL;
		return -1;
	}
	v->dev.size = p->len;
	out->dev = &steal_ptr(&v)->dev;
	return 0;
}

/*
 * Whoever made an archive or what comes through a pipe must not choose files of the folder that the command
 * happens to run in.
 */
static int refuse_apart(const char *path, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' has a VMDK descriptor, which names files beside it: unpack them into one folder and name the "
		"descriptor there", path);
}

static int open_any(struct dev *file, const char *path, bool apart, struct image *out, struct error *err)
{
	char magic[4];

	if (file->size < sizeof(magic) || dev_pread(file, magic, sizeof(magic), 0, err) < 0)
		return file->size < sizeof(magic)
			       ? error_set(err, ERROR_INPUT, 0, "'%s' is too short for a VMDK", path)
			       : -1;
	if (memcmp(magic, "COWD", sizeof(magic)) == 0)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is in ESXi's COWD format, which cannot be read; convert it where it was made: "
			"vmkfstools -i IN -d thin OUT",
			path);
	if (memcmp(magic, "KDMV", sizeof(magic)) == 0)
		return open_sparse(file, path, out, err);
	if (apart ? refuse_apart(path, err) < 0 : open_descriptor(file, path, out, err) < 0)
		return -1;
	dev_close(file, NULL); /* all is in memory */
	return 0;
}

int vmdk_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err)
{
	if (!out->file_size)
		out->file_size = file->size;
	if (open_any(file, path, opts->apart, out, err) == 0)
		return 0;
	out->dev = NULL;
	dev_close(file, NULL);
	return -1;
}
