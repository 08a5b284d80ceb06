/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of a folder's files, as far as they mean something on another file system.
 */
#include "fs/tree_dir_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* What nearly always is enough: the kernel clears a buffer of the size that it is offered. */
enum { XATTR_SMALL = 1024 };

/*
 * The namespaces that every file system shares; others ("system.nfs4_acl", "btrfs.…") are
 * properties of the one that the folder happens to be on.
 */
static bool portable_xattr(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
		!strncmp(name, "security.", 9) || !strcmp(name, "system.posix_acl_access") ||
		!strcmp(name, "system.posix_acl_default");
}

/* Where extended attributes are read from: a descriptor, or a path when fd is -1. */
struct xattr_from {
	int fd;
	const char *path;
};

/* The list of names (attr NULL) or a value. */
static ssize_t read_xattr_sized(const struct xattr_from *from, const char *attr, char *buf,
	size_t size)
{
	if (from->fd >= 0)
		return attr ? fgetxattr(from->fd, attr, buf, size)
			    : flistxattr(from->fd, buf, size);
	return attr ? lgetxattr(from->path, attr, buf, size) : llistxattr(from->path, buf, size);
}

static ssize_t read_xattr(const struct xattr_from *from, const char *attr,
	char buf[DIR_XATTR_BYTES])
{
	ssize_t len = read_xattr_sized(from, attr, buf, XATTR_SMALL);

	if (len < 0 && errno == ERANGE)
		len = read_xattr_sized(from, attr, buf, DIR_XATTR_BYTES);
	return len;
}

static int add_xattrs(struct dir_xattrs *x, uint32_t dir, const char *name,
	const struct xattr_from *from, tree_node node, struct error *err)
{
	ssize_t len = read_xattr(from, NULL, x->names);
	ssize_t value_len;

	if (len < 0 && errno == ENOTSUP)
		return 0;
	if (len < 0)
		return dir_source_error(x->s, dir, name, errno, "list extended attributes of", err);
	for (const char *at = x->names; at < x->names + len; at += strlen(at) + 1) {
		if (!portable_xattr(at))
			continue;
		value_len = read_xattr(from, at, x->value);
		if (value_len < 0)
			return dir_source_error(x->s, dir, name, errno, "read extended attributes of",
				err);
		if (tree_set_xattr(x->t, node, at, x->value, (size_t)value_len, err))
			return -1;
	}
	return 0;
}

int dir_xattrs_of_file(struct dir_xattrs *x, uint32_t dir, const char *name, int fd, tree_node node,
	struct error *err)
{
	const struct xattr_from from = {.fd = fd};

	return add_xattrs(x, dir, name, &from, node, err);
}

/*
 * By path, for lack of an *at() call on older kernels; the path goes through the open folder's
 * descriptor, so that it is short and cannot be led elsewhere.
 */
int dir_xattrs_of_name(struct dir_xattrs *x, uint32_t dir, int dir_fd, const char *name,
	tree_node node, struct error *err)
{
	char path[sizeof("/proc/self/fd/-2147483648/") + TREE_NAME_MAX];
	const struct xattr_from from = {.fd = -1, .path = path};

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
	return add_xattrs(x, dir, name, &from, node, err);
}
