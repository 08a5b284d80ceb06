/* SPDX-License-Identifier: Apache-2.0 */
/* A device over memory. */
#include "tests/lib/bytesdev.h"

#include <stdlib.h>
#include <string.h>

static int bytesdev_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct bytesdev *b = (struct bytesdev *)dev;

	(void)err;
	atomic_fetch_add_explicit(&b->reads, 1, memory_order_relaxed);
	if (len)
		memcpy(buf, b->bytes + off, len);
	return 0;
}

static int close_borrowed(struct dev *dev, struct error *err)
{
	(void)dev;
	(void)err;
	return 0;
}

static int close_owned(struct dev *dev, struct error *err)
{
	(void)err;
	free(dev);
	return 0;
}

static const struct dev_ops borrowed_ops = {.name = "bytes", .pread = bytesdev_pread, .close = close_borrowed};
static const struct dev_ops owned_ops = {.name = "bytes", .pread = bytesdev_pread, .close = close_owned};

void bytesdev_init(struct bytesdev *b, const void *bytes, size_t len)
{
	*b = (struct bytesdev){.dev = {.ops = &borrowed_ops, .size = len}, .bytes = bytes};
}

struct dev *bytesdev_new(const void *bytes, size_t len)
{
	struct bytesdev *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	bytesdev_init(b, bytes, len);
	b->dev.ops = &owned_ops;
	return &b->dev;
}
