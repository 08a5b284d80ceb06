/* SPDX-License-Identifier: Apache-2.0 */
/* A source over one unlinked file; the id of a reference into it is 0. */
#include "fs/staged.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"

enum { PAGE = 4096 };

struct staged {
	struct source source;
	int fd;
	const char *name;
};

static int staged_pread(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
	struct error *err)
{
	struct staged *s = (struct staged *)src;

	(void)id;
	return file_pread_all(s->fd, buf, len, off, s->name, err);
}

static int staged_open(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
{
	struct staged *s = (struct staged *)src;

	(void)id;
	*base = 0;
	*fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	if (*fd < 0)
		return error_set(
			err, ERROR_IO, errno, "cannot duplicate the descriptor of %s", s->name);
	return 0;
}

static const struct source_ops staged_ops = {
	.name = "staged",
	.pread = staged_pread,
	.open = staged_open,
};

struct staged *staged_new(int fd, const char *name, struct error *err)
{
	struct staged *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		error_nomem(err, "a staged file");
		return NULL;
	}
	s->source.ops = &staged_ops;
	s->fd = fd;
	s->name = name;
	return s;
}

void staged_free(struct staged *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

int staged_refer(struct staged *s, struct dev *dev, uint64_t off, uint64_t len, struct error *err)
{
	return len ? dev_refer(dev, off, len, &s->source, 0, off, err) : 0;
}

static int put_run(struct staged *s, struct dev *dev, uint64_t off, uint64_t len, bool zero,
	struct error *err)
{
	if (zero && len)
		return dev_clear(dev, off, len, EXTENT_ZERO, err);
	return staged_refer(s, dev, off, len, err);
}

int staged_refer_sparse(struct staged *s, struct dev *dev, uint64_t off, uint64_t len,
	struct error *err)
{
	static const uint8_t zeros[PAGE];
	uint8_t page[PAGE];
	uint64_t start = off;
	const uint64_t end = off + len;
	bool zero = false;

	while (off < end) {
		size_t step = MIN(PAGE - off % PAGE, end - off);
		bool is_zero;

		if (file_pread_all(s->fd, page, step, off, s->name, err) < 0)
			return -1;
		is_zero = memcmp(page, zeros, step) == 0;
		if (is_zero != zero) {
			if (put_run(s, dev, start, off - start, zero, err) < 0)
				return -1;
			start = off;
			zero = is_zero;
		}
		off += step;
	}
	return put_run(s, dev, start, end - start, zero, err);
}
