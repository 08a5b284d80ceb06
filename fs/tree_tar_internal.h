/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fs/tree_tar*.c share: the stream, the entries, the source. */
#ifndef AMIWRIGHT_FS_TREE_TAR_INTERNAL_H
#define AMIWRIGHT_FS_TREE_TAR_INTERNAL_H

#include "base/buf.h"
#include "fs/tree_tar.h"

#include <stdbool.h>
#include <sys/stat.h>

struct archive;
struct archive_entry;

/* A hard link whose target was not there yet; offsets of NUL-terminated text in tar_scan.names. */
struct tar_pending {
	size_t name, target;
};

enum { TAR_WINDOW = 4096 };

/* What the tar reader reads from: one of a range of a source, a plain file, another reader. */
struct tar_stream {
	const struct tree_tar_range *range;
	int fd;
	uint64_t size, pos; /* of range or fd */
	uint8_t window[TAR_WINDOW];
	struct archive *raw;
	bool ended; /* the tar reader has been told that nothing more comes */
};

/*
 * An archive on its way into a tree. The caller sets tree and name, and of the next ones what is
 * not NULL, 0 or false; tar_scan_run() the rest.
 */
struct tar_scan {
	struct tree *tree;
	const char *name; /* of the archive, for messages */
	const struct tree_tar_opts *opts;
	/* What is done with each entry; NULL: tar_add_entry(). */
	int (*on_entry)(struct tar_scan *s, struct archive_entry *entry, struct error *err);
	bool layer; /* of an OCI image: a directory replaces a link; whole without an end mark */
	struct source *source; /* plain: where contents stay; NULL: they go to the tree's spool */
	uint64_t source_id, source_off; /* the archive begins there */
	uint64_t source_size;           /* bytes of the archive */
	struct archive *archive;
	struct buf path, target; /* made safe: no leading '/', no "", "." or ".." */
	struct buf last;         /* raw name of the last entry, for messages about damage */
	/* The directory of the last entry: archives go through one directory after another. */
	struct buf parent_path;
	tree_node parent;
	struct tar_pending *pending;
	size_t nr_pending, alloc_pending;
	struct buf names;
};

/* Reads the whole of `in`, entry by entry, and links the pending hard links. */
int tar_scan_run(struct tar_scan *s, struct tar_stream *in, struct error *err) MUST_CHECK;

/*
 * A reader that only takes compression off; the caller's to free. r: what opening it gave.
 */
struct archive *tar_raw_new(struct error *err) MUST_CHECK;
int tar_raw_begin(struct archive *raw, int r, const char *name, struct error *err) MUST_CHECK;

/*
 * raw without leading '/', empty components, "." and "..", into out; a path that would leave the
 * tree is ERROR_INPUT. what: "name" or "link target", for messages.
 */
int tar_make_safe(const struct tar_scan *s, const char *what, const char *raw, struct buf *out,
	struct error *err) MUST_CHECK;

/* Puts one entry into the tree. Its content is read from s->archive or referred to. */
int tar_add_entry(struct tar_scan *s, struct archive_entry *entry, struct error *err) MUST_CHECK;
/* Hard links to later entries. */
int tar_resolve_pending(struct tar_scan *s, struct error *err) MUST_CHECK;

/* The content of entry becomes that of node, a regular file that has its size set. */
int tar_add_content(struct tar_scan *s, struct archive_entry *entry, tree_node node,
	struct error *err) MUST_CHECK;
/*
 * Extended attributes and ACLs of entry onto node; with an ACL that has a mask, the group's bits in
 * node's mode become the mask, as the kernel has it.
 */
int tar_add_xattrs(struct tar_scan *s, struct archive_entry *entry, tree_node node,
	struct error *err) MUST_CHECK;

/*
 * ERROR_INPUT naming archive and the entry that the scan is at, with libarchive's reason. Returns
 * -1.
 */
int tar_damaged(const struct tar_scan *s, struct error *err);

/*
 * The plain archive file as a source: content id 0 is the file. Takes fd, also on error. A file
 * that is not as in st any more (size, mtime, ctime) is ERROR_INPUT at every use.
 */
struct source *tar_source_new(int fd, const char *name, const struct stat *st, struct error *err)
	MUST_CHECK;
int tar_source_check(struct source *src, struct error *err) MUST_CHECK;

#endif
