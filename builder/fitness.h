/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitness: whether a tree, once it is an AMI, starts on EC2, can be reached there, and carries
 * nothing that belongs to one machine. Each point that is missing has a name, a text that says what
 * is missing and where, and the cure: lines for the spec's `root` (they begin with "- "), a key of
 * the spec, the package to add, or a command. Nothing of the tree is run or changed.
 *
 * Facts: the EC2 User Guide's "Create an AMI" (drivers, serial console, DHCP) and "shared AMIs"
 * (host keys, authorized keys, passwords, history); systemd.network(5), machine-id(5),
 * sshd_config(5), cloud-init's documentation; layouts of Debian, Ubuntu, Fedora and Amazon Linux.
 */
#ifndef AMIWRIGHT_BUILDER_FITNESS_H
#define AMIWRIGHT_BUILDER_FITNESS_H

#include "base/json.h"
#include "builder/kernels.h"

struct fitness_in {
	const struct tree *t;
	const char *architecture;      /* "x86_64" or "arm64" */
	const char *cmdline;           /* the kernel's, whole; NULL: look for it in the tree */
	const struct kernels *kernels; /* kernels_find() of t */
	const char *root_fs;           /* "ext4"; NULL: there is no root file system */
	bool verity;                   /* root is a dm-verity volume */
	bool bootable;                 /* false: only what must not be in an image is looked for */
	bool grow;                     /* root is to grow at the first boot */
};

enum fitness_level {
	FITNESS_WARNING,
	FITNESS_FATAL, /* does not boot, or has no network: always an error */
};

struct fitness_point {
	const char *name; /* "serial-console"; a constant */
	enum fitness_level level;
	char *text;       /* owned */
	char *cure;       /* owned; lines without newline at the end */
};

struct fitness {
	struct fitness_point *items; /* owned; in a fixed order */
	size_t nr;
};

/* What is missing is no error. -1: out of memory, or the tree cannot be read. Release in any case. */
int fitness_check(const struct fitness_in *in, struct fitness *out, struct error *err) MUST_CHECK;
void fitness_release(struct fitness *f);
/* "serial-console: TEXT; cure: CURE", no newline at the end; cures of several lines one below the other. */
int fitness_text(const struct fitness_point *p, struct buf *out, struct error *err) MUST_CHECK;
/* [{"name", "level": "warning"|"fatal", "text", "cure"}, …] */
struct json *fitness_json(const struct fitness *f, struct error *err) MUST_CHECK;

#endif
