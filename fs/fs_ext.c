/* SPDX-License-Identifier: Apache-2.0 */
/* ext2, ext3 and ext4 (fs/ext4.h) as file systems of the table. */
#include "fs/fs_types.h"

#include <string.h>

#include "fs/ext4.h"

static void set_label(char out[17], const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len > 16) {
		len = 16;
		while (len && ((unsigned char)text[len] & 0xC0) == 0x80)
			len--;
	}
	memcpy(out, text ? text : "", len);
	out[len] = '\0';
}

static struct ext4_opts ext_opts(const struct fs *fs)
{
	struct ext4_opts o = {
		.version = fs->ops == &fs_ext2_ops ? 2 : fs->ops == &fs_ext3_ops ? 3 : 0,
		.size = fs->len,
		.epoch = fs->opts.epoch,
		.reserved_percent = fs->opts.reserved_percent,
		.last_mounted = fs->opts.mount,
	};

	memcpy(o.uuid, fs->opts.uuid, sizeof(o.uuid));
	memcpy(o.hash_seed, fs->opts.hash_seed, sizeof(o.hash_seed));
	set_label(o.label, fs->opts.label);
	return o;
}

static int ext_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err)
{
	struct ext4_opts o = ext_opts(fs);
	struct ext4_plan sums;

	o.size = 0;
	if (ext4_plan(fs->tree, fs->root, &o, &sums, err) < 0)
		return -1;
	*least = sums.min_size;
	return ext4_auto_size(fs->tree, fs->root, &o, 0, roomy, err);
}

static int ext_plan(struct fs *fs, struct fs_sums *out, struct error *err)
{
	struct ext4_opts o = ext_opts(fs);
	struct ext4_plan sums;

	if (ext4_plan(fs->tree, fs->root, &o, &sums, err) < 0)
		return -1;
	*out = (struct fs_sums){sums.size, sums.used, sums.free, sums.inodes, sums.free_inodes};
	return 0;
}

static int ext_write(struct fs *fs, struct dev *dev, struct error *err)
{
	struct ext4_opts o = ext_opts(fs);

	return ext4_write(dev, fs->tree, fs->root, &o, err);
}

const struct fs_ops fs_ext2_ops = {
	.name = "ext2",
	.label_max = 16,
	.sizes = ext_sizes,
	.plan = ext_plan,
	.write = ext_write,
};

const struct fs_ops fs_ext3_ops = {
	.name = "ext3",
	.label_max = 16,
	.sizes = ext_sizes,
	.plan = ext_plan,
	.write = ext_write,
};

const struct fs_ops fs_ext4_ops = {
	.name = "ext4",
	.label_max = 16,
	.sizes = ext_sizes,
	.plan = ext_plan,
	.write = ext_write,
};
