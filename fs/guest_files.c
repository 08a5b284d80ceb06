/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the file system that is mounted in an appliance. */
#include "fs/guest.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "fs/guest_private.h"

/* mount(8) has no status of its own for what the kernel lacks. */
int guest_mount_ro(struct guest *g, const char *device, struct error *err)
{
	const char *why;

	if (guest_check(g, err) < 0)
		return -1;
	if (guest_api.mount_ro(g->handle, device, "/") == 0)
		return 0;
	why = guest_api.last_error(g->handle);
	if (!why || !strstr(why, "unknown filesystem type"))
		return guest_error(g, ERROR_INPUT, err, "cannot be mounted");
	error_set(err, ERROR_INPUT, 0, "the kernel of libguestfs's appliance does not know it");
	if (err)
		err->errnum = ENODEV;
	return -1;
}

int guest_umount(struct guest *g, struct error *err)
{
	if (guest_check(g, err) < 0)
		return -1;
	return guest_api.umount_all(g->handle) < 0 ? guest_error(g, ERROR_IO, err, "cannot unmount") : 0;
}

int guest_stat(struct guest *g, const char *path, enum reader_kind *kind, uint64_t *size,
	struct error *err)
{
	int is;

	*size = 0;
	*kind = READER_FILE;
	if (guest_check(g, err) < 0)
		return -1;
	is = guest_api.is_file_opts(g->handle, path, FOLLOW_SYMLINKS, 1, GUEST_API_END);
	if (is > 0) {
		int64_t bytes = guest_api.filesize(g->handle, path);

		*size = bytes > 0 ? (uint64_t)bytes : 0;
		return bytes < 0 ? guest_error_about(g, err, "cannot read", path) : 0;
	}
	*kind = READER_FOLDER;
	if (is == 0)
		is = guest_api.is_dir_opts(g->handle, path, FOLLOW_SYMLINKS, 1, GUEST_API_END);
	if (is == 0) {
		is = guest_api.exists(g->handle, path);
		*kind = is > 0 ? READER_OTHER : READER_NONE;
	}
	return is < 0 ? guest_error_about(g, err, "cannot read", path) : 0;
}

int guest_pread(struct guest *g, const char *path, uint64_t off, size_t max, struct buf *out,
	size_t *got, struct error *err)
{
	CLEANUP_FREE char *data = NULL;

	if (guest_check(g, err) < 0)
		return -1;
	data = guest_api.pread(g->handle, path, (int)max, (int64_t)off, got);
	return data ? buf_add(out, data, *got, err) : guest_error_about(g, err, "cannot read", path);
}

int guest_list(struct guest *g, const char *path, reader_name_fn each, void *arg, struct error *err)
{
	char **names;
	int ret = guest_check(g, err);

	if (ret < 0)
		return -1;
	names = guest_api.ls(g->handle, path);
	if (!names)
		return guest_error_about(g, err, "cannot read", path);
	for (size_t i = 0; names[i]; i++) {
		if (ret == 0)
			ret = each(arg, names[i], err);
		free(names[i]);
	}
	free(names);
	return ret;
}

int guest_usage(struct guest *g, uint64_t *size, uint64_t *used, struct error *err)
{
	struct guestfs_statvfs *s;

	if (guest_check(g, err) < 0)
		return -1;
	s = guest_api.statvfs(g->handle, "/");
	if (!s)
		return guest_error(g, ERROR_INPUT, err, "cannot tell its space");
	*size = (uint64_t)s->blocks * (uint64_t)s->frsize;
	*used = (uint64_t)(s->blocks - s->bfree) * (uint64_t)s->frsize;
	guest_api.free_statvfs(s);
	return 0;
}

int guest_subvolumes(struct guest *g, const char *device, reader_name_fn each, void *arg,
	struct error *err)
{
	struct guestfs_btrfssubvolume_list *list;
	int ret = 0;

	if (guest_check(g, err) < 0)
		return -1;
	list = guest_api.btrfs_subvolume_list(g->handle, device);
	if (!list)
		return guest_error(g, ERROR_INPUT, err, "cannot list its subvolumes");
	for (uint32_t i = 0; ret == 0 && i < list->len && i < GUEST_SUBVOLUMES_MAX; i++)
		ret = each(arg, list->val[i].path, err);
	guest_api.free_btrfssubvolume_list(list);
	return ret;
}
