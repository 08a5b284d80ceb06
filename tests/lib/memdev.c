/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in memory as a device. */
#include "tests/lib/memdev.h"

#include <string.h>

static int mem_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct memdev *m = (struct memdev *)dev;

	(void)err;
	m->reads++;
	memcpy(buf, m->data + off, len);
	return 0;
}

static int mem_close(struct dev *dev, struct error *err)
{
	(void)dev;
	(void)err;
	return 0;
}

static const struct dev_ops ops = {.name = "memory", .pread = mem_pread, .close = mem_close};

void memdev_init(struct memdev *m, const void *data, size_t len)
{
	*m = (struct memdev){{&ops, len}, data, 0};
}
