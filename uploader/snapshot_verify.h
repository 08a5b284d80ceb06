/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a snapshot holds an image: its blocks against the image's, or against the digests of a
 * manifest.
 *
 *   image      snapshot has the block        snapshot lacks it
 *   data       digests must be the same      wrong, unless it is zeros
 *   zeros      it must be zeros              wrong when the volume is encrypted: random bytes there
 *   unused     not looked at                 fine
 *   (behind    it must be zeros              fine
 *   its end)
 *
 * A manifest does not tell zeros from unused: what it lacks must be zeros in the snapshot, or absent.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_VERIFY_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_VERIFY_H

#include "uploader/snapshot_side.h"

enum snapshot_wrong {
	SNAPSHOT_DIFFERS,   /* other bytes than expected */
	SNAPSHOT_LACKS,     /* no block where the image has data */
	SNAPSHOT_LACKS_ZERO, /* no block where zeros are read, on an encrypted volume */
	SNAPSHOT_EXTRA,     /* bytes where the image has none */
};

enum { SNAPSHOT_SAMPLE_ALL = 1000000 };

struct snapshot_verify_opts {
	struct snapshot_side_opts side; /* its progress is begun by the caller */
	bool encrypted;
	bool by_digests;   /* the image is a table */
	unsigned sample;   /* of a million blocks so many are read, 1 to SNAPSHOT_SAMPLE_ALL */
	uint64_t seed;     /* which: the same ones for the same seed */
	int (*wrong)(void *arg, uint64_t index, enum snapshot_wrong what, struct error *err);
	void *arg;
};

struct snapshot_verify_result {
	uint64_t blocks;   /* in the snapshot */
	uint64_t read;     /* of these: read and compared */
	uint64_t passed;   /* not in the sample */
	uint64_t unused;   /* not compared: no file system uses them */
	uint64_t wrong;    /* the snapshot's and those that it lacks */
};

/* 0 also when blocks are wrong. ERROR_INPUT when the image is larger than the volume. */
int snapshot_verify(struct snapshot_side *snapshot, struct snapshot_side *image,
	const struct snapshot_verify_opts *opts, struct snapshot_verify_result *out,
	struct error *err) MUST_CHECK;

#endif
