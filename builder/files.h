/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's files that one run of a command reads, and those that it makes. They are told here
 * before any work, so that a name that would cost an input, or another output, is refused while
 * nothing is lost yet.
 *
 * Files that are there are compared by device and inode, whatever they are called; names without a
 * file by their folder and their last part. Pipes and terminals can be told too: nothing is lost in
 * them.
 */
#ifndef AMIWRIGHT_BUILDER_FILES_H
#define AMIWRIGHT_BUILDER_FILES_H

#include "base/buf.h"
#include "builder/spec.h"

struct files_item {
	char *path;       /* owned */
	const char *what; /* "the spec", "read by the spec as a tar layer" */
};

/* Zeroed is empty. */
struct files {
	struct files_item *items; /* owned */
	size_t nr, alloc;
};

enum files_way {
	FILES_REPLACED, /* a new file gets this name when it is whole */
	FILES_OPENED,   /* what has the name is emptied and written to */
};

/*
 * The run reads this file, or what is in this folder. NULL for path is fine. what ends the sentence
 * "'PATH' is …" and is borrowed for ever.
 */
int files_read(struct files *f, const char *path, const char *what, struct error *err) MUST_CHECK;
/* All that the run reads for a spec, itself too. */
int files_read_spec(struct files *f, const struct spec *s, struct error *err) MUST_CHECK;
/*
 * The run makes this file; tell all that it reads first. ERROR_USAGE when it is, or when it lies in
 * a folder that is read and is there already; ERROR_IO when it cannot be made. what as above; option
 * is where another name can be given ("--output").
 */
int files_make(struct files *f, const char *path, const char *what, enum files_way way,
	const char *option, struct error *err) MUST_CHECK;
void files_release(struct files *f);

#endif
