/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output that is written from its first byte to its last: a file, under a temporary name until it is
 * whole, standard output, or what a sink makes of it. All get the same bytes.
 */
#ifndef AMIWRIGHT_FORMATS_OUT_H
#define AMIWRIGHT_FORMATS_OUT_H

#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct out_opts {
	bool durable; /* fsync before the final name */
	bool digest;  /* SHA-256 of all that is written */
	bool secret;  /* mode 0600, not 0644 */
};

struct out;

/* path "-" is standard output; ERROR_USAGE when that is a terminal. End with commit or abort. */
struct out *out_open(const char *path, const struct out_opts *opts, struct error *err) MUST_CHECK;

/* Where bytes go that are for no file. */
struct out_sink {
	int (*write)(void *arg, const void *data, size_t len, struct error *err);
	/* All is written: it may appear. Not called when it is dropped. */
	int (*commit)(void *arg, struct error *err);
	void *arg;
};
/* name is for messages; sink is copied. End with commit or abort. */
struct out *out_to_sink(const char *name, const struct out_sink *sink, const struct out_opts *opts,
	struct error *err) MUST_CHECK;

/* A temporary file without a name in dir (NULL: /var/tmp). End with out_take_fd() or out_abort(). */
struct out *out_temporary(const char *dir, const struct out_opts *opts, struct error *err) MUST_CHECK;
/*
 * The temporary file whole, the caller's to close; sha256 as for out_commit(). -1 on error. Frees o in any
 * case.
 */
int out_take_fd(struct out *o, uint8_t sha256[SHA256_SIZE], struct error *err) MUST_CHECK;

/* Bytes so far: where the next one goes. */
uint64_t out_off(const struct out *o);
const char *out_path(const struct out *o);

int out_write(struct out *o, const void *data, size_t len, struct error *err) MUST_CHECK;
/* The same, for data of which long parts may be zeros: those become holes. */
int out_sparse(struct out *o, const void *data, size_t len, struct error *err) MUST_CHECK;
/* len zeros: a hole where the output is a file. */
int out_zeros(struct out *o, uint64_t len, struct error *err) MUST_CHECK;
/* Zeros up to a multiple of align, a power of 2. */
int out_pad(struct out *o, uint64_t align, struct error *err) MUST_CHECK;
/* len bytes of the file fd from off on. */
int out_copy(struct out *o, int fd, uint64_t off, uint64_t len, struct error *err) MUST_CHECK;

/*
 * Gives it the final name. sha256 gets the digest, when it was asked for; else it may be NULL. On
 * error nothing is left. Frees o in any case.
 */
int out_commit(struct out *o, uint8_t sha256[SHA256_SIZE], struct error *err) MUST_CHECK;
/* Drops it. NULL is fine. */
void out_abort(struct out *o);

#endif
