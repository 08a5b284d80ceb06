/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text file that is only ever appended to, a record a line, each with the first 8 hex digits of its
 * own SHA-256 at its end. It is locked while it is open: two processes never share one.
 */
#ifndef AMIWRIGHT_UPLOADER_JOURNAL_FILE_H
#define AMIWRIGHT_UPLOADER_JOURNAL_FILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of a line, with check and newline. The longest is an upload's head with all tags: 50 of
 * 128 + 256 characters, each of up to 4 bytes, or of 6 when JSON writes it as \u001f.
 */
enum { JOURNAL_LINE_MAX = 131072 };

struct journal_file {
	int fd;       /* -1: not open */
	char *path;   /* owned */
	uint64_t end; /* of the sound records, as far as the last scan has found them */
};

#define JOURNAL_FILE_INIT \
	{                 \
		.fd = -1  \
	}

/*
 * Opens and locks; flags: O_CREAT or 0. Another process has it: ERROR_POLICY. Not a regular file:
 * ERROR_USAGE. journal_file_close() in any case.
 */
int journal_file_open(struct journal_file *j, const char *path, int flags, struct error *err)
	MUST_CHECK;
/* Every record was written when it was made: nothing can fail. */
void journal_file_close(struct journal_file *j);

/* A record behind the last sound one, written when this returns. text: without a newline. */
int journal_file_append(struct journal_file *j, const char *text, struct error *err) MUST_CHECK;
/* Drops all behind the first `end` bytes. */
int journal_file_cut(struct journal_file *j, uint64_t end, struct error *err) MUST_CHECK;
/* Makes what was written survive a crash of the machine. */
int journal_file_sync(struct journal_file *j, struct error *err) MUST_CHECK;

/*
 * What is done with each sound line: its text without check and newline, which it may change; NULL:
 * something is lost.
 */
typedef int journal_line_fn(void *arg, char *line, struct error *err);
/*
 * Calls line() for each sound line, and with NULL where others come before further lines: an append
 * that was cut off makes an unsound line only at the end. Sets j->end. -1 when line() says so.
 */
int journal_file_scan(struct journal_file *j, journal_line_fn *line, void *arg, struct error *err)
	MUST_CHECK;

#endif
