/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive as a layer of a tree, by libarchive: ustar, pax, GNU, sparse; plain or compressed
 * by gzip, xz, zstd, bzip2 or lz4. Contents of a plain tar file stay where they are, by reference;
 * what was compressed or came by a pipe is kept in the tree's spool.
 *
 * Names: leading "/" and "./" are dropped, ".." components are resolved inside the tree and cannot
 * leave it (a name that would is refused), symbolic links in parents are resolved inside the tree,
 * components over 255 bytes are refused. Of duplicate entries the last wins, but a directory over a
 * symbolic link that leads to a directory goes there (its attributes too): "lib/" does not replace
 * the "lib -> usr/lib" of an earlier layer or entry. A hard link may name a later entry. Owners are
 * the numeric ones.
 */
#ifndef AMIWRIGHT_FS_TREE_TAR_H
#define AMIWRIGHT_FS_TREE_TAR_H

#include "fs/tree.h"

struct tree_tar_opts {
	bool root_owner;   /* everything is owned by 0:0 */
	bool no_devices;   /* leave out character and block devices (mmdebstrap's /dev) */
};

/*
 * path: a file, whose format is recognised by its content. ERROR_INPUT with the entry's name on
 * damage.
 */
int tree_tar_add(struct tree *t, const char *path, const struct tree_tar_opts *opts,
	struct error *err) MUST_CHECK;
/* The same from a descriptor that cannot seek; borrowed; read to its end. name for messages. */
int tree_tar_add_fd(struct tree *t, int fd, const char *name, const struct tree_tar_opts *opts,
	struct error *err) MUST_CHECK;
/* The same from memory; for tests and fuzzing. Contents are copied to the spool. */
int tree_tar_add_mem(struct tree *t, const void *data, size_t len, const char *name,
	const struct tree_tar_opts *opts, struct error *err) MUST_CHECK;

/* Bytes [off, off+len) of content id of a source. */
struct tree_tar_range {
	struct source *src;
	uint64_t id, off, len;
};

/* Whether a range is compressed in one of the ways above; an empty one is not. */
int tree_tar_is_compressed(const struct tree_tar_range *range, const char *name, bool *compressed,
	struct error *err) MUST_CHECK;
/*
 * Takes the compression off and hands the content to sink, in order; what sink returns below 0 is
 * returned. ERROR_INPUT when the compressed stream is damaged or cut off.
 */
int tree_tar_unpack(const struct tree_tar_range *range, const char *name,
	int (*sink)(void *arg, const void *data, size_t len, struct error *err), void *arg,
	struct error *err) MUST_CHECK;

/*
 * A plain tar as a layer of an OCI image (image-spec, layer.md). The range's source belongs to t
 * (tree_take_source, or the source of its spool, flushed); contents stay there. The archive's
 * digest has been checked by the caller: an end-of-archive mark is not asked for.
 *
 * ".wh.NAME" takes NAME out and ".wh..wh..opq" all that its directory has, of what t had before:
 * entries of the same archive stay, wherever the mark is in it. Neither these nor anything else
 * that begins with ".wh." comes into the tree. A directory over a symbolic link replaces it, as it
 * does in overlayfs, which layers are made from. ERROR_INPUT for a whiteout that names no file.
 */
int tree_tar_add_layer(struct tree *t, const struct tree_tar_range *range, const char *name,
	struct error *err) MUST_CHECK;

#endif
