/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's files in the store's folder: "<id>.img", the content, sparse and as large as the volume,
 * and "<id>.map", which blocks of it were written. A copy shares those of its source.
 */
#include "uploader/region/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/num.h"

enum { NAME_SIZE = STORE_ID_SIZE + 8 };

/* "<id>.img" and the like, relative to store->snapshots_fd. */
static const char *file_name(const struct snapshot *snap, const char *ext, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "%s%s", snap->id, ext); /* an id fits: snapshot_new() */
	return name;
}

int64_t snapshot_map_time(const struct snapshot *snap)
{
	char name[NAME_SIZE];
	struct stat st;

	if (fstatat(snap->store->snapshots_fd, file_name(snap, ".map", name), &st, 0) < 0)
		return INT64_MIN;
	return (int64_t)st.st_mtime;
}

void snapshot_close_files(struct snapshot *snap)
{
	cleanup_close_p(&snap->img_fd);
	cleanup_close_p(&snap->map_fd);
	snap->img_fd = snap->map_fd = -1;
}

int snapshot_open_file(const struct snapshot *snap, const char *ext, int flags,
	struct error *err)
{
	char name[NAME_SIZE];
	int fd = openat(snap->store->snapshots_fd, file_name(snap, ext, name), flags | O_CLOEXEC,
		0644);

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s/snapshots/%s'",
			snap->store->dir, name);
	return fd;
}

int snapshot_open_content(const struct snapshot *snap, struct error *err)
{
	return snapshot_open_file(snap, ".img", O_RDONLY, err);
}

int snapshot_sync(const struct snapshot *snap, struct error *err)
{
	CLEANUP_CLOSE int fd = snapshot_open_content(snap, err);

	if (fd < 0)
		return -1;
	if (fdatasync(fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot sync the content of '%s'", snap->id);
	return 0;
}

int snapshot_create_files(struct snapshot *snap, struct error *err)
{
	snap->img_fd = snapshot_open_file(snap, ".img", O_RDWR | O_CREAT | O_EXCL, err);
	if (snap->img_fd < 0)
		return -1;
	snap->map_fd = snapshot_open_file(snap, ".map", O_RDWR | O_CREAT | O_EXCL, err);
	if (snap->map_fd < 0)
		return -1;
	if (ftruncate(snap->img_fd, (off_t)(snap->size_gib * GIB)) < 0)
		return error_set(err, ERROR_IO, errno,
			"cannot make a sparse file of %llu GiB for snapshot '%s'",
			(unsigned long long)snap->size_gib, snap->id);
	snap->map_loaded = true;
	snap->reloaded = false;
	return 0;
}

/* For file systems without links: the data between the holes. */
static int copy_data(int from, int to, const char *id, struct error *err)
{
	off_t at = lseek(from, 0, SEEK_DATA), end;

	for (; at >= 0; at = lseek(from, end, SEEK_DATA)) {
		off_t out = at;

		end = lseek(from, at, SEEK_HOLE);
		while (end > 0 && at < end) {
			ssize_t n = copy_file_range(from, &at, to, &out, (size_t)(end - at), 0);

			if (n <= 0 && !(n < 0 && errno == EINTR))
				return error_set(err, ERROR_IO, n < 0 ? errno : EIO,
					"cannot copy the content to '%s'", id);
		}
		if (end < 0)
			return error_set(err, ERROR_IO, errno, "cannot read the content for '%s'", id);
	}
	return errno == ENXIO ? 0 : error_set(err, ERROR_IO, errno, "cannot copy the content to '%s'", id);
}

static int link_file(const struct snapshot *snap, const struct snapshot *source, const char *ext,
	struct error *err)
{
	CLEANUP_CLOSE int from = -1;
	CLEANUP_CLOSE int to = -1;
	char old[NAME_SIZE], new[NAME_SIZE];
	struct stat st;

	if (linkat(source->store->snapshots_fd, file_name(source, ext, old), snap->store->snapshots_fd,
		    file_name(snap, ext, new), 0) == 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, ERROR_IO, errno, "the snapshot '%s' is gone", source->id);
	from = snapshot_open_file(source, ext, O_RDONLY, err);
	to = from < 0 ? -1 : snapshot_open_file(snap, ext, O_RDWR | O_CREAT | O_EXCL, err);
	if (to < 0)
		return -1;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return error_set(err, ERROR_IO, errno, "cannot size '%s'", new);
	return copy_data(from, to, snap->id, err);
}

int snapshot_link_files(struct snapshot *snap, const struct snapshot *source, struct error *err)
{
	return link_file(snap, source, ".img", err) < 0 ? -1 : link_file(snap, source, ".map", err);
}

void snapshot_unlink(const struct snapshot *snap)
{
	static const char *const exts[] = {".json", ".map", ".img"};
	char name[NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(exts); i++)
		(void)unlinkat(snap->store->snapshots_fd, file_name(snap, exts[i], name), 0);
}
