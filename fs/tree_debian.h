/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages as a layer of a tree: runs mmdebstrap, reads its tar from a pipe. Root is not needed
 * (mmdebstrap uses user namespaces then). Its messages go to the log; when it fails, the end of them is in
 * the error.
 */
#ifndef AMIWRIGHT_FS_TREE_DEBIAN_H
#define AMIWRIGHT_FS_TREE_DEBIAN_H

#include "fs/tree.h"

struct tree_debian_opts {
	const char *suite;             /* "bookworm"; required */
	const char *architecture;      /* Debian's name: "amd64", "arm64"; NULL: the host's */
	const char *variant;           /* NULL: "minbase" */
	const char *const *components; /* NULL-terminated, NULL: main */
	const char *const *packages;   /* NULL-terminated, may be NULL */
	const char *const *mirrors;    /* URIs or sources.list lines, NULL-terminated; NULL: mmdebstrap's own default */
	const char *keyring;           /* file or folder; NULL: the host's */
	const char *snapshot;          /* "20260101T000000Z": that day's state of the archive; NULL: today's */
	int64_t epoch;                 /* SOURCE_DATE_EPOCH for the maintainer scripts */
};

/* ERROR_USAGE when mmdebstrap is not installed, naming the package. */
int tree_debian_add(struct tree *t, const struct tree_debian_opts *opts, struct error *err)
	MUST_CHECK;

#endif
