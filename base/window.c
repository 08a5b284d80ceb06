/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window adds its offset and passes on. All calls go through the parent's checked wrappers, so
 * what the parent lacks gets the same defaults here.
 */
#include "base/window.h"

#include <inttypes.h>
#include <stdlib.h>

struct window {
	struct dev dev;
	struct dev *parent; /* borrowed, or closed with the window */
	bool owns;
	uint64_t base;      /* where the window begins in it */
};

static struct window *from_dev(struct dev *dev)
{
	return (struct window *)dev;
}

static int window_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct window *w = from_dev(dev);

	return dev_pread(w->parent, buf, len, w->base + off, err);
}

static int window_pwrite(
	struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
{
	struct window *w = from_dev(dev);

	return dev_pwrite(w->parent, buf, len, w->base + off, err);
}

static int window_clear(
	struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *err)
{
	struct window *w = from_dev(dev);

	return dev_clear(w->parent, w->base + off, len, kind, err);
}

static int window_refer(struct dev *dev, uint64_t off, uint64_t len, struct source *src,
	uint64_t id, uint64_t src_off, struct error *err)
{
	struct window *w = from_dev(dev);

	return dev_refer(w->parent, w->base + off, len, src, id, src_off, err);
}

/*
 * The parent's extents have the parent's offsets, so they cannot continue the caller's list
 * directly.
 */
static int window_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	struct window *w = from_dev(dev);
	struct extent_list found = EXTENT_LIST_INIT;
	int ret = dev_extents(w->parent, w->base + off, len, &found, err);

	for (size_t i = 0; ret == 0 && i < found.nr; i++)
		ret = extent_list_add(list, found.items[i].off - w->base, found.items[i].len,
			found.items[i].kind, err);
	extent_list_release(&found);
	return ret;
}

static int window_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off,
	bool *owned, struct error *err)
{
	struct window *w = from_dev(dev);

	return dev_locate(w->parent, w->base + off, len, fd, fd_off, owned, err);
}

static int window_flush(struct dev *dev, struct error *err)
{
	return dev_flush(from_dev(dev)->parent, err);
}

static int window_close(struct dev *dev, struct error *err)
{
	struct window *w = from_dev(dev);
	int ret = w->owns ? dev_close(w->parent, err) : 0;

	free(w);
	return ret;
}

#define WINDOW_READ_OPS                                                     \
	.name = "window", .pread = window_pread, .extents = window_extents, \
	.locate = window_locate, .flush = window_flush, .close = window_close

static const struct dev_ops window_ops = {
	WINDOW_READ_OPS,
	.pwrite = window_pwrite,
	.clear = window_clear,
	.refer = window_refer,
};

/*
 * Over a read-only parent the window is read-only too, so that the fault is reported as what it
 * is.
 */
static const struct dev_ops window_readonly_ops = {WINDOW_READ_OPS};

struct dev *window_new(struct dev *parent, uint64_t off, uint64_t len, struct error *err)
{
	struct window *w;

	if (off > parent->size || len > parent->size - off)
		return error_null(err, ERROR_BUG, 0,
			"window of %" PRIu64 " bytes at %" PRIu64
			" is outside the %s device of %" PRIu64 " bytes",
			len, off, parent->ops->name, parent->size);
	w = calloc(1, sizeof(*w));
	if (!w) {
		error_nomem(err, "a window");
		return NULL;
	}
	w->dev.ops = parent->ops->pwrite ? &window_ops : &window_readonly_ops;
	w->dev.size = len;
	w->parent = parent;
	w->base = off;
	return &w->dev;
}

struct dev *window_take(struct dev *parent, uint64_t off, uint64_t len, struct error *err)
{
	struct dev *dev = window_new(parent, off, len, err);

	if (dev)
		from_dev(dev)->owns = true;
	else
		dev_close(parent, NULL);
	return dev;
}
