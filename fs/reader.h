/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a file system that somebody else made, by path and read-only: for `inspect`. ext2/3/4 and
 * FAT are read by ourselves, others by the kernel of libguestfs's appliance (fs/guest_read.h).
 *
 * Whatever is on the device: time and memory are bounded, nothing is written, and no path leads out
 * of the file system.
 */
#ifndef AMIWRIGHT_FS_READER_H
#define AMIWRIGHT_FS_READER_H

#include "base/buf.h"
#include "base/dev.h"

#include <stdbool.h>

enum reader_kind { READER_NONE, READER_FILE, READER_FOLDER, READER_OTHER };

/* A name in a folder, without "." and ".."; borrowed. Ends the walk with -1. */
typedef int (*reader_name_fn)(void *arg, const char *name, struct error *err);

struct reader;

/*
 * Paths begin with '/'; symbolic links are followed inside the file system, 40 of them at most.
 * Errors: ERROR_INPUT for what is damaged, ERROR_IO when the device cannot be read.
 */
struct reader_ops {
	const char *name; /* for messages */
	/* What is there, and a file's size in bytes. */
	int (*stat)(struct reader *r, const char *path, enum reader_kind *kind, uint64_t *size,
		struct error *err);
	/* Appends up to max bytes of the file from off on; a file that is not there gives none. */
	int (*read)(struct reader *r, const char *path, uint64_t off, size_t max, struct buf *out,
		struct error *err);
	/* The names in a folder, in any order; one that is not there has none. */
	int (*list)(struct reader *r, const char *path, reader_name_fn each, void *arg,
		struct error *err);
	void (*close)(struct reader *r);
};

struct reader {
	const struct reader_ops *ops;
};

/* type: as probe_dev() has it. *out = NULL, and no error, for one that is not read by ourselves. */
int reader_open(struct dev *dev, const char *type, struct reader **out, struct error *err) MUST_CHECK;
/* NULL is fine. */
void reader_close(struct reader *r);

/* For reader_open(). */
struct reader *ext4_reader_open(struct dev *dev, struct error *err) MUST_CHECK;
struct reader *vfat_reader_open(struct dev *dev, struct error *err) MUST_CHECK;

#endif
