/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes are gathered to whole pages, so that a hole is seen however they come. */
#include "base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/crypto_cipher.h"
#include "base/file.h"
#include "base/filedev.h"
#include "base/num.h"
#include "base/sealed.h"
#include "base/zero.h"

enum { PAGE = CRYPTO_PAGE, GATHER = 256 << 10 };

struct scratch {
	int fd;
	char *dir;    /* for messages */
	bool sealed;
	uint8_t key[CRYPTO_PAGES_KEY];
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

struct scratch *scratch_new(const char *dir, const uint8_t *key, struct error *err)
{
	CLEANUP(scratch_cleanup) struct scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a temporary file");
	s->fd = -1;
	s->sealed = key != NULL;
	if (key)
		memcpy(s->key, key, sizeof(s->key));
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
	crypto_wipe(s, sizeof(*s));
	free(s);
}

/* A sealed page is stored whole. */
static uint64_t stored(const struct scratch *s, uint64_t len)
{
	return s->sealed ? num_align(len, PAGE) : len;
}

static int put(struct scratch *s, size_t at, size_t len, struct error *err)
{
	if (s->sealed && crypto_pages(true, s->key, (s->off + at) / PAGE, s->buf + at, len, err) < 0)
		return -1;
	return file_pwrite_all(s->fd, s->buf + at, len, s->off + at, s->dir, err);
}

/* Writes what is gathered but for pages of zeros; only the last page of all may be a part of one. */
static int flush(struct scratch *s, struct error *err)
{
	size_t at = 0, len = (size_t)stored(s, s->gathered);

	memset(s->buf + s->gathered, 0, len - s->gathered);
	while (at < len) {
		size_t run = 0;

		while (at + run < len && !zero_all(s->buf + at + run, MIN((size_t)PAGE, len - at - run)))
			run = MIN(run + PAGE, len - at);
		if (run && put(s, at, run, err) < 0)
			return -1;
		at = MIN(at + run + PAGE, len);
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

/* What is gathered is filled up to a whole page; whole pages of zeros are left out. */
int scratch_zeros(struct scratch *s, uint64_t len, struct error *err)
{
	static const uint8_t zeros[PAGE];
	size_t fill = (size_t)MIN(len, (PAGE - s->gathered % PAGE) % PAGE);

	if (scratch_write(s, zeros, fill, err) < 0)
		return -1;
	len -= fill;
	if (len >= PAGE) {
		if (flush(s, err) < 0)
			return -1;
		s->off += len - len % PAGE;
		len %= PAGE;
	}
	return scratch_write(s, zeros, (size_t)len, err);
}

uint64_t scratch_size(const struct scratch *s)
{
	return s->off + s->gathered;
}

struct dev *scratch_dev(struct scratch *s, const char *name, struct error *err)
{
	struct dev *dev;
	int fd;

	if (flush(s, err) < 0)
		return NULL;
	if (!s->off)
		return error_null(err, ERROR_INPUT, 0, "'%s' is empty", name);
	if (ftruncate(s->fd, (off_t)stored(s, s->off)) < 0)
		return error_null(err, ERROR_IO, errno, "cannot write %s", s->dir);
	fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return error_null(err, ERROR_IO, errno, "cannot read %s", s->dir);
	dev = filedev_from_fd(fd, false, name, err);
	return dev && s->sealed ? sealed_open(dev, s->off, s->key, err) : dev;
}
