/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of instance-store bundles (formats/bundle.h), those of ec2-ami-tools and euca2ools too:
 * sparse tar members of GNU tar, an empty last part, either kind of quotes.
 *
 * What is believed of a manifest is read from the bytes that its signature covers, and from nothing
 * else. Memory is bounded whatever a bundle claims.
 */
#ifndef AMIWRIGHT_FORMATS_UNBUNDLE_H
#define AMIWRIGHT_FORMATS_UNBUNDLE_H

#include "base/crypto_rsa.h"
#include "base/hash.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stdint.h>

struct unbundle_part {
	char *name; /* a file name, no path; owned */
	uint8_t sha1[SHA1_SIZE];
};

struct unbundle {
	char *path;                  /* of the manifest; owned */
	char *name, *user, *architecture; /* owned */
	uint64_t size, bundled_size; /* bytes of the image and of all parts */
	uint8_t sha1[SHA1_SIZE];     /* of the tar stream */
	struct unbundle_part *parts; /* owned */
	size_t nr_parts;
	struct buf user_key, user_iv; /* encrypted */
	struct buf signature;         /* empty: none */
	uint8_t signed_sha1[SHA1_SIZE]; /* of what it covers */
};

struct unbundle_opts {
	const char *parts;       /* folder; NULL: the manifest's */
	struct progress *progress; /* begun and ended by the caller; may be NULL */
	bool (*cancelled)(void); /* may be NULL */
};

/* ERROR_INPUT says what is wrong and names path. Release in any case; zeroed is fine. */
int unbundle_read(struct unbundle *u, const char *path, struct error *err) MUST_CHECK;
/* The same of a text; path for messages, and its folder for the parts. */
int unbundle_parse(struct unbundle *u, const char *path, const struct buf *text, struct error *err)
	MUST_CHECK;
void unbundle_release(struct unbundle *u);

/* ERROR_INPUT when the certificate's owner has not signed it. */
int unbundle_check_signature(const struct unbundle *u, const struct crypto_certificate *c,
	struct error *err) MUST_CHECK;
/* That all parts are there, with the sizes and digests that the manifest has. */
int unbundle_check_parts(const struct unbundle *u, const struct unbundle_opts *opts, struct error *err)
	MUST_CHECK;
/*
 * Decrypts and unpacks the image into path, sparse and of mode 0600; it gets its name when all was found right.
 * NULL: only checks. Part digests are not looked at again.
 */
int unbundle_extract(const struct unbundle *u, const struct crypto_rsa_key *key, const char *path,
	const struct unbundle_opts *opts, struct error *err) MUST_CHECK;

#endif
