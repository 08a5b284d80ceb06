/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instance-store bundles: an image as encrypted parts and a signed manifest, in the form that EC2
 * registers from S3.
 *
 *   image ─▶ tar (one member) ─▶ gzip members ─▶ AES-128-CBC ─▶ parts of 10 MiB ─┬─▶ sink
 *             └ SHA-1: image/digest                              └ SHA-1 of each ─┴▶ manifest
 *
 * All in one pass and in bounded memory: what leaves this file is encrypted, and nothing else is
 * stored anywhere. Same input and seed, same bytes, whatever the number of workers.
 *
 * Sources: the manifest of version 2007-10-10 and the encryption as ec2-ami-tools 1.5.3 and euca2ools
 * write them; POSIX.1-1988 tar with GNU's base-256 sizes; RFC 1952; RFC 8017 sections 7.2 and 8.2.
 */
#ifndef AMIWRIGHT_FORMATS_BUNDLE_H
#define AMIWRIGHT_FORMATS_BUNDLE_H

#include "base/buf.h"
#include "base/crypto_rsa.h"
#include "base/dev.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/progress.h"

#include <stdbool.h>

/* The largest root of an instance-store AMI, in bytes. */
#define BUNDLE_IMAGE_MAX (10 * GIB)
enum { BUNDLE_PART_SIZE = 10 << 20, BUNDLE_SEED_SIZE = 32, BUNDLE_PREFIX_MAX = 99 };

struct bundle_part {
	unsigned index;    /* from 0, in order */
	const char *name;  /* "PREFIX.part.07": a file name, no path; borrowed for the call */
	/* BUNDLE_PART_SIZE bytes, the last one fewer. The sink may steal it to send it later. */
	struct buf *data;
	uint8_t sha1[SHA1_SIZE];
};

/*
 * Where a bundle goes: files of a folder, objects of a bucket. After an error nothing more is called,
 * and what came before is the sink's owner's to remove.
 */
struct bundle_sink {
	int (*part)(void *arg, const struct bundle_part *part, struct error *err);
	/* After all parts. name: "PREFIX.manifest.xml". */
	int (*manifest)(void *arg, const char *name, const void *data, size_t len, struct error *err);
	void *arg;
};

struct bundle_mapping {
	const char *virtual, *device; /* "ami", "sda1" */
};

struct bundle_opts {
	const char *prefix;       /* letters, digits, . _ - */
	const char *user;         /* 12 digits */
	const char *architecture; /* "i386", "x86_64", "arm64" */
	const char *kernel, *ramdisk; /* ids; NULL: none */
	const char *const *product_codes;
	size_t nr_product_codes;
	const char *const *ancestors; /* AMI ids */
	size_t nr_ancestors;
	const struct bundle_mapping *mappings;
	size_t nr_mappings;
	const char *tool_version;
	const struct crypto_rsa_key *key; /* of the user: signs */
	const struct crypto_certificate *certificate, *ec2_certificate; /* may read the bundle */
	/*
	 * Random bytes: key, IV and the padding of both are derived from them. Whoever knows them can
	 * read the bundle.
	 */
	uint8_t seed[BUNDLE_SEED_SIZE];
	int level;                 /* of libdeflate; 0: its default */
	unsigned workers;
	struct progress *progress; /* begun and ended by the caller; may be NULL */
	bool (*cancelled)(void);   /* may be NULL */
};

struct bundle_result {
	uint64_t size, bundled_size; /* bytes of the image and of all parts */
	unsigned nr_parts;
	uint8_t sha1[SHA1_SIZE];     /* of the tar stream */
};

/*
 * What of the options and the image's size is wrong: ERROR_USAGE or ERROR_INPUT, before any work. size 0: not
 * known yet.
 */
int bundle_check(const struct bundle_opts *opts, uint64_t size, struct error *err) MUST_CHECK;
/* Memory: 2 * workers + 2 chunks of 1 MiB and what they compress to, and one part. */
int bundle_write(struct dev *dev, const struct bundle_opts *opts, const struct bundle_sink *sink,
	struct bundle_result *result, struct error *err) MUST_CHECK;

/* The size and name that S3 or a folder must expect at most: of parts for an image of size bytes. */
uint64_t bundle_size_max(uint64_t size);

/*
 * A sink for a folder that is there. All files are made in a folder of their own below it, and get
 * their names by commit, the manifest last.
 */
struct bundle_folder;
/* Which part of the prefix's bundle would have this file name; false when none would. */
bool bundle_is_part(const char *name, const char *prefix, unsigned *index);
/* Removes what killed runs left there. ERROR_POLICY when a bundle of that prefix is there, unless replace. */
struct bundle_folder *bundle_folder_new(const char *dir, const char *prefix, bool replace,
	struct error *err) MUST_CHECK;
/* Borrowed. */
const struct bundle_sink *bundle_folder_sink(struct bundle_folder *f);
/*
 * Replaces what was there; ERROR_POLICY as above when another run was faster. *manifest gets its path, the caller's to
 * free.
 */
int bundle_folder_commit(struct bundle_folder *f, char **manifest, struct error *err) MUST_CHECK;
/* Drops what was not committed. NULL is fine. */
void bundle_folder_free(struct bundle_folder *f);

#endif
