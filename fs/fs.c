/* SPDX-License-Identifier: Apache-2.0 */
/* The table of file systems, and the calls that go through it. */
#include "fs/fs.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "fs/fs_types.h"

static const struct fs_ops *const table[] = {
	&fs_ext4_ops,
	&fs_ext3_ops,
	&fs_ext2_ops,
	&fs_vfat_ops,
	&fs_squashfs_ops,
	&fs_swap_ops,
	&fs_xfs_ops,
	&fs_btrfs_ops,
};

const struct fs_ops *fs_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(table[i]->name, type))
			return table[i];
	return NULL;
}

const char *const *fs_names(void)
{
	/* Filled at every call alike, so that no order of calls matters. */
	static const char *names[ARRAY_SIZE(table) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		names[i] = table[i]->name;
	return names;
}

int fs_check_label(const struct fs_ops *ops, const char *label, struct error *err)
{
	if (!ops->label_max)
		return error_set(err, ERROR_INPUT, 0, "%s has no label", ops->name);
	for (const char *c = label; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return error_set(err, ERROR_INPUT, 0, "a label has no control characters");
	if (strlen(label) > ops->label_max)
		return error_set(err, ERROR_INPUT, 0, "label '%s' is longer than the %zu bytes of %s", label,
			ops->label_max, ops->name);
	return ops->check_label ? ops->check_label(label, err) : 0;
}

void fs_open(struct fs *fs, const struct fs_ops *ops, const struct tree *t, tree_node root,
	const struct fs_opts *opts)
{
	*fs = (struct fs){.ops = ops, .tree = t, .root = root, .opts = *opts};
}

int fs_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err)
{
	if (fs->ops->sizes(fs, least, roomy, err) < 0)
		return -1;
	*least = MAX(*least, fs->ops->least);
	*roomy = MAX(*roomy, *least);
	return 0;
}

int fs_plan(struct fs *fs, uint64_t len, struct fs_sums *out, struct error *err)
{
	char need[NUM_SIZE_TEXT], has[NUM_SIZE_TEXT];

	*out = (struct fs_sums){0};
	fs->len = len;
	if (len < fs->ops->least)
		return error_set(err, ERROR_INPUT, 0, "%s needs at least %s, there is %s",
			fs->ops->name, num_format_size(need, fs->ops->least),
			num_format_size(has, len));
	return fs->ops->plan(fs, out, err);
}

int fs_write(struct fs *fs, struct dev *dev, struct error *err)
{
	if (dev->size != fs->len)
		return error_set(err, ERROR_BUG, 0, "a %s of %llu bytes was planned, not of %llu",
			fs->ops->name, (unsigned long long)fs->len, (unsigned long long)dev->size);
	return fs->ops->write(fs, dev, err);
}

void fs_id_text(const struct fs *fs, char out[FS_ID_TEXT])
{
	char uuid[UUID_TEXT_SIZE];

	if (fs->ops->id_text)
		fs->ops->id_text(fs, out);
	else
		snprintf(out, FS_ID_TEXT, "UUID=%s", uuid_format(uuid, fs->opts.uuid));
}

void fs_close(struct fs *fs)
{
	if (fs->ops && fs->ops->release)
		fs->ops->release(fs);
	memset(fs, 0, sizeof(*fs));
}
