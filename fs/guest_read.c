/* SPDX-License-Identifier: Apache-2.0 */
/* A reader over what is mounted in an appliance. */
#include "fs/guest_read.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/num.h"

/* What goes through the appliance's channel in one message: its limit is 4 MiB. */
enum { READ_UNIT = 1 << 20 };

struct guest_reader {
	struct reader reader; /* first */
	struct guest *guest;  /* borrowed */
};

static struct guest_reader *of(struct reader *r)
{
	return (struct guest_reader *)r;
}

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
	if (guest_umount(of(r)->guest, NULL) < 0)
		log_debug("an appliance did not unmount");
	free(of(r));
}

static const struct reader_ops guest_reader_ops = {
	.name = "appliance",
	.stat = read_stat,
	.read = read_file,
	.list = read_list,
	.close = read_close,
};

struct reader *guest_reader_open(struct guest *g, const char *device, struct error *err)
{
	CLEANUP_FREE struct guest_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return error_nomem(err, "a reader"), NULL;
	r->reader.ops = &guest_reader_ops;
	r->guest = g;
	if (guest_mount_ro(g, device, err) < 0)
		return NULL;
	return &steal_ptr(&r)->reader;
}
