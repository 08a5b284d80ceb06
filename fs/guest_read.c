/* SPDX-License-Identifier: Apache-2.0 */
/* A reader over an appliance that has a copy of the file system mounted. */
#include "fs/guest_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/filedev.h"
#include "base/num.h"
#include "base/walk.h"
#include "fs/guest.h"
#include "fs/guest_internal.h"

enum { COPY_UNIT = 1 << 20 };
/* What goes through the appliance's channel in one message: its limit is 4 MiB. */
enum { READ_UNIT = 1 << 20 };

struct guest_reader {
	struct reader reader; /* first */
	struct guest *guest;
	struct guest_image *copy;
};

static struct guest_reader *of(struct reader *r)
{
	return (struct guest_reader *)r;
}

static void reader_free(struct guest_reader *g)
{
	guest_abort(g->guest); /* first: it has the copy open */
	guest_image_free(g->copy);
	free(g);
}

DEFINE_CLEANUP(guest_reader, struct guest_reader, reader_free)

static int read_stat(struct reader *r, const char *path, enum reader_kind *kind, uint64_t *size,
	struct error *err)
{
	return guest_stat(of(r)->guest, path, kind, size, err);
}

static int read_file(struct reader *r, const char *path, uint64_t off, size_t max, struct buf *out,
	struct error *err)
{
	enum reader_kind kind;
	uint64_t size;

	if (guest_stat(of(r)->guest, path, &kind, &size, err) < 0)
		return -1;
	if (kind != READER_FILE || off >= size)
		return 0;
	for (uint64_t end = off + MIN(max, size - off); off < end;) {
		size_t got = 0;

		if (guest_pread(of(r)->guest, path, off, (size_t)MIN(end - off, READ_UNIT), out, &got,
			    err) < 0)
			return -1;
		if (got == 0)
			break;
		off += got;
	}
	return 0;
}

static int read_list(struct reader *r, const char *path, reader_name_fn each, void *arg,
	struct error *err)
{
	enum reader_kind kind;
	uint64_t size;

	if (guest_stat(of(r)->guest, path, &kind, &size, err) < 0)
		return -1;
	return kind == READER_FOLDER ? guest_list(of(r)->guest, path, each, arg, err) : 0;
}

static void read_close(struct reader *r)
{
	reader_free(of(r));
}

static const struct reader_ops guest_reader_ops = {
	.name = "appliance",
	.stat = read_stat,
	.read = read_file,
	.list = read_list,
	.close = read_close,
};

static int copy_units(struct dev *dev, struct dev *file, struct walk *w, void *unit,
	const struct guest_read_opts *opts, struct error *err)
{
	enum extent_kind kind;
	uint64_t index;
	int more;

	while ((more = walk_next(w, EXTENT_DATA, &index, &kind, err)) > 0) {
		uint64_t off = index * COPY_UNIT;
		size_t len = (size_t)MIN((uint64_t)COPY_UNIT, dev->size - off);

		if (opts->cancelled && opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		if (dev_pread(dev, unit, len, off, err) < 0 || dev_pwrite(file, unit, len, off, err) < 0)
			return -1;
	}
	return more;
}

static int copy_dev(struct dev *dev, const char *path, const struct guest_read_opts *opts,
	struct error *err)
{
	CLEANUP_FREE void *unit = malloc(COPY_UNIT);
	struct walk w;
	struct dev *file;
	int fd, ret;

	if (!unit)
		return error_nomem(err, "a copy of the file system");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	file = filedev_from_fd(fd, true, path, err);
	if (!file)
		return -1;
	walk_init(&w, dev, COPY_UNIT);
	ret = copy_units(dev, file, &w, unit, opts, err);
	walk_release(&w);
	if (dev_close(file, ret == 0 ? err : NULL) < 0)
		ret = -1;
	return ret;
}

bool guest_reads(const char *type)
{
	return !strcmp(type, "xfs") || !strcmp(type, "btrfs");
}

struct reader *guest_reader_open(struct dev *dev, const struct guest_read_opts *opts, struct error *err)
{
	CLEANUP(guest_reader_cleanup) struct guest_reader *g = NULL;

	/* Before the copy, which may be long. */
	if (guest_available(err) < 0)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return error_nomem(err, "a reader"), NULL;
	g->reader.ops = &guest_reader_ops;
	g->copy = guest_image_new(opts->spool_dir, dev->size, err);
	if (!g->copy || copy_dev(dev, guest_image_path(g->copy), opts, err) < 0)
		return NULL;
	g->guest = guest_start(guest_image_path(g->copy), opts->cancelled, err);
	if (!g->guest)
		return NULL;
	guest_image_unlink(g->copy); /* qemu has it open: whatever happens now, nothing stays */
	if (guest_mount_ro(g->guest, err) < 0)
		return NULL;
	return &steal_ptr(&g)->reader;
}

int guest_reader_usage(struct reader *r, uint64_t *size, uint64_t *used, struct error *err)
{
	return guest_usage(of(r)->guest, size, used, err);
}
