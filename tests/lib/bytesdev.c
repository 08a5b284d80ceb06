/* SPDX-License-Identifier: Apache-2.0 */
/* A device over memory. */
#include "tests/lib/bytesdev.h"

#include <stdlib.h>
#include <string.h>

struct bytesdev {
	struct dev dev;
	const uint8_t *bytes;
};

static int bytesdev_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	(void)err;
	if (len)
		memcpy(buf, ((struct bytesdev *)dev)->bytes + off, len);
	return 0;
}

static int bytesdev_close(struct dev *dev, struct error *err)
{
	(void)err;
	free(dev);
	return 0;
}

static const struct dev_ops bytesdev_ops = {
	.name = "bytes",
	.pread = bytesdev_pread,
	.close = bytesdev_close,
};

struct dev *bytesdev_new(const void *bytes, size_t len)
{
	struct bytesdev *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct bytesdev){.dev = {.ops = &bytesdev_ops, .size = len}, .bytes = bytes};
	return &b->dev;
}
