/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree as a tar archive (POSIX.1-2001 pax interchange format), written as a stream in constant
 * memory, but for 4 bytes an inode. What GNU tar 1.28 and later unpack, run as root with --xattrs
 * --xattrs-include='*' --acls, is the tree again: owners, modes, times to the nanosecond, devices,
 * hard links, holes, extended attributes, ACLs. The bytes are a function of the tree alone.
 *
 *   records       path, linkpath, size, uid, gid, mtime where the header cannot hold them
 *   SCHILY.xattr.NAME                extended attributes; '%' and '=' in NAME as %25 and %3D
 *   SCHILY.acl.access, .default      ACLs as text with numeric ids
 *   GNU.sparse.*  format 1.0         for files with holes; pieces rounded outwards to 512 bytes
 *
 * The writer is our own and not libarchive's, which loses the sign of times just before 1970 and
 * makes records depend on the locale. Sources: POSIX.1-2017 pax(1), GNU tar manual, appendix D
 * (sparse formats), star(5) (SCHILY records).
 */
#ifndef AMIWRIGHT_FS_TREE_TAR_OUT_H
#define AMIWRIGHT_FS_TREE_TAR_OUT_H

#include "fs/tree.h"

/*
 * Writes what is at and below root to fd: root as "./", all else by names relative to it. The
 * children of mount points below root are left out. The tree is finished (tree_finish). fd is
 * borrowed, need not seek, and is left open; name for messages. ERROR_INPUT naming the path for
 * what tar cannot hold (a damaged ACL), and for contents that changed; ERROR_IO with errnum EPIPE
 * when a reader went away (the caller has SIGPIPE blocked or ignored); ERROR_INTERRUPTED when
 * cancelled() (may be NULL) says so, which is asked each 256 KiB.
 */
int tree_tar_write(const struct tree *t, tree_node root, int fd, const char *name,
	bool (*cancelled)(void), struct error *err) MUST_CHECK;

/*
 * The node behind `node` in the order of the archive (depth first, names by bytes), without the
 * children of mount points below root; TREE_NONE at the end. Begin with root.
 */
tree_node tree_tar_next(const struct tree *t, tree_node root, tree_node node);

#endif
