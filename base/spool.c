/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool: an unlinked file with a write buffer in front of it. Bytes at and above `written`
 * are still in the buffer; reads look there too, so that a reader sees everything that was
 * appended.
 */
#include "base/spool.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SPOOL_BUFFER MIB

struct spool {
	struct source source;
	int fd;
	uint64_t written; /* bytes in the file */
	size_t used;      /* bytes in buffer */
	uint8_t *buffer;  /* SPOOL_BUFFER bytes, allocated by the first append */
	char *dir;        /* for messages */
};

DEFINE_CLEANUP(spool, struct spool, spool_free)

static int spool_source_pread(
	struct source *src, uint64_t id, void *buf, size_t len, uint64_t off, struct error *err)
{
	(void)id;
	return spool_pread((struct spool *)src, buf, len, off, err);
}

static int spool_source_open(
	struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
{
	struct spool *sp = (struct spool *)src;

	(void)id;
	if (sp->used)
		return error_set(err, ERROR_BUG, 0, "spool is used before it was flushed");
	*fd = fcntl(sp->fd, F_DUPFD_CLOEXEC, 0);
	if (*fd < 0)
		return error_set(
			err, ERROR_IO, errno, "cannot duplicate the descriptor of a spool");
	*base = 0;
	return 0;
}

static const struct source_ops spool_source_ops = {
	.name = "spool",
	.pread = spool_source_pread,
	.open = spool_source_open,
};

struct spool *spool_new(const char *dir, struct error *err)
{
	CLEANUP(spool_cleanup) struct spool *sp = calloc(1, sizeof(*sp));

	if (!sp) {
		error_nomem(err, "a spool");
		return NULL;
	}
	sp->source.ops = &spool_source_ops;
	sp->fd = -1;
	sp->dir = strdup(dir ? dir : "/var/tmp");
	if (!sp->dir) {
		error_nomem(err, "a spool");
		return NULL;
	}
	sp->fd = scratch_open(sp->dir, err);
	return sp->fd < 0 ? NULL : steal_ptr(&sp);
}

void spool_free(struct spool *sp)
{
	if (!sp)
		return;
	if (sp->fd >= 0)
		close(sp->fd); /* nothing is lost: the file has no name */
	free(sp->buffer);
	free(sp->dir);
	free(sp);
}

static int write_at(struct spool *sp, const void *data, size_t len, uint64_t off, struct error *err)
{
	if (file_pwrite_all(sp->fd, data, len, off, sp->dir, err) < 0)
		return error_wrap(err, "cannot write to a temporary file");
	return 0;
}

int spool_flush(struct spool *sp, struct error *err)
{
	if (sp->used == 0)
		return 0;
	if (write_at(sp, sp->buffer, sp->used, sp->written, err) < 0)
		return -1;
	sp->written += sp->used;
	sp->used = 0;
	return 0;
}

int spool_append(struct spool *sp, const void *data, size_t len, uint64_t *off, struct error *err)
{
	uint64_t at = spool_size(sp);

	if (!sp->buffer && !(sp->buffer = malloc(SPOOL_BUFFER)))
		return error_nomem(err, "the buffer of a spool");
	if (len > SPOOL_BUFFER - sp->used && spool_flush(sp, err) < 0)
		return -1;
	if (len >= SPOOL_BUFFER) {
		if (write_at(sp, data, len, sp->written, err) < 0)
			return -1;
		sp->written += len;
	} else if (len) {
		memcpy(sp->buffer + sp->used, data, len);
		sp->used += len;
	}
	*off = at;
	return 0;
}

uint64_t spool_size(const struct spool *sp)
{
	return sp->written + sp->used;
}

static int check_range(const struct spool *sp, size_t len, uint64_t off, struct error *err)
{
	if (off <= spool_size(sp) && len <= spool_size(sp) - off)
		return 0;
	return error_set(err, ERROR_BUG, 0,
		"%zu bytes at %" PRIu64 " are outside a spool of %" PRIu64 " bytes", len, off,
		spool_size(sp));
}

int spool_pread(struct spool *sp, void *buf, size_t len, uint64_t off, struct error *err)
{
	size_t in_file;

	if (check_range(sp, len, off, err) < 0)
		return -1;
	in_file = off < sp->written ? MIN(len, sp->written - off) : 0;
	if (in_file && file_pread_all(sp->fd, buf, in_file, off, sp->dir, err) < 0)
		return error_wrap(err, "cannot read a temporary file");
	if (len > in_file)
		memcpy((uint8_t *)buf + in_file, sp->buffer + (off + in_file - sp->written),
			len - in_file);
	return 0;
}

int spool_pwrite(struct spool *sp, const void *buf, size_t len, uint64_t off, struct error *err)
{
	size_t in_file;

	if (check_range(sp, len, off, err) < 0)
		return -1;
	in_file = off < sp->written ? MIN(len, sp->written - off) : 0;
	if (in_file && write_at(sp, buf, in_file, off, err) < 0)
		return -1;
	if (len > in_file)
		memcpy(sp->buffer + (off + in_file - sp->written), (const uint8_t *)buf + in_file,
			len - in_file);
	return 0;
}

struct source *spool_source(struct spool *sp)
{
	return &sp->source;
}
