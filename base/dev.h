/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device as a table of functions. Implementations: disk (sparse store in memory with file
 * ranges by reference), window (a range of another device), filedev (a file or block device), and
 * the readers of formats/. Callers use the checked wrappers dev_*(), never the table: the wrappers
 * own the range checks and the defaults of empty slots.
 *
 * All offsets and lengths are bytes, of any alignment. Reading is safe from many threads at once
 * when nobody writes; writing is not.
 */
#ifndef AMIWRIGHT_BASE_DEV_H
#define AMIWRIGHT_BASE_DEV_H

#include "base/error.h"
#include "base/extent.h"
#include "base/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dev;

struct dev_ops {
	const char *name; /* for messages: "disk", "window", "file" */

	/* Reads exactly len bytes; zero and unused ranges read as zeros. Required. */
	int (*pread)(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err);

	/* Writes exactly len bytes; the range becomes data. NULL: the device is read-only. */
	int (*pwrite)(struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err);

	/*
	 * Makes the range EXTENT_ZERO or EXTENT_UNUSED (it reads as zeros). NULL: zeros are
	 * written.
	 */
	int (*clear)(struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind,
		struct error *err);

	/*
	 * Makes the range refer to bytes of a source, without copying. The source is borrowed until
	 * the device is closed. NULL: the bytes are read and written.
	 */
	int (*refer)(struct dev *dev, uint64_t off, uint64_t len, struct source *src, uint64_t id,
		uint64_t src_off, struct error *err);

	/*
	 * Appends to list the extents of [off, off+len), in order and without gaps, clipped to that
	 * range. NULL: all of it is data.
	 */
	int (*extents)(struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list,
		struct error *err);

	/*
	 * Where the bytes of [off, off+*len) can be had by descriptor: sets *fd (borrowed until the
	 * next call on dev or, with *owned, the caller's to close), *fd_off, and cuts *len to what
	 * lies there in one piece. *fd = -1 when this piece is not in a file (*len says how long
	 * that is so). For copy_file_range(). NULL: never in a file.
	 */
	int (*locate)(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off,
		bool *owned, struct error *err);

	/* Makes writes durable. NULL: nothing to do. */
	int (*flush)(struct dev *dev, struct error *err);

	/* Releases the device, also when it returns -1 (writes may be lost then). Required. */
	int (*close)(struct dev *dev, struct error *err);
};

struct dev {
	const struct dev_ops *ops;
	uint64_t size; /* bytes; fixed for the life of the device */
};

/* All of these: ERROR_BUG when the range lies outside the device. */
int dev_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err) MUST_CHECK;
int dev_pwrite(struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
	MUST_CHECK;
/* EXTENT_DATA is not allowed as kind. */
int dev_clear(struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *err)
	MUST_CHECK;
int dev_refer(struct dev *dev, uint64_t off, uint64_t len, struct source *src, uint64_t id,
	uint64_t src_off, struct error *err) MUST_CHECK;
int dev_extents(struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list,
	struct error *err) MUST_CHECK;
int dev_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off, bool *owned,
	struct error *err) MUST_CHECK;
int dev_flush(struct dev *dev, struct error *err) MUST_CHECK;
/* NULL is fine. For readers whose close cannot matter, pass err = NULL. */
int dev_close(struct dev *dev, struct error *err);

#endif
