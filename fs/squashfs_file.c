/* SPDX-License-Identifier: Apache-2.0 */
/* The file under libsquashfs, and what its codes mean. */
#include "fs/squashfs_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqfs/error.h>

struct file {
	sqfs_file_t base;
	int fd;
	int errnum;
	uint64_t size;
};

static void file_destroy(sqfs_object_t *object)
{
	free(object);
}

static int failed(struct file *f, int errnum)
{
	f->errnum = errnum;
	return SQFS_ERROR_IO;
}

static int file_read_at(sqfs_file_t *file, sqfs_u64 off, void *buffer, size_t size)
{
	struct file *f = (struct file *)file;
	uint8_t *to = buffer;

	while (size > 0) {
		ssize_t n = pread(f->fd, to, size, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(f, errno);
		if (n == 0)
			return SQFS_ERROR_OUT_OF_BOUNDS;
		to += n;
		off += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int file_write_at(sqfs_file_t *file, sqfs_u64 off, const void *buffer, size_t size)
{
	struct file *f = (struct file *)file;
	const uint8_t *from = buffer;

	while (size > 0) {
		ssize_t n = pwrite(f->fd, from, size, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(f, errno);
		from += n;
		off += (uint64_t)n;
		size -= (size_t)n;
	}
	if (off > f->size)
		f->size = off;
	return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *file)
{
	return ((const struct file *)file)->size;
}

static int file_truncate(sqfs_file_t *file, sqfs_u64 size)
{
	struct file *f = (struct file *)file;

	if (ftruncate(f->fd, (off_t)size) < 0)
		return failed(f, errno);
	f->size = size;
	return 0;
}

sqfs_file_t *squashfs_file_new(int fd)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->base.base.destroy = file_destroy;
	f->base.read_at = file_read_at;
	f->base.write_at = file_write_at;
	f->base.get_size = file_get_size;
	f->base.truncate = file_truncate;
	f->fd = fd;
	return &f->base;
}

int squashfs_error(const sqfs_file_t *file, int code, const char *what, struct error *err)
{
	switch (code) {
	case SQFS_ERROR_ALLOC:
		return error_nomem(err, "a squashfs");
	case SQFS_ERROR_IO:
		return error_set(err, ERROR_IO, file ? ((const struct file *)file)->errnum : 0,
			"cannot %s of the squashfs", what);
	case SQFS_ERROR_OVERFLOW:
		return error_set(err, ERROR_INPUT, 0,
			"cannot %s of the squashfs: there is more of it than squashfs can hold", what);
	case SQFS_ERROR_UNSUPPORTED:
		return error_set(err, ERROR_USAGE, 0,
			"cannot %s of the squashfs: libsquashfs was built without zstd", what);
	default:
		return error_set(err, ERROR_BUG, 0,
			"cannot %s of the squashfs: libsquashfs gives error %d", what, code);
	}
}
