/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a disk. Where a root file system has a root hash, order matters: its bytes make the hash,
 * the hash goes into the loader's files and the partitions' GUIDs, and only then can the EFI system
 * partition and the table be written.
 */
#include "builder/plan_internal.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "base/window.h"
#include "fs/verity.h"

/* An error of writing says more than one of closing after it. */
static int close_after(int ret, struct dev *dev, struct error *err)
{
	return dev_close(dev, ret < 0 ? NULL : err) < 0 ? -1 : ret;
}

static int write_fs(const struct plan_disk *disk, struct plan_fs *fs, struct dev *dev,
	struct error *err)
{
	struct dev *window = window_new(dev, fs->off, fs->len, err);

	if (!window || close_after(fs_write(&fs->fs, window, err), window, err) < 0)
		return error_wrap(err, "file system on '%s'", plan_fs_name(disk, fs));
	return 0;
}

static int hash_root(const struct plan *p, struct plan_disk *disk, struct dev *dev, struct error *err)
{
	struct plan_verity *v = &disk->verity;
	const struct plan_fs *fs = &disk->fs[v->data];
	const struct partition *part = &disk->table.parts[v->part];
	struct verity_opts opts = {
		.salt_len = sizeof(v->salt),
		.workers = p->opts->workers,
		.cancelled = p->opts->cancelled,
	};
	struct dev *data = window_new(dev, fs->off, fs->len, err);
	struct dev *hashes = data ? window_new(dev, part->off, part->len, err) : NULL;
	int ret = -1;

	memcpy(opts.salt, v->salt, sizeof(v->salt));
	memcpy(opts.uuid, v->uuid, sizeof(v->uuid));
	if (hashes)
		ret = verity_write(data, hashes, &opts, v->root_hash, err);
	if (hashes)
		ret = close_after(ret, hashes, err);
	return data ? close_after(ret, data, err) : -1;
}

/*
 * The Discoverable Partitions Specification: the halves of the root hash are the GUIDs of the root
 * partition and of its hashes.
 */
static int write_verity(struct plan *p, struct plan_disk *disk, struct dev *dev, struct error *err)
{
	struct plan_verity *v = &disk->verity;
	char hex[2 * sizeof(v->root_hash) + 1];

	if (write_fs(disk, &disk->fs[v->data], dev, err) < 0 || hash_root(p, disk, dev, err) < 0)
		return -1;
	memcpy(disk->table.parts[disk->fs[v->data].part_index].uuid, v->root_hash, 16);
	memcpy(disk->table.parts[v->part].uuid, v->root_hash + 16, 16);
	v->known = true;
	hex_encode(hex, v->root_hash, sizeof(v->root_hash));
	log_info("root hash %s", hex);
	return p->boot.loader ? p->boot.loader->set_roothash(&p->boot.in, hex, err) : 0;
}

/* GRUB's core lies in its partition, or between an MBR and the first partition. */
static int write_boot_code(const struct plan *p, const struct plan_disk *disk, struct dev *dev,
	struct error *err)
{
	const struct partition_table *table = &disk->table;
	const struct spec_partition *own = p->boot.layout.bios_boot;
	uint64_t off = 512, end = dev->size;

	if (own) {
		const struct partition *part = &table->parts[own - disk->spec->partitions];

		return loader_grub_write(&p->boot.out, dev, part->off, part->len, err);
	}
	for (size_t i = 0; i < table->nr; i++)
		end = MIN(end, table->parts[i].off);
	return loader_grub_write(&p->boot.out, dev, off, end - off, err);
}

static int write_disk(struct plan *p, size_t index, struct dev *dev, struct error *err)
{
	struct plan_disk *disk = &p->disks[index];
	bool verity = disk->verity.used;

	if (verity && write_verity(p, disk, dev, err) < 0)
		return -1;
	for (size_t i = 0; i < disk->nr_fs; i++)
		if (!(verity && i == disk->verity.data) && write_fs(disk, &disk->fs[i], dev, err) < 0)
			return -1;
	if (disk->table.nr && partition_write(dev, &disk->table, err) < 0)
		return -1;
	if (index == p->root_disk && p->boot.out.core_len)
		return write_boot_code(p, disk, dev, err);
	return 0;
}

int plan_write_disk(struct plan *p, size_t disk, struct dev *dev, struct error *err)
{
	if (write_disk(p, disk, dev, err) < 0)
		return error_wrap(err, "disk '%s'", p->disks[disk].spec->device);
	return 0;
}
