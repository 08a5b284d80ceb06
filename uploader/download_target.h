/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a download goes: a sparse file under a temporary name, a block device, or a stream. The one
 * place that knows how each of them takes data and zeros.
 */
#ifndef AMIWRIGHT_UPLOADER_DOWNLOAD_TARGET_H
#define AMIWRIGHT_UPLOADER_DOWNLOAD_TARGET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum download_target_kind { TARGET_FILE, TARGET_DEVICE, TARGET_STREAM };

struct download_target {
	enum download_target_kind kind;
	int fd;
	char *name;  /* what is written to, for messages; owned */
	char *final; /* TARGET_FILE: the name that it gets; owned */
	bool fresh;  /* reads as zeros wherever nothing was written */
	bool writes_zeros; /* a device that cannot be told to have zeros */
	bool waits;        /* a stream whose other end may be slow */
	int wake_fd;       /* polls readable when it takes more; -1: none */
};

#define DOWNLOAD_TARGET_INIT {.fd = -1, .wake_fd = -1}

/*
 * A block device by its path, else a file that gets this name. A device must have size bytes and
 * nobody may use it; a file's temporary name is "PATH.TAG.part". *found: there is such a file from an
 * earlier run. ERROR_IO when another process writes it.
 */
int download_target_open(struct download_target *t, const char *path, const char *tag, uint64_t size,
	bool *found, struct error *err) MUST_CHECK;
/* A stream: fd stays the caller's. */
int download_target_stream(struct download_target *t, int fd, const char *name, struct error *err)
	MUST_CHECK;
/* Makes a file empty again: all of size bytes are a hole. */
int download_target_reset(struct download_target *t, uint64_t size, struct error *err) MUST_CHECK;

/* Gives a file that was found all of size bytes: what it lacks is a hole, what it has stays. */
int download_target_resize(struct download_target *t, uint64_t size, struct error *err) MUST_CHECK;

/* For files and devices. */
int download_target_write(struct download_target *t, const void *data, size_t len, uint64_t off,
	struct error *err) MUST_CHECK;
int download_target_zero(struct download_target *t, uint64_t off, uint64_t len, struct error *err)
	MUST_CHECK;

/*
 * For streams: as much of data as the reader at the other end takes now without making us wait;
 * *taken may be 0.
 */
int download_target_offer(struct download_target *t, const void *data, size_t len, size_t *taken,
	struct error *err) MUST_CHECK;

/* All is written: a device is flushed, a file (flushed when durable) gets its name. */
int download_target_commit(struct download_target *t, bool durable, struct error *err) MUST_CHECK;
/* Closes; remove: a file that has not got its name is deleted. Fine on one that is not open. */
void download_target_close(struct download_target *t, bool remove);

#endif
