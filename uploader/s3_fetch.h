/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many objects into files, several at a time: each file gets its name when its SHA-1 is the one that was
 * said, and one that is there with that SHA-1 is not fetched again.
 */
#ifndef AMIWRIGHT_UPLOADER_S3_FETCH_H
#define AMIWRIGHT_UPLOADER_S3_FETCH_H

#include "uploader/s3.h"

struct s3_fetch_file {
	char *key, *path;        /* borrowed */
	uint8_t sha1[SHA1_SIZE];
	bool was_there;          /* result */
};

struct s3_fetch_opts {
	uint64_t size_max;       /* of one object, bytes: a larger one is ERROR_INPUT */
	void (*progress)(void *arg, uint64_t bytes); /* may be NULL */
	void *arg;
};

/*
 * ERROR_INPUT for an object with another content. What is whole by then stays, so that a rerun goes on;
 * memory is that of eight pieces of 5 MiB.
 */
int s3_fetch(const struct s3_place *place, struct s3_fetch_file *files, size_t nr,
	const struct s3_fetch_opts *opts, struct error *err) MUST_CHECK;

#endif
