/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A range of a device as a memfd and back, for libraries that insist on a descriptor. Only what
 * is data takes memory in the memfd; on the way back its holes are passed over, so what the
 * library did not touch stays what it was.
 */
#include "base/disk.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define STEP (256 * KIB)

static const char memfd_name[] = "disk in memory";

static int copy_out(struct dev *dev, uint64_t off, uint64_t len, int fd, uint64_t fd_off, void *buf,
	struct error *err)
{
	while (len) {
		size_t step = MIN(len, STEP);

		if (dev_pread(dev, buf, step, off, err) < 0 ||
			file_pwrite_all(fd, buf, step, fd_off, memfd_name, err) < 0)
			return -1;
		off += step;
		fd_off += step;
		len -= step;
	}
	return 0;
}

static int copy_data_out(struct dev *dev, uint64_t off, uint64_t len, int fd, struct error *err)
{
	struct extent_list list = EXTENT_LIST_INIT;
	CLEANUP_FREE void *buf = malloc(STEP);
	int ret;

	if (!buf)
		return error_nomem(err, "a copy buffer");
	ret = dev_extents(dev, off, len, &list, err);
	for (size_t i = 0; ret == 0 && i < list.nr; i++) {
		const struct extent *e = &list.items[i];

		if (e->kind == EXTENT_DATA)
			ret = copy_out(dev, e->off, e->len, fd, e->off - off, buf, err);
	}
	extent_list_release(&list);
	return ret;
}

int disk_to_fd(struct dev *dev, uint64_t off, uint64_t len, int *fd, struct error *err)
{
	CLEANUP_CLOSE int mem = memfd_create("amiwright", MFD_CLOEXEC);

	*fd = -1;
	if (mem < 0)
		return error_set(err, ERROR_IO, errno, "cannot create a file in memory");
	if (ftruncate(mem, (off_t)len) < 0)
		return error_set(err, ERROR_IO, errno, "cannot size a file in memory");
	if (copy_data_out(dev, off, len, mem, err) < 0)
		return -1;
	*fd = steal_fd(&mem);
	return 0;
}

static int copy_in(struct dev *dev, uint64_t off, uint64_t len, int fd, uint64_t fd_off, void *buf,
	struct error *err)
{
	while (len) {
		size_t step = MIN(len, STEP);

		if (file_pread_all(fd, buf, step, fd_off, memfd_name, err) < 0 ||
			dev_pwrite(dev, buf, step, off, err) < 0)
			return -1;
		off += step;
		fd_off += step;
		len -= step;
	}
	return 0;
}

/* The next stretch of data at or after pos: 1, 0 when there is none below end, or -1. */
static int next_data(
	int fd, uint64_t pos, uint64_t end, uint64_t *start, uint64_t *stop, struct error *err)
{
	off_t data = lseek(fd, (off_t)pos, SEEK_DATA);
	off_t hole;

	if ((data < 0 && errno == ENXIO) || (data >= 0 && (uint64_t)data >= end))
		return 0;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return error_set(err, ERROR_IO, errno, "cannot find the data of a file in memory");
	*start = (uint64_t)data;
	*stop = MIN((uint64_t)hole, end);
	return 1;
}

int disk_from_fd(struct dev *dev, uint64_t off, uint64_t len, int fd, struct error *err)
{
	CLEANUP_FREE void *buf = malloc(STEP);
	uint64_t start = 0, stop = 0;
	int found;

	if (!buf)
		return error_nomem(err, "a copy buffer");
	while ((found = next_data(fd, stop, len, &start, &stop, err)) > 0) {
		if (copy_in(dev, off + start, stop - start, fd, start, buf, err) < 0)
			return -1;
	}
	return found;
}
