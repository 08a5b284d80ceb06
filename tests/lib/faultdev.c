/* SPDX-License-Identifier: Apache-2.0 */
/* See faultdev.h. Counters are atomic: workers of a pool read through it too. */
#include "tests/lib/faultdev.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct faultdev {
	struct dev dev;
	struct dev *below;
	atomic_uint calls[FAULTDEV_NR_CALLS];
	unsigned fail_at[FAULTDEV_NR_CALLS]; /* 0: never */
};

static const char *const call_names[FAULTDEV_NR_CALLS] = {
	"pread", "pwrite", "clear", "refer", "extents", "locate", "flush", "close"};

/* Counts the call; -1 when it is the one to fail. *below is where it goes else. */
static int enter(struct dev *dev, enum faultdev_call call, struct dev **below, struct error *err)
{
	struct faultdev *f = (struct faultdev *)dev;
	unsigned n = atomic_fetch_add(&f->calls[call], 1) + 1;

	*below = f->below;
	if (n != f->fail_at[call])
		return 0;
	return error_set(err, ERROR_IO, EIO, "injected fault in %s call %u", call_names[call], n);
}

static int fault_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_PREAD, &below, err) < 0)
		return -1;
	return dev_pread(below, buf, len, off, err);
}

static int fault_pwrite(
	struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_PWRITE, &below, err) < 0)
		return -1;
	return dev_pwrite(below, buf, len, off, err);
}

static int fault_clear(
	struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_CLEAR, &below, err) < 0)
		return -1;
	return dev_clear(below, off, len, kind, err);
}

static int fault_refer(struct dev *dev, uint64_t off, uint64_t len, struct source *src, uint64_t id,
	uint64_t src_off, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_REFER, &below, err) < 0)
		return -1;
	return dev_refer(below, off, len, src, id, src_off, err);
}

static int fault_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_EXTENTS, &below, err) < 0)
		return -1;
	return dev_extents(below, off, len, list, err);
}

static int fault_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off,
	bool *owned, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_LOCATE, &below, err) < 0)
		return -1;
	return dev_locate(below, off, len, fd, fd_off, owned, err);
}

static int fault_flush(struct dev *dev, struct error *err)
{
	struct dev *below;

	if (enter(dev, FAULTDEV_FLUSH, &below, err) < 0)
		return -1;
	return dev_flush(below, err);
}

static int fault_close(struct dev *dev, struct error *err)
{
	struct dev *below;
	int ret = enter(dev, FAULTDEV_CLOSE, &below, err);

	free(dev);
	return ret;
}

static const struct dev_ops faultdev_ops = {
	.name = "fault",
	.pread = fault_pread,
	.pwrite = fault_pwrite,
	.clear = fault_clear,
	.refer = fault_refer,
	.extents = fault_extents,
	.locate = fault_locate,
	.flush = fault_flush,
	.close = fault_close,
};

struct dev *faultdev_new(struct dev *below)
{
	struct faultdev *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->dev.ops = &faultdev_ops;
	f->dev.size = below->size;
	f->below = below;
	return &f->dev;
}

void faultdev_fail(struct dev *dev, enum faultdev_call call, unsigned n)
{
	struct faultdev *f = (struct faultdev *)dev;

	atomic_store(&f->calls[call], 0);
	f->fail_at[call] = n;
}

unsigned faultdev_calls(struct dev *dev, enum faultdev_call call)
{
	return atomic_load(&((struct faultdev *)dev)->calls[call]);
}
