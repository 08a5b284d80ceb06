/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems: what every writer offers, so that the plan treats all of them alike. A struct fs is
 * one file system of one image, from its sizes to its bytes:
 *
 *   fs_open ─▶ fs_sizes ─▶ (the partition table is laid out) ─▶ fs_plan ─▶ fs_write ─▶ fs_close
 *
 * A writer may do its work in any of these steps and keep the result in `state` (squashfs is
 * compressed to know its size); fs_write() may refer to data that it owns, so the struct fs outlives
 * the device that it was written to. A new file system is one file and one line in the table of fs.c.
 */
#ifndef AMIWRIGHT_FS_FS_H
#define AMIWRIGHT_FS_FS_H

#include "base/dev.h"
#include "fs/tree.h"

#include <stdbool.h>
#include <stdint.h>

struct fs_opts {
	int64_t epoch;              /* seconds: all times of the file system's own */
	uint8_t uuid[16];           /* derived; vfat and swap take what they can hold of it */
	uint8_t hash_seed[16];      /* ext: of the htree */
	const char *label;          /* borrowed; any length, each writer cuts it between characters */
	const char *mount;          /* borrowed; NULL: not mounted */
	uint32_t reserved_percent;  /* ext: blocks for root */
	const char *spool_dir;      /* borrowed; folder for temporary data, NULL: /var/tmp */
	unsigned workers;           /* threads; 0 or 1: none but the caller */
	bool (*cancelled)(void);    /* NULL: never */
};

/* What a file system will look like; all sizes in bytes, 0 where a file system has no such thing. */
struct fs_sums {
	uint64_t size;              /* of the file system, at most what it was given */
	uint64_t used, free;
	uint64_t inodes, free_inodes;
};

struct fs {
	const struct fs_ops *ops;
	const struct tree *tree;    /* borrowed, finished (tree_finish) */
	tree_node root;             /* directory that becomes the root; children of mount points are left out */
	struct fs_opts opts;
	uint64_t len;               /* bytes of its place; set by fs_plan() */
	void *state;                /* the writer's own */
};

enum {
	FS_READ_ONLY = 1,   /* cannot be written to once made: squashfs */
	FS_NO_TREE = 2,     /* holds no files: swap */
	FS_SCRIPTED = 4,    /* made by other programs or libguestfs: may need packages at run time */
	FS_NOT_SAME = 8,    /* two runs do not give the same bits */
};

/* The limit of a text for fstab's first field, "UUID=…". */
enum { FS_ID_TEXT = 48 };

struct fs_ops {
	const char *name;     /* of the spec, of fstab and of mount(8) */
	unsigned flags;
	uint64_t least;       /* bytes: no file system of this kind is smaller */
	size_t label_max;     /* bytes of a label; 0: it has none */

	/*
	 * Whether the file system can be made here (programs, libraries), without looking at a tree:
	 * called before any work. ERROR_USAGE names what to install. NULL: always.
	 */
	int (*available)(struct error *err);

	/* What else than its length a label must have; ERROR_INPUT says what. NULL: nothing. */
	int (*check_label)(const char *label, struct error *err);

	/*
	 * *least: what holds the tree. *roomy: the size for `size: auto`, with room to work in
	 * (a read-only one: the same). Required.
	 */
	int (*sizes)(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err);

	/*
	 * fs->len is set. ERROR_INPUT when it is too small (what it needs and what it has) and for
	 * contents that the file system cannot hold, naming the path. Required.
	 */
	int (*plan)(struct fs *fs, struct fs_sums *out, struct error *err);

	/* Writes to dev, whose size is fs->len. What is free becomes EXTENT_UNUSED. Required. */
	int (*write)(struct fs *fs, struct dev *dev, struct error *err);

	/* Frees fs->state. NULL: there is none. */
	void (*release)(struct fs *fs);

	/*
	 * "UUID=…" as fstab and blkid(8) would have it for opts.uuid. NULL: "UUID=" and the uuid in
	 * its usual form. A file system without any id leaves "" (then the partition's is used).
	 */
	void (*id_text)(const struct fs *fs, char out[FS_ID_TEXT]);
};

/* The writer for a type of the spec ("ext4", "vfat" …), or NULL. */
const struct fs_ops *fs_find(const char *type);
/* The names of all types, NULL-terminated. */
const char *const *fs_names(void);

/*
 * Whether a file system of this type can have this label as it is. (A name that only serves as one
 * is cut instead.) ERROR_INPUT says what would fit.
 */
int fs_check_label(const struct fs_ops *ops, const char *label, struct error *err) MUST_CHECK;

/* Fills fs; nothing is done yet. Release with fs_close() in any case. */
void fs_open(struct fs *fs, const struct fs_ops *ops, const struct tree *t, tree_node root,
	const struct fs_opts *opts);
int fs_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err) MUST_CHECK;
int fs_plan(struct fs *fs, uint64_t len, struct fs_sums *out, struct error *err) MUST_CHECK;
int fs_write(struct fs *fs, struct dev *dev, struct error *err) MUST_CHECK;
void fs_id_text(const struct fs *fs, char out[FS_ID_TEXT]);
/* Zeroed is fine. */
void fs_close(struct fs *fs);

#endif
