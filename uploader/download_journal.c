/* SPDX-License-Identifier: Apache-2.0 */
/* See download_journal.h. */
#include "uploader/download_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "uploader/ebs.h"

enum { HEAD_SIZE = 512, CHUNK = 8192 };

DEFINE_CLEANUP(sha256, struct sha256, sha256_free)

static uint64_t place(uint64_t index)
{
	return HEAD_SIZE + index * SHA256_SIZE;
}

static void make_head(char head[HEAD_SIZE], const char *snapshot, const char *region,
	uint64_t size_gib)
{
	memset(head, 0, HEAD_SIZE);
	snprintf(head, HEAD_SIZE,
		"amiwright download journal 1\nsnapshot %.64s\nregion %.64s\nsize_gib %" PRIu64 "\n",
		snapshot, region, size_gib);
}

/* Whether the file is a journal with this head and of the full size. */
static int check_head(const struct download_journal *j, const char *head, bool *same,
	struct error *err)
{
	char there[HEAD_SIZE];
	struct stat st;

	*same = false;
	if (fstat(j->fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot stat '%s'", j->path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, 0, "'%s' is not a regular file", j->path);
	if ((uint64_t)st.st_size != place(j->nr_blocks))
		return 0;
	if (file_pread_all(j->fd, there, HEAD_SIZE, 0, j->path, err) < 0)
		return -1;
	*same = memcmp(there, head, HEAD_SIZE) == 0;
	return 0;
}

static int make_empty(const struct download_journal *j, const char *head, struct error *err)
{
	if (ftruncate(j->fd, 0) < 0 || ftruncate(j->fd, (off_t)place(j->nr_blocks)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot set the size of '%s'", j->path);
	return file_pwrite_all(j->fd, head, HEAD_SIZE, 0, j->path, err);
}

int download_journal_open(struct download_journal *j, const char *path, const char *snapshot,
	const char *region, uint64_t size_gib, bool *found, struct error *err)
{
	char head[HEAD_SIZE];

	j->nr_blocks = size_gib * (GIB / EBS_BLOCK_SIZE);
	j->path = strdup(path);
	if (!j->path)
		return error_nomem(err, "a file name");
	j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (j->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	make_head(head, snapshot, region, size_gib);
	if (check_head(j, head, found, err) < 0)
		return -1;
	return *found ? 0 : make_empty(j, head, err);
}

int download_journal_reset(struct download_journal *j, struct error *err)
{
	char head[HEAD_SIZE];

	if (file_pread_all(j->fd, head, HEAD_SIZE, 0, j->path, err) < 0)
		return -1;
	return make_empty(j, head, err);
}

int download_journal_read(const struct download_journal *j, uint64_t index, size_t nr,
	uint8_t (*digests)[SHA256_SIZE], struct error *err)
{
	return file_pread_all(j->fd, digests, nr * SHA256_SIZE, place(index), j->path, err);
}

int download_journal_write(struct download_journal *j, uint64_t index,
	const uint8_t digest[SHA256_SIZE], struct error *err)
{
	return file_pwrite_all(j->fd, digest, SHA256_SIZE, place(index), j->path, err);
}

bool download_journal_is_empty(const uint8_t digest[SHA256_SIZE])
{
	static const uint8_t none[SHA256_SIZE];

	return memcmp(digest, none, SHA256_SIZE) == 0;
}

int download_journal_aggregate(const struct download_journal *j, uint8_t out[SHA256_SIZE],
	struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	CLEANUP_FREE uint8_t(*digests)[SHA256_SIZE] = calloc(CHUNK, SHA256_SIZE);

	if (!h)
		return -1;
	if (!digests)
		return error_nomem(err, "digests");
	for (uint64_t at = 0; at < j->nr_blocks; at += CHUNK) {
		size_t nr = (size_t)MIN((uint64_t)CHUNK, j->nr_blocks - at);

		if (download_journal_read(j, at, nr, digests, err) < 0)
			return -1;
		for (size_t i = 0; i < nr; i++) {
			if (!download_journal_is_empty(digests[i]) &&
			    sha256_update(h, digests[i], SHA256_SIZE, err) < 0)
				return -1;
		}
	}
	return sha256_final(h, out, err);
}

void download_journal_close(struct download_journal *j, bool remove)
{
	if (j->fd >= 0) {
		close(j->fd);
		if (remove)
			unlink(j->path);
	}
	free(j->path);
	*j = (struct download_journal)DOWNLOAD_JOURNAL_INIT;
}
