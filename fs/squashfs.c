/* SPDX-License-Identifier: Apache-2.0 */
/*
 * squashfs (fs/squashfs_image.c) as one of the file systems. Its size is known only when it is
 * written, so it is written to a temporary file when the size is asked for; the device refers to
 * that. Format: the kernel's Documentation/filesystems/squashfs.rst.
 */
#include "fs/fs_types.h"

#include <stdlib.h>

#include "base/num.h"
#include "base/scratch.h"
#include "fs/squashfs_internal.h"
#include "fs/staged.h"

struct state {
	struct staged *staged;
	uint64_t bytes;
	uint32_t inodes;
};

static void squashfs_release(struct fs *fs)
{
	struct state *s = fs->state;

	if (s)
		staged_free(s->staged);
	free(s);
	fs->state = NULL;
}

/* Once; the result stays in fs->state. */
static int make(struct fs *fs, struct error *err)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_FREE struct state *s = NULL;

	if (fs->state)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_nomem(err, "a squashfs");
	fd = scratch_open(fs->opts.spool_dir, err);
	if (fd < 0 || squashfs_image_write(fs, fd, &s->bytes, &s->inodes, err) < 0)
		return -1;
	s->staged = staged_new(steal_fd(&fd), "a squashfs image", err);
	if (!s->staged)
		return -1;
	fs->state = steal_ptr(&s);
	return 0;
}

static int squashfs_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err)
{
	if (make(fs, err) < 0)
		return -1;
	*least = *roomy = ((struct state *)fs->state)->bytes;
	return 0;
}

static int squashfs_plan(struct fs *fs, struct fs_sums *out, struct error *err)
{
	char need[NUM_SIZE_TEXT], has[NUM_SIZE_TEXT];
	const struct state *s;

	if (make(fs, err) < 0)
		return -1;
	s = fs->state;
	if (s->bytes > fs->len)
		return error_set(err, ERROR_INPUT, 0, "squashfs needs %s (%llu bytes) and has %s",
			num_format_size(need, s->bytes), (unsigned long long)s->bytes,
			num_format_size(has, fs->len));
	*out = (struct fs_sums){.size = s->bytes, .used = s->bytes, .inodes = s->inodes};
	return 0;
}

static int squashfs_write(struct fs *fs, struct dev *dev, struct error *err)
{
	const struct state *s = fs->state;

	if (staged_refer(s->staged, dev, 0, s->bytes, err) < 0)
		return -1;
	if (s->bytes == dev->size)
		return 0;
	return dev_clear(dev, s->bytes, dev->size - s->bytes, EXTENT_UNUSED, err);
}

static void squashfs_id_text(const struct fs *fs, char out[FS_ID_TEXT])
{
	(void)fs;
	out[0] = '\0';
}

const struct fs_ops fs_squashfs_ops = {
	.name = "squashfs",
	.flags = FS_READ_ONLY,
	.least = SQUASHFS_PAD,
	.sizes = squashfs_sizes,
	.plan = squashfs_plan,
	.write = squashfs_write,
	.release = squashfs_release,
	.id_text = squashfs_id_text,
};
