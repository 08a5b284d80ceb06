/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plain tar file as a source of contents. The file is kept open; before each use fstat() must say
 * what it said when the archive was scanned, so that a file that changes meanwhile is never read
 * silently.
 */
#include "fs/tree_tar_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/source.h"

struct tar_source {
	struct source base;
	int fd;
	struct stat st;
	char name[];
};

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

int tar_source_check(struct source *src, struct error *err)
{
	const struct tar_source *ts = (const struct tar_source *)src;
	struct stat now;

	if (fstat(ts->fd, &now) < 0)
		return error_set(err, ERROR_IO, errno, "cannot stat '%s'", ts->name);
	if (now.st_size != ts->st.st_size || !same_time(now.st_mtim, ts->st.st_mtim) ||
		!same_time(now.st_ctim, ts->st.st_ctim))
		return error_set(err, ERROR_INPUT, 0, "'%s' changed while it was read", ts->name);
	return 0;
}

static int tar_source_pread(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
	struct error *err)
{
	const struct tar_source *ts = (const struct tar_source *)src;

	(void)id;
	if (tar_source_check(src, err) < 0)
		return -1;
	return file_pread_all(ts->fd, buf, len, off, ts->name, err);
}

static int tar_source_open(struct source *src, uint64_t id, int *fd, uint64_t *base,
	struct error *err)
{
	const struct tar_source *ts = (const struct tar_source *)src;

	(void)id;
	if (tar_source_check(src, err) < 0)
		return -1;
	*fd = fcntl(ts->fd, F_DUPFD_CLOEXEC, 3);
	*base = 0;
	if (*fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot duplicate the descriptor of '%s'",
			ts->name);
	return 0;
}

static void tar_source_free(struct source *src)
{
	struct tar_source *ts = (struct tar_source *)src;

	close(ts->fd);
	free(ts);
}

static const struct source_ops tar_source_ops = {
	.name = "tar",
	.pread = tar_source_pread,
	.open = tar_source_open,
	.free = tar_source_free,
};

struct source *tar_source_new(int fd, const char *name, const struct stat *st, struct error *err)
{
	struct tar_source *ts = malloc(sizeof(*ts) + strlen(name) + 1);

	if (!ts) {
		close(fd);
		error_nomem(err, "a tar archive");
		return NULL;
	}
	ts->base.ops = &tar_source_ops;
	ts->fd = fd;
	ts->st = *st;
	memcpy(ts->name, name, strlen(name) + 1);
	return &ts->base;
}
