/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages as a layer of a tree: runs mmdebstrap, reads its tar from a pipe. Root is not
 * needed (mmdebstrap uses user namespaces then). Its messages go to the log; when it fails, its
 * errors are in ours.
 *
 * What belongs to one machine or one run, and to no image, is taken out again: device nodes, SSH
 * host keys, the machine id, and host name and resolver of the machine that it ran on.
 */
#ifndef AMIWRIGHT_FS_TREE_DEBIAN_H
#define AMIWRIGHT_FS_TREE_DEBIAN_H

#include "fs/tree.h"

/* A text file that is there before the packages are installed. */
struct tree_debian_file {
	const char *path;    /* absolute, in the image; letters, digits and /._+@:~- */
	const char *content; /* bytes, len of them, at most 64 KiB */
	size_t len;
};

struct tree_debian_opts {
	const char *suite;             /* "bookworm"; required */
	const char *architecture;      /* Debian's name: "amd64", "arm64"; NULL: the host's */
	const char *variant;           /* NULL: "minbase" */
	const char *const *components; /* NULL-terminated, NULL: main */
	const char *const *packages;   /* NULL-terminated, may be NULL */
	const char *const *mirrors;    /* URIs or sources.list lines, NULL-terminated; NULL: mmdebstrap's own default */
	/*
	 * For what the packages' scripts read (dracut.conf.d, initramfs-tools, dpkg.cfg.d): written
	 * root:root 0644 when the essential packages are there and before all others
	 */
	const struct tree_debian_file *files;
	size_t nr_files;
	const char *keyring;           /* file or folder; NULL: the host's */
	/*
	 * "20260101T000000Z": the archive as it was then, by snapshot.debian.org (not with
	 * mirrors); NULL: today's
	 */
	const char *snapshot;
	int64_t epoch;                 /* SOURCE_DATE_EPOCH for the maintainer scripts */
	const char *program;           /* NULL: "mmdebstrap" by PATH; a path to run another */
	/*
	 * NAME=VALUE, NULL-terminated: where PATH, HOME, TMPDIR and proxies come from; NULL: the
	 * process's own
	 */
	const char *const *environment;
	/* Asked a few times a second, in a thread; true stops mmdebstrap. NULL: never. */
	bool (*cancelled)(void);
};

/*
 * ERROR_USAGE when mmdebstrap is not installed (naming the package), an option is malformed, or
 * tree_debian_check() says so (not with another program);
 * ERROR_INPUT with its exit status and errors when it fails. It is stopped when we fail.
 */
int tree_debian_add(struct tree *t, const struct tree_debian_opts *opts, struct error *err)
	MUST_CHECK;

/*
 * Whether packages of an architecture (Debian's name) can be installed here: another one than the
 * host's needs arch-test, qemu-user-static and its registration in the kernel, for root and for
 * ordinary users alike. ERROR_USAGE that names what is missing.
 */
int tree_debian_check(const char *architecture, struct error *err) MUST_CHECK;

#endif
