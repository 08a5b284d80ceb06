/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checked door to block devices: every range is verified once, here, and a slot that a device
 * leaves empty gets its default, so that implementations hold nothing but their own business.
 */
#include "base/dev.h"

#include "base/cleanup.h"
#include "base/num.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Bytes a step when a default copies or writes zeros. */
#define COPY_STEP (256 * KIB)

static int check_range(
	const struct dev *dev, const char *what, uint64_t off, uint64_t len, struct error *err)
{
	if (off <= dev->size && len <= dev->size - off)
		return 0;
	return error_set(err, ERROR_BUG, 0,
		"%s of %" PRIu64 " bytes at %" PRIu64 " is outside the %s device of %" PRIu64
		" bytes",
		what, len, off, dev->ops->name, dev->size);
}

static int check_writable(const struct dev *dev, struct error *err)
{
	if (dev->ops->pwrite)
		return 0;
	return error_set(err, ERROR_IO, EROFS, "cannot write to the %s device", dev->ops->name);
}

int dev_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	if (check_range(dev, "read", off, len, err) < 0)
		return -1;
	return len ? dev->ops->pread(dev, buf, len, off, err) : 0;
}

int dev_pwrite(struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
{
	if (check_range(dev, "write", off, len, err) < 0 || check_writable(dev, err) < 0)
		return -1;
	return len ? dev->ops->pwrite(dev, buf, len, off, err) : 0;
}

static int write_zeros(struct dev *dev, uint64_t off, uint64_t len, struct error *err)
{
	CLEANUP_FREE uint8_t *zeros = calloc(1, MIN(len, COPY_STEP));

	if (!zeros)
		return error_nomem(err, "a block of zeros");
	while (len) {
		size_t step = MIN(len, COPY_STEP);

		if (dev->ops->pwrite(dev, zeros, step, off, err) < 0)
			return -1;
		off += step;
		len -= step;
	}
	return 0;
}

int dev_clear(struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *err)
{
	assert(kind == EXTENT_ZERO || kind == EXTENT_UNUSED);
	if (check_range(dev, "clearing", off, len, err) < 0 || check_writable(dev, err) < 0)
		return -1;
	if (len == 0)
		return 0;
	if (dev->ops->clear)
		return dev->ops->clear(dev, off, len, kind, err);
	return write_zeros(dev, off, len, err);
}

static int copy_from_source(struct dev *dev, uint64_t off, uint64_t len, struct source *src,
	uint64_t id, uint64_t src_off, struct error *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(MIN(len, COPY_STEP));

	if (!buf)
		return error_nomem(err, "a copy buffer");
	while (len) {
		size_t step = MIN(len, COPY_STEP);

		if (source_pread(src, id, buf, step, src_off, err) < 0 ||
			dev->ops->pwrite(dev, buf, step, off, err) < 0)
			return -1;
		off += step;
		src_off += step;
		len -= step;
	}
	return 0;
}

int dev_refer(struct dev *dev, uint64_t off, uint64_t len, struct source *src, uint64_t id,
	uint64_t src_off, struct error *err)
{
	if (check_range(dev, "reference", off, len, err) < 0 || check_writable(dev, err) < 0)
		return -1;
	if (len > UINT64_MAX - src_off)
		return error_set(err, ERROR_BUG, 0,
			"reference of %" PRIu64 " bytes at %" PRIu64
			" of the %s source is impossible",
			len, src_off, src->ops->name);
	if (len == 0)
		return 0;
	if (dev->ops->refer)
		return dev->ops->refer(dev, off, len, src, id, src_off, err);
	return copy_from_source(dev, off, len, src, id, src_off, err);
}

int dev_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	if (check_range(dev, "extent query", off, len, err) < 0)
		return -1;
	if (len == 0)
		return 0;
	if (dev->ops->extents)
		return dev->ops->extents(dev, off, len, list, err);
	return extent_list_add(list, off, len, EXTENT_DATA, err);
}

int dev_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off, bool *owned,
	struct error *err)
{
	*fd = -1;
	*fd_off = 0;
	*owned = false;
	if (check_range(dev, "location query", off, *len, err) < 0)
		return -1;
	if (*len == 0 || !dev->ops->locate)
		return 0;
	return dev->ops->locate(dev, off, len, fd, fd_off, owned, err);
}

int dev_flush(struct dev *dev, struct error *err)
{
	return dev->ops->flush ? dev->ops->flush(dev, err) : 0;
}

int dev_close(struct dev *dev, struct error *err)
{
	return dev ? dev->ops->close(dev, err) : 0;
}
