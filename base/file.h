/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole-file operations: reading with a ceiling, and atomic writing. An atomic file is written
 * under a temporary name in the folder of its final name (O_TMPFILE where the file system has it,
 * so that nothing at all is left by a kill) and gets the final name only when it is whole.
 */
#ifndef AMIWRIGHT_BASE_FILE_H
#define AMIWRIGHT_BASE_FILE_H

#include "base/buf.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whole content into out (appended); more than out's ceiling is ERROR_INPUT. A pipe is waited for, as
 * long as nobody interrupts.
 */
int file_read(const char *path, struct buf *out, struct error *err) MUST_CHECK;

/*
 * All bytes, going on after short counts and EINTR. pread at end of file is ERROR_INPUT. path for
 * messages.
 */
int file_pread_all(int fd, void *buf, size_t len, uint64_t off, const char *path,
	struct error *err) MUST_CHECK;
int file_pwrite_all(int fd, const void *buf, size_t len, uint64_t off, const char *path,
	struct error *err) MUST_CHECK;
/* A pipe may keep it waiting: ERROR_INTERRUPTED when a signal comes meanwhile and the user wants us to stop. */
int file_write_all(
	int fd, const void *buf, size_t len, const char *path, struct error *err) MUST_CHECK;

struct atomic_file {
	int fd;         /* open for writing and reading; -1 when not open */
	char *path;     /* final name; owned */
	char *tmp_path; /* temporary name, NULL with O_TMPFILE; owned */
};

#define ATOMIC_FILE_INIT \
	{                \
		.fd = -1 \
	}

/*
 * Whether a file could be made under this name as things are now: ERROR_IO when its folder is not
 * there or not writable, or when a folder, a device or a pipe has the name.
 */
int file_check_target(const char *path, struct error *err) MUST_CHECK;
/* mode is the final mode (not cut by umask). The folder must exist. */
int atomic_file_open(
	struct atomic_file *f, const char *path, mode_t mode, struct error *err) MUST_CHECK;
/*
 * Gives it the final name, replacing what was there. durable: fsync file and folder first. On error
 * the temporary file is gone. Closed in any case.
 */
int atomic_file_commit(struct atomic_file *f, bool durable, struct error *err) MUST_CHECK;
/* Drops it; nothing under the final name changes. Fine on one that is not open. */
void atomic_file_abort(struct atomic_file *f);

/* A small file in one call. */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, bool durable,
	struct error *err) MUST_CHECK;

/* mkdir -p. */
int file_mkdirs(const char *path, mode_t mode, struct error *err) MUST_CHECK;

/* "dir/rel", or rel itself when it is absolute or dir is NULL. The caller's to free. */
char *file_join(const char *dir, const char *rel, struct error *err) MUST_CHECK;

/*
 * Raises the limit of open files, as far as the hard one allows, so that nr can be open beside the usual
 * few. Opening them is what tells whether that was enough.
 */
void file_allow(uint64_t nr);

#endif
