/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fs/tree_debian*.c share: the command that is run, and its messages. */
#ifndef AMIWRIGHT_FS_TREE_DEBIAN_INTERNAL_H
#define AMIWRIGHT_FS_TREE_DEBIAN_INTERNAL_H

#include "base/buf.h"
#include "fs/tree_debian.h"

/* A NULL-terminated list of owned strings, as execve() wants it. */
struct debian_strings {
	char **items;
	size_t nr, alloc;
};

void debian_strings_release(struct debian_strings *s);

/* Arguments (argv[0] first) and environment of mmdebstrap. ERROR_USAGE for malformed options. */
int debian_arguments(const struct tree_debian_opts *opts, struct debian_strings *argv,
	struct error *err) MUST_CHECK;
int debian_environment(const struct tree_debian_opts *opts, struct debian_strings *envp,
	struct error *err) MUST_CHECK;

/*
 * Whether the machine runs programs of an architecture that is not its own. binfmt: the folder of
 * the kernel's registrations. ERROR_USAGE that says what is missing.
 */
int debian_check_foreign(const char *architecture, const char *binfmt, struct error *err)
	MUST_CHECK;

/*
 * Messages of mmdebstrap, line by line, to the log: "I: " as information, "W: " as warning, others
 * for debugging. What begins with "E: " is kept for the error, and the last lines in case there is
 * none.
 */
struct debian_messages {
	struct buf line;
	struct buf errors; /* joined by "; " */
	char last[3][200]; /* the last lines, oldest first */
};

/* Release it at the end. */
void debian_messages_init(struct debian_messages *m);
void debian_messages_release(struct debian_messages *m);
/* Takes the next bytes of its standard error; the last line is ended by debian_messages_end(). */
void debian_messages_add(struct debian_messages *m, const char *data, size_t len);
void debian_messages_end(struct debian_messages *m);
/* The errors, else the last lines; borrowed. */
const char *debian_messages_text(struct debian_messages *m);

#endif
