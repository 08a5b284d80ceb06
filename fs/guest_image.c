/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image that mkfs and the appliance write, and what of it is in use. The file begins as one
 * hole. mkfs and the kernel work on devices whose old content is garbage, so what neither of them
 * wrote nobody will read: it is as free as what was discarded. What they want to be zero they
 * write, or ask the device to zero and keep allocated (mkfs.xfs for its log), which leaves
 * allocated but unwritten blocks in the file. So
 *
 *   hole                    unused
 *   allocated, unwritten    zero
 *   the rest                data
 *
 * FIEMAP tells the three apart, SEEK_HOLE does not. Where the spool's file system lacks FIEMAP
 * (tmpfs), holes are taken for zeros: more to upload, nothing to lose.
 */
#include "fs/guest_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/filedev.h"
#include "base/log.h"
#include "base/num.h"
#include "base/tempdir.h"

enum { MAP_BATCH = 512 };

struct guest_image {
	struct source src; /* first */
	int fd;
	uint64_t len;
	char *dir, *path; /* NULL after guest_image_unlink() */
};

static int image_pread(
	struct source *src, uint64_t id, void *data, size_t len, uint64_t off, struct error *err)
{
	const struct guest_image *img = (const void *)src;

	(void)id;
	return file_pread_all(img->fd, data, len, off, "temporary image", err);
}

static int image_open(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
{
	const struct guest_image *img = (const void *)src;

	(void)id;
	*base = 0;
	*fd = fcntl(img->fd, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? error_set(err, ERROR_IO, errno, "cannot use the temporary image") : 0;
}

static const struct source_ops image_ops = {
	.name = "image",
	.pread = image_pread,
	.open = image_open,
};

static int create(struct guest_image *img, const char *spool_dir, struct error *err)
{
	img->dir = tempdir_new(spool_dir, err);
	if (!img->dir)
		return -1;
	img->path = file_join(img->dir, "image", err);
	if (!img->path)
		return -1;
	img->fd = open(img->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (img->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot make '%s'", img->path);
	if (ftruncate(img->fd, (off_t)img->len) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make '%s' %llu bytes long", img->path,
			(unsigned long long)img->len);
	return 0;
}

struct guest_image *guest_image_new(const char *spool_dir, uint64_t len, struct error *err)
{
	struct guest_image *img = calloc(1, sizeof(*img));

	if (!img)
		return error_nomem(err, "a temporary image"), NULL;
	*img = (struct guest_image){.src = {&image_ops}, .fd = -1, .len = len};
	if (create(img, spool_dir, err) == 0)
		return img;
	guest_image_free(img);
	return NULL;
}

const char *guest_image_path(const struct guest_image *img)
{
	return img->path;
}

void guest_image_unlink(struct guest_image *img)
{
	if (img->dir)
		tempdir_remove(steal_ptr(&img->dir));
	free(steal_ptr(&img->path));
}

void guest_image_free(struct guest_image *img)
{
	if (!img)
		return;
	guest_image_unlink(img);
	if (img->fd >= 0)
		close(img->fd);
	free(img);
}

static int set_range(struct guest_image *img, struct dev *dev, uint64_t off, uint64_t end,
	enum extent_kind kind, struct error *err)
{
	if (off >= end)
		return 0;
	if (kind == EXTENT_DATA)
		return dev_refer(dev, off, end - off, &img->src, 0, off, err);
	return dev_clear(dev, off, end - off, kind, err);
}

/* One batch of the file's map behind *pos; *pos moves on, to the end of the file at last. */
static int take_batch(struct guest_image *img, struct dev *dev, struct fiemap *map, uint64_t *pos,
	struct error *err)
{
	bool last = false;

	*map = (struct fiemap){.fm_start = *pos,
		.fm_length = img->len - *pos,
		.fm_flags = FIEMAP_FLAG_SYNC,
		.fm_extent_count = MAP_BATCH};
	if (ioctl(img->fd, FS_IOC_FIEMAP, map) < 0)
		return error_set(err, ERROR_IO, errno, "cannot find what the temporary image holds");
	for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
		const struct fiemap_extent *e = &map->fm_extents[i];
		uint64_t off = MAX(MIN(e->fe_logical, img->len), *pos);
		uint64_t end = MAX(MIN(e->fe_logical + e->fe_length, img->len), off);
		bool unwritten = e->fe_flags & FIEMAP_EXTENT_UNWRITTEN;

		if (set_range(img, dev, *pos, off, EXTENT_UNUSED, err) < 0 ||
			set_range(img, dev, off, end, unwritten ? EXTENT_ZERO : EXTENT_DATA, err) < 0)
			return -1;
		*pos = end;
		last = e->fe_flags & FIEMAP_EXTENT_LAST;
	}
	if (last || map->fm_mapped_extents == 0) {
		if (set_range(img, dev, *pos, img->len, EXTENT_UNUSED, err) < 0)
			return -1;
		*pos = img->len;
	}
	return 0;
}

static bool has_fiemap(const struct guest_image *img)
{
	struct fiemap map = {.fm_length = img->len};

	return ioctl(img->fd, FS_IOC_FIEMAP, &map) == 0;
}

/* By SEEK_DATA: holes are zeros. */
static int refer_by_seek(struct guest_image *img, struct dev *dev, struct error *err)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct dev *file;
	int fd = fcntl(img->fd, F_DUPFD_CLOEXEC, 0), ret;

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot use the temporary image");
	file = filedev_from_fd(fd, false, "temporary image", err);
	if (!file)
		return -1;
	ret = dev_extents(file, 0, img->len, &list, err);
	for (size_t i = 0; ret == 0 && i < list.nr; i++)
		ret = set_range(img, dev, list.items[i].off, list.items[i].off + list.items[i].len,
			list.items[i].kind, err);
	extent_list_release(&list);
	dev_close(file, NULL);
	return ret;
}

int guest_image_refer(struct guest_image *img, struct dev *dev, struct error *err)
{
	CLEANUP_FREE struct fiemap *map = NULL;

	if (!has_fiemap(img)) {
		log_debug("the spool's file system has no FIEMAP; free blocks are taken for zeros");
		return refer_by_seek(img, dev, err);
	}
	map = malloc(sizeof(*map) + MAP_BATCH * sizeof(map->fm_extents[0]));
	if (!map)
		return error_nomem(err, "a map of the temporary image");
	for (uint64_t pos = 0; pos < img->len;)
		if (take_batch(img, dev, map, &pos, err) < 0)
			return -1;
	return 0;
}
