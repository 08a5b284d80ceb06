/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines with checks under a lock. One pass over the file finds out where its sound part ends; nothing
 * of it is kept in memory.
 */
#include "uploader/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"

enum { CHECK_HEX = 8, TRIES = 10 };

static int make_check(const char *line, size_t len, char hex[CHECK_HEX + 1], struct error *err)
{
	uint8_t digest[SHA256_SIZE];

	if (sha256(line, len, digest, err) < 0)
		return -1;
	hex_encode(hex, digest, CHECK_HEX / 2);
	return 0;
}

int journal_file_append(struct journal_file *j, const char *text, struct error *err)
{
	CLEANUP_BUF struct buf line = BUF_INIT(JOURNAL_LINE_MAX);
	char check[CHECK_HEX + 1];

	if (make_check(text, strlen(text), check, err) < 0)
		return -1;
	if (buf_addf(&line, err, "%s %s\n", text, check) < 0)
		return error_wrap(err, "a record of '%s'", j->path);
	if (file_pwrite_all(j->fd, line.data, line.len, j->end, j->path, err) < 0)
		return -1;
	j->end += line.len;
	return 0;
}

/* Whether text (NUL-terminated, no newline) ends in its check; which is cut off then. */
static bool is_sound(char *text)
{
	size_t len = strlen(text);
	char check[CHECK_HEX + 1];

	if (len < CHECK_HEX + 2 || text[len - CHECK_HEX - 1] != ' ')
		return false;
	if (make_check(text, len - CHECK_HEX - 1, check, NULL) < 0 ||
	    strcmp(check, text + len - CHECK_HEX) != 0)
		return false;
	text[len - CHECK_HEX - 1] = '\0';
	return true;
}

/* A pass over the file. */
struct scan {
	journal_line_fn *line;
	void *arg;
	bool unsound;  /* the line before this one; when it was the last, it is only torn */
	bool overlong; /* the beginning of this line is gone already: it is none of ours */
};

/* text: len bytes and a NUL in the place of the newline; end: of the line, in the file. */
static int scan_line(struct journal_file *j, struct scan *s, char *text, size_t len, uint64_t end,
	struct error *err)
{
	bool sound = !s->overlong && strlen(text) == len && is_sound(text);

	if (s->unsound && s->line(s->arg, NULL, err) < 0)
		return -1;
	s->unsound = !sound;
	s->overlong = false;
	if (!sound)
		return 0;
	j->end = end;
	return s->line(s->arg, text, err);
}

int journal_file_scan(struct journal_file *j, journal_line_fn *line, void *arg, struct error *err)
{
	CLEANUP_FREE char *chunk = malloc(JOURNAL_LINE_MAX + 1);
	struct scan s = {.line = line, .arg = arg};
	uint64_t pos = 0; /* of the chunk's beginning */
	size_t have = 0;

	if (!chunk)
		return error_nomem(err, "a journal");
	j->end = 0;
	for (;;) {
		ssize_t n = pread(j->fd, chunk + have, JOURNAL_LINE_MAX - have, (off_t)(pos + have));
		char *at = chunk, *newline;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read '%s'", j->path);
		have += (size_t)n;
		while ((newline = memchr(at, '\n', have)) != NULL) {
			size_t len = (size_t)(newline - at);

			*newline = '\0';
			pos += len + 1;
			if (scan_line(j, &s, at, len, pos, err) < 0)
				return -1;
			have -= len + 1;
			at = newline + 1;
		}
		if (n == 0)
			return s.unsound && have + s.overlong ? line(arg, NULL, err) : 0;
		if (have == JOURNAL_LINE_MAX) {
			s.overlong = true;
			pos += have;
			have = 0;
		}
		memmove(chunk, at, have);
	}
}

/* The lock is the file's, and the name may go while we wait for neither: then it is another file. */
static int open_locked(const char *path, int flags, struct error *err)
{
	for (int i = 0; i < TRIES; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
		struct stat ours, named;

		if (fd < 0)
			return error_set(err, ERROR_IO, errno, "cannot open the journal '%s'", path);
		if (fstat(fd, &ours) == 0 && !S_ISREG(ours.st_mode)) {
			close(fd);
			return error_set(err, ERROR_USAGE, 0,
				"the journal '%s' is not a regular file: name one, it need not be there", path);
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int why = errno;

			close(fd);
			if (why == EWOULDBLOCK)
				return error_set(err, ERROR_POLICY, 0,
					"another process is uploading with the journal '%s'", path);
			return error_set(err, ERROR_IO, why, "cannot lock '%s'", path);
		}
		if (fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
		    ours.st_dev == named.st_dev)
			return fd;
		close(fd);
	}
	return error_set(err, ERROR_IO, 0, "the journal '%s' comes and goes", path);
}

int journal_file_open(struct journal_file *j, const char *path, int flags, struct error *err)
{
	j->path = strdup(path);
	if (!j->path)
		return error_nomem(err, "a journal");
	j->fd = open_locked(path, flags, err);
	return j->fd < 0 ? -1 : 0;
}

void journal_file_close(struct journal_file *j)
{
	if (j->fd >= 0)
		close(j->fd);
	free(j->path);
	*j = (struct journal_file)JOURNAL_FILE_INIT;
}

int journal_file_cut(struct journal_file *j, uint64_t end, struct error *err)
{
	if (ftruncate(j->fd, (off_t)end) < 0)
		return error_set(err, ERROR_IO, errno, "cannot cut '%s'", j->path);
	j->end = end;
	return 0;
}

int journal_file_sync(struct journal_file *j, struct error *err)
{
	if (fdatasync(j->fd) < 0 && errno != EINVAL)
		return error_set(err, ERROR_IO, errno, "cannot write '%s'", j->path);
	return 0;
}
