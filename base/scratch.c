/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes are gathered to whole pages, so that a hole is seen however they come. */
#include "base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/filedev.h"
#include "base/num.h"
#include "base/zero.h"

enum { PAGE = 4096, GATHER = 256 << 10 };

struct scratch {
	int fd;
	char *dir;    /* for messages */
	uint64_t off; /* of the first byte that is gathered */
	size_t gathered;
	uint8_t buf[GATHER];
};

/* For file systems without O_TMPFILE: a name that lives for a moment. */
static int open_and_unlink(const char *dir, struct error *err)
{
	CLEANUP_FREE char *path = file_join(dir, ".amiwright-XXXXXX", err);
	int fd;

	if (!path)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot create a temporary file in '%s'", dir);
	unlink(path);
	return fd;
}

int scratch_open(const char *dir, struct error *err)
{
	int fd;

	dir = dir ? dir : "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd >= 0)
		return fd;
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
		return open_and_unlink(dir, err);
	return error_set(err, ERROR_IO, errno, "cannot create a temporary file in '%s'", dir);
}

struct scratch *scratch_new(const char *dir, struct error *err)
{
	CLEANUP(scratch_cleanup) struct scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a temporary file");
	s->fd = -1;
	s->dir = buf_strf(err, "a temporary file in %s", dir ? dir : "/var/tmp");
	if (!s->dir)
		return NULL;
	s->fd = scratch_open(dir, err);
	return s->fd < 0 ? NULL : steal_ptr(&s);
}

void scratch_free(struct scratch *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->dir);
	free(s);
}

/* Writes what is gathered but for pages of zeros; only the last page of all may be a part of one. */
static int flush(struct scratch *s, struct error *err)
{
	size_t at = 0;

	while (at < s->gathered) {
		size_t run = 0;

		while (at + run < s->gathered &&
			!zero_all(s->buf + at + run, MIN((size_t)PAGE, s->gathered - at - run)))
			run = MIN(run + PAGE, s->gathered - at);
		if (run && file_pwrite_all(s->fd, s->buf + at, run, s->off + at, s->dir, err) < 0)
			return -1;
		at = MIN(at + run + PAGE, s->gathered);
	}
	s->off += s->gathered;
	s->gathered = 0;
	return 0;
}

int scratch_write(struct scratch *s, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;

	while (len) {
		size_t step = MIN(len, GATHER - s->gathered);

		memcpy(s->buf + s->gathered, p, step);
		s->gathered += step;
		p += step;
		len -= step;
		if (s->gathered == GATHER && flush(s, err) < 0)
			return -1;
	}
	return 0;
}

uint64_t scratch_size(const struct scratch *s)
{
	return s->off + s->gathered;
}

struct dev *scratch_dev(struct scratch *s, const char *name, struct error *err)
{
	int fd;

	if (flush(s, err) < 0)
		return NULL;
	if (!s->off)
		return error_null(err, ERROR_INPUT, 0, "'%s' is empty", name);
	if (ftruncate(s->fd, (off_t)s->off) < 0)
		return error_null(err, ERROR_IO, errno, "cannot write %s", s->dir);
	fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return error_null(err, ERROR_IO, errno, "cannot read %s", s->dir);
	return filedev_from_fd(fd, false, name, err);
}
