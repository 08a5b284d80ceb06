/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and block devices as devices. Nothing but positioned calls touch the descriptor's
 * content, and the answers of SEEK_DATA and SEEK_HOLE do not depend on its shared offset, so
 * threads do not disturb one another.
 */
#include "base/filedev.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes a step when zeros have to be written. */
#define ZERO_STEP (256 * KIB)

struct filedev {
	struct dev dev;
	int fd;
	bool block; /* a block device: no holes to be asked for */
	bool writable;
	char *name; /* for messages */
};

static struct filedev *from_dev(struct dev *dev)
{
	return (struct filedev *)dev;
}

static int filedev_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct filedev *f = from_dev(dev);

	return file_pread_all(f->fd, buf, len, off, f->name, err);
}

static int filedev_pwrite(
	struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
{
	struct filedev *f = from_dev(dev);

	return file_pwrite_all(f->fd, buf, len, off, f->name, err);
}

static int write_zeros(struct filedev *f, uint64_t off, uint64_t len, struct error *err)
{
	CLEANUP_FREE uint8_t *zeros = calloc(1, MIN(len, ZERO_STEP));

	if (!zeros)
		return error_nomem(err, "a block of zeros");
	while (len) {
		size_t step = MIN(len, ZERO_STEP);

		if (file_pwrite_all(f->fd, zeros, step, off, f->name, err) < 0)
			return -1;
		off += step;
		len -= step;
	}
	return 0;
}

/* A file has one kind of absence, so zero and unused come to the same. */
static int filedev_clear(
	struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *err)
{
	struct filedev *f = from_dev(dev);
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	(void)kind;
	if (fallocate(f->fd, mode, (off_t)off, (off_t)len) == 0)
		return 0;
	/* EINVAL: block devices want whole sectors; the others: no holes here. */
	if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
		return write_zeros(f, off, len, err);
	return error_set(err, ERROR_IO, errno, "cannot clear a range of '%s'", f->name);
}

/*
 * The end of the data or of the hole at pos, whichever `data` says; `end` when the file cannot
 * tell.
 */
static int find_end(struct filedev *f, uint64_t pos, uint64_t end, uint64_t *stop, bool *data,
	struct error *err)
{
	off_t at = lseek(f->fd, (off_t)pos, SEEK_DATA);

	*stop = end;
	*data = true;
	if (at < 0 && errno == ENXIO) { /* a hole up to the end of the file */
		*data = false;
		return 0;
	}
	if (at > (off_t)pos) {
		*data = false;
		*stop = MIN((uint64_t)at, end);
		return 0;
	}
	if (at >= 0)
		at = lseek(f->fd, (off_t)pos, SEEK_HOLE);
	if (at > (off_t)pos)
		*stop = MIN((uint64_t)at, end);
	else if (at < 0 && errno != EINVAL)
		return error_set(err, ERROR_IO, errno, "cannot find the holes of '%s'", f->name);
	return 0;
}

static int filedev_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	struct filedev *f = from_dev(dev);
	uint64_t end = off + len, stop;
	bool data;

	if (f->block)
		return extent_list_add(list, off, len, EXTENT_DATA, err);
	for (; off < end; off = stop) {
		if (find_end(f, off, end, &stop, &data, err) < 0 ||
			extent_list_add(
				list, off, stop - off, data ? EXTENT_DATA : EXTENT_ZERO, err) < 0)
			return -1;
	}
	return 0;
}

static int filedev_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off,
	bool *owned, struct error *err)
{
	(void)len; /* all of it is in one piece */
	(void)err;
	*fd = from_dev(dev)->fd;
	*fd_off = off;
	*owned = false;
	return 0;
}

static int filedev_flush(struct dev *dev, struct error *err)
{
	struct filedev *f = from_dev(dev);

	if (fsync(f->fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make '%s' durable", f->name);
	return 0;
}

static int filedev_close(struct dev *dev, struct error *err)
{
	struct filedev *f = from_dev(dev);
	int ret = 0;

	if (f->fd >= 0 && close(f->fd) < 0 && f->writable)
		ret = error_set(err, ERROR_IO, errno, "cannot close '%s'", f->name);
	free(f->name);
	free(f);
	return ret;
}

#define FILEDEV_READ_OPS                                                    \
	.name = "file", .pread = filedev_pread, .extents = filedev_extents, \
	.locate = filedev_locate, .close = filedev_close

static const struct dev_ops filedev_ops = {
	FILEDEV_READ_OPS,
	.pwrite = filedev_pwrite,
	.clear = filedev_clear,
	.flush = filedev_flush,
};

static const struct dev_ops filedev_readonly_ops = {FILEDEV_READ_OPS};

static int wrong_kind(const char *name, mode_t mode, struct error *err)
{
	static const char pipe[] = ": what comes through one is read from standard input, by 'convert - OUT'";
	const char *kind = S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a named pipe" :
			   S_ISSOCK(mode) ? "a socket" : "a character device";

	return error_set(err, ERROR_INPUT, 0, "'%s' is %s, neither a file nor a block device%s", name, kind,
		S_ISFIFO(mode) ? pipe : "");
}

static int find_size(struct filedev *f, struct error *err)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot stat '%s'", f->name);
	if (S_ISREG(st.st_mode)) {
		f->dev.size = (uint64_t)st.st_size;
	} else if (S_ISBLK(st.st_mode)) {
		f->block = true;
		if (ioctl(f->fd, BLKGETSIZE64, &f->dev.size) < 0)
			return error_set(
				err, ERROR_IO, errno, "cannot find the size of '%s'", f->name);
	} else {
		return wrong_kind(f->name, st.st_mode, err);
	}
	if (f->dev.size == 0)
		return error_set(err, ERROR_INPUT, 0, "'%s' is empty, where an image should be", f->name);
	return 0;
}

struct dev *filedev_from_fd(int fd, bool writable, const char *name, struct error *err)
{
	struct filedev *f = calloc(1, sizeof(*f));

	if (!f) {
		close(fd);
		error_nomem(err, "a file device");
		return NULL;
	}
	f->dev.ops = writable ? &filedev_ops : &filedev_readonly_ops;
	f->fd = fd;
	f->writable = writable;
	f->name = strdup(name);
	if (!f->name) {
		error_nomem(err, "a file device");
		goto fail;
	}
	if (find_size(f, err) < 0)
		goto fail;
	return &f->dev;
fail:
	filedev_close(&f->dev, NULL);
	return NULL;
}

/* O_NONBLOCK: a FIFO is to be refused, not waited for. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

struct dev *filedev_open(const char *path, struct error *err)
{
	int fd = open(path, OPEN_FLAGS);
	struct stat st;

	/* A socket, or a device that nothing is behind, says only "No such device or address". */
	if (fd < 0 && errno == ENXIO) {
		if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
			wrong_kind(path, st.st_mode, err);
			return NULL;
		}
		errno = ENXIO;
	}
	if (fd < 0)
		return error_null(err, ERROR_IO, errno, "cannot open '%s'", path);
	return filedev_from_fd(fd, false, path, err);
}

/* O_EXCL without O_CREAT: open(2), "fails with EBUSY if the block device is in use by the system". */
bool filedev_in_use(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	fd = open(path, OPEN_FLAGS | O_EXCL);
	if (fd < 0)
		return errno == EBUSY;
	close(fd);
	return false;
}

struct dev *filedev_open_plain(const char *path, struct error *err)
{
	int fd = open(path, OPEN_FLAGS | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return error_null(err, ERROR_INPUT, 0, "'%s' is a symbolic link", path);
	if (fd < 0)
		return error_null(err, ERROR_IO, errno, "cannot open '%s'", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return filedev_from_fd(fd, false, path, err);
	close(fd);
	return error_null(err, ERROR_INPUT, 0, "'%s' is no regular file", path);
}
