/* SPDX-License-Identifier: Apache-2.0 */
/* See download_target.h. */
#include "uploader/download_target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"

#define ZERO_STEP (256 * KIB)

enum { PIPE_SIZE = 1024 * 1024 };

static int open_device(struct download_target *t, const char *path, uint64_t size, struct error *err)
{
	uint64_t there;

	t->kind = TARGET_DEVICE;
	/* O_EXCL: the kernel refuses what is mounted, or part of a mounted or assembled device. */
	t->fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (t->fd < 0 && errno == EBUSY)
		return error_set(err, ERROR_IO, 0,
			"'%s' is in use: unmount what is on it, or choose another device", path);
	if (t->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s' for writing", path);
	if (ioctl(t->fd, BLKGETSIZE64, &there) < 0)
		return error_set(err, ERROR_IO, errno, "cannot find the size of '%s'", path);
	if (there < size)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' has %" PRIu64 " bytes, the volume %" PRIu64 ": a larger device is needed",
			path, there, size);
	return 0;
}

/*
 * Locks the temporary file. Another process may have given it its final name between our open() and
 * our lock: then it is no longer ours to write.
 */
static int lock_file(const struct download_target *t, struct error *err)
{
	struct stat ours, named;

	if (flock(t->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(err, ERROR_IO, 0, "another process writes '%s'", t->name);
	if (fstat(t->fd, &ours) < 0)
		return error_set(err, ERROR_IO, errno, "cannot stat '%s'", t->name);
	if (lstat(t->name, &named) < 0 || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
		return error_set(err, ERROR_IO, 0, "another process has just ended writing '%s'",
			t->name);
	if (!S_ISREG(ours.st_mode))
		return error_set(err, ERROR_INPUT, 0, "'%s' is not a regular file", t->name);
	return 0;
}

static int open_file(struct download_target *t, const char *path, const char *tag, uint64_t size,
	bool *found, struct error *err)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

	t->kind = TARGET_FILE;
	free(t->name);
	t->name = buf_strf(err, "%s.%s.part", path, tag);
	t->final = buf_strf(err, "%s", path);
	if (!t->name || !t->final)
		return -1;
	t->fd = open(t->name, flags);
	*found = t->fd >= 0;
	if (t->fd < 0 && errno == ENOENT)
		t->fd = open(t->name, flags | O_CREAT | O_EXCL, 0600);
	if (t->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot create '%s'", t->name);
	if (lock_file(t, err) < 0) {
		/* Not ours: it must not be removed. */
		close(steal_fd(&t->fd));
		return -1;
	}
	return *found ? 0 : download_target_reset(t, size, err);
}

int download_target_open(struct download_target *t, const char *path, const char *tag, uint64_t size,
	bool *found, struct error *err)
{
	struct stat st;
	int ret = stat(path, &st);

	*found = false;
	t->name = buf_strf(err, "%s", path);
	if (!t->name)
		return -1;
	if (ret == 0 && S_ISBLK(st.st_mode))
		return open_device(t, path, size, err);
	if (ret == 0 && S_ISDIR(st.st_mode))
		return error_set(err, ERROR_IO, EISDIR, "cannot create '%s'", path);
	if (ret == 0 && !S_ISREG(st.st_mode))
		return error_set(err, ERROR_IO, 0,
			"cannot write to '%s': it is neither a file nor a block device", path);
	return open_file(t, path, tag, size, found, err);
}

/* The event loop waits for descriptors to be readable: an epoll one is when what it watches is ready. */
static int make_wake_fd(struct download_target *t, struct error *err)
{
	struct epoll_event event = {.events = EPOLLOUT};

	t->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->wake_fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot watch %s", t->name);
	if (epoll_ctl(t->wake_fd, EPOLL_CTL_ADD, t->fd, &event) == 0)
		return 0;
	if (errno != EPERM)
		return error_set(err, ERROR_IO, errno, "cannot watch %s", t->name);
	/* Such a one never makes anybody wait: /dev/null. */
	t->waits = false;
	return 0;
}

int download_target_stream(struct download_target *t, int fd, const char *name, struct error *err)
{
	struct stat st;

	t->kind = TARGET_STREAM;
	t->fd = fd;
	t->name = buf_strf(err, "%s", name);
	if (!t->name)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write to %s", name);
	t->waits = !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
	if (!t->waits)
		return 0;
	/* Fewer turns; who may not have it so large has it as it is. */
	if (S_ISFIFO(st.st_mode))
		(void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
	return make_wake_fd(t, err);
}

/*
 * Not O_NONBLOCK: that would hold for everybody who shares the stream. A pipe that polls writable
 * takes PIPE_BUF bytes at once.
 */
int download_target_offer(struct download_target *t, const void *data, size_t len, size_t *taken,
	struct error *err)
{
	const char *bytes = data;

	*taken = 0;
	while (*taken < len) {
		struct pollfd p = {.fd = t->fd, .events = POLLOUT};
		size_t step = t->waits ? MIN(len - *taken, (size_t)PIPE_BUF) : len - *taken;

		if (t->waits && poll(&p, 1, 0) == 0)
			return 0;
		if (file_write_all(t->fd, bytes + *taken, step, t->name, err) < 0)
			return -1;
		*taken += step;
	}
	return 0;
}

int download_target_resize(struct download_target *t, uint64_t size, struct error *err)
{
	if (ftruncate(t->fd, (off_t)size) == 0)
		return 0;
	return error_set(err, ERROR_IO, errno, "cannot give '%s' %" PRIu64 " bytes", t->name, size);
}

int download_target_reset(struct download_target *t, uint64_t size, struct error *err)
{
	if (download_target_resize(t, 0, err) < 0 || download_target_resize(t, size, err) < 0)
		return -1;
	t->fresh = true;
	return 0;
}

int download_target_write(struct download_target *t, const void *data, size_t len, uint64_t off,
	struct error *err)
{
	return file_pwrite_all(t->fd, data, len, off, t->name, err);
}

static int write_zeros(struct download_target *t, uint64_t off, uint64_t len, struct error *err)
{
	CLEANUP_FREE uint8_t *zeros = calloc(1, ZERO_STEP);

	if (!zeros)
		return error_nomem(err, "a block of zeros");
	while (len > 0) {
		size_t step = MIN(len, ZERO_STEP);

		if (download_target_write(t, zeros, step, off, err) < 0)
			return -1;
		off += step;
		len -= step;
	}
	return 0;
}

int download_target_zero(struct download_target *t, uint64_t off, uint64_t len, struct error *err)
{
	uint64_t range[2] = {off, len};

	if (len == 0 || (t->kind == TARGET_FILE && t->fresh))
		return 0;
	if (t->kind == TARGET_FILE && fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					      (off_t)off, (off_t)len) == 0)
		return 0;
	/*
	 * Not BLKDISCARD: what a discarded range reads as is up to the device. The kernel may write
	 * the zeros itself; it drops what its cache has of the range.
	 */
	if (t->kind == TARGET_DEVICE && !t->writes_zeros) {
		if (ioctl(t->fd, BLKZEROOUT, range) == 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL)
			return error_set(err, ERROR_IO, errno, "cannot write zeros to '%s'", t->name);
		t->writes_zeros = true;
	}
	return write_zeros(t, off, len, err);
}

static int name_file(struct download_target *t, bool durable, struct error *err)
{
	CLEANUP_CLOSE int folder = -1;
	int copy;
	const char *slash = strrchr(t->final, '/');
	CLEANUP_FREE char *dir = slash ? buf_strf(err, "%.*s/", (int)(slash - t->final), t->final)
				       : buf_strf(err, ".");

	if (!dir)
		return -1;
	if (fchmod(t->fd, 0644) < 0)
		return error_set(err, ERROR_IO, errno, "cannot set the mode of '%s'", t->name);
	if (durable && fsync(t->fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot sync '%s'", t->name);
	/* Some file systems report a failed write only at a close(); the lock stays with t->fd. */
	copy = dup(t->fd);
	if (copy < 0 || close(copy) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write '%s'", t->name);
	if (rename(t->name, t->final) < 0)
		return error_set(err, ERROR_IO, errno, "cannot rename '%s' to '%s'", t->name,
			t->final);
	if (!durable)
		return 0;
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0 && fsync(folder) < 0 && errno != EINVAL)
		return error_set(err, ERROR_IO, errno, "cannot sync folder '%s'", dir);
	return 0;
}

int download_target_commit(struct download_target *t, bool durable, struct error *err)
{
	int ret = 0;

	if (t->kind == TARGET_STREAM)
		return 0;
	if (t->kind == TARGET_FILE)
		ret = name_file(t, durable, err);
	else if (fsync(t->fd) < 0)
		ret = error_set(err, ERROR_IO, errno, "cannot write '%s'", t->name);
	if (ret == 0)
		close(steal_fd(&t->fd));
	return ret;
}

void download_target_close(struct download_target *t, bool remove)
{
	if (t->fd >= 0 && t->kind == TARGET_FILE && remove)
		unlink(t->name);
	if (t->fd >= 0 && t->kind != TARGET_STREAM)
		close(t->fd);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	free(t->name);
	free(t->final);
	*t = (struct download_target)DOWNLOAD_TARGET_INIT;
}
