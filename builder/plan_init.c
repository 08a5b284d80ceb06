/* SPDX-License-Identifier: Apache-2.0 */
/* The first step of the plan: partitions and file systems with their ids, and where each is mounted. */
#include "builder/plan_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "builder/layout.h"
#include "fs/tree_edit.h"

/* Ids are derived with this salt for ever: changing it changes every image. */
static const char id_salt[] = "amiwright";

int plan_derive(const struct plan *p, const char *device, const char *part, const char *purpose,
	uint8_t out[16], struct error *err)
{
	CLEANUP_FREE char *text =
		buf_strf(err, "%s/%s/%s/%s", p->identity, device, part ? part : "", purpose);

	if (!text)
		return -1;
	return hash_uuid(id_salt, text, out, err);
}

static int init_fs(const struct plan *p, struct plan_disk *disk, struct plan_fs *fs,
	struct error *err)
{
	const struct spec_partition *part = fs->part;
	const struct spec_disk *spec = disk->spec;
	const char *name = part ? part->name : NULL;
	const char *label = part ? part->label : spec->label;
	/* An EFI system partition that is not mounted is the boot loader's alone. */
	bool own_tree = part && !part->mount && layout_is_type(p->spec, part, "esp");
	struct fs_opts opts = {
		.epoch = p->epoch,
		.label = label ? label : name,
		.mount = part ? part->mount : spec->mount,
		.reserved_percent = part ? part->reserved_percent : 0,
		.spool_dir = p->opts->spool_dir,
		.workers = p->opts->workers,
		.cancelled = p->opts->cancelled,
	};

	if (plan_derive(p, spec->device, name, "filesystem", opts.uuid, err) < 0 ||
		plan_derive(p, spec->device, name, "hash-seed", opts.hash_seed, err) < 0)
		return -1;
	fs->mount = opts.mount;
	fs->options = part ? part->options : spec->options;
	fs->grow = part ? part->grow : spec->grow;
	fs_open(&fs->fs, fs_find(part ? part->filesystem : spec->filesystem),
		own_tree ? p->boot.esp_tree : p->blank, TREE_ROOT, &opts);
	return 0;
}

static int init_verity(const struct plan *p, struct plan_disk *disk, size_t index, struct error *err)
{
	const struct spec_partition *part = &disk->spec->partitions[index];
	struct plan_verity *v = &disk->verity;

	v->used = true;
	v->part = index;
	/* The salt only has to differ between images; its halves have two purposes each of their own. */
	if (plan_derive(p, disk->spec->device, part->name, "verity", v->uuid, err) < 0 ||
		plan_derive(p, disk->spec->device, part->name, "verity-salt-1", v->salt, err) < 0)
		return -1;
	return plan_derive(p, disk->spec->device, part->name, "verity-salt-2", v->salt + 16, err);
}

static int init_partition(const struct plan *p, struct plan_disk *disk, size_t i, struct error *err)
{
	const struct spec_partition *part = &disk->spec->partitions[i];
	struct partition *out = &disk->table.parts[i];
	struct plan_fs *fs = &disk->fs[disk->nr_fs];

	if (layout_entry(p->spec, disk->spec, i, out, err) < 0 ||
		plan_derive(p, disk->spec->device, part->name, "partition", out->uuid, err) < 0)
		return -1;
	if (part->verity)
		return init_verity(p, disk, i, err);
	if (!part->filesystem)
		return 0;
	fs->part = part;
	fs->part_index = i;
	disk->nr_fs++;
	return init_fs(p, disk, fs, err);
}

/* Where the hashes belong to: the file system whose partition has that name. */
static void find_verity_data(struct plan_disk *disk)
{
	const char *name = disk->spec->partitions[disk->verity.part].verity;

	for (size_t i = 0; i < disk->nr_fs; i++)
		if (!strcmp(disk->fs[i].part->name, name))
			disk->verity.data = i;
}

/* Partitions with their ids and the file systems in them, without sizes. */
static int init_disk(const struct plan *p, struct plan_disk *disk, struct error *err)
{
	const struct spec_disk *spec = disk->spec;
	struct partition_table *table = &disk->table;

	disk->fs = calloc(spec->nr_partitions + 1, sizeof(*disk->fs));
	if (!disk->fs)
		return error_nomem(err, "the plan");
	if (spec->filesystem)
		return init_fs(p, disk, &disk->fs[disk->nr_fs++], err);
	if (!spec->nr_partitions)
		return 0;
	table->kind = layout_table_kind(spec->table);
	table->parts = calloc(spec->nr_partitions, sizeof(*table->parts));
	if (!table->parts)
		return error_nomem(err, "the plan");
	table->nr = spec->nr_partitions;
	if (plan_derive(p, spec->device, NULL, "disk", table->guid, err) < 0)
		return -1;
	for (size_t i = 0; i < table->nr; i++)
		if (init_partition(p, disk, i, err) < 0)
			return -1;
	if (disk->verity.used)
		find_verity_data(disk);
	return 0;
}

int plan_init_disks(struct plan *p, struct error *err)
{
	for (size_t i = 0; i < p->nr_disks; i++) {
		p->disks[i].spec = &p->spec->disks[i];
		if (init_disk(p, &p->disks[i], err) < 0)
			return -1;
	}
	return 0;
}

static int bad_mount(const struct plan_fs *fs, const struct plan_disk *disk, struct diag *d,
	const char *what, struct error *err)
{
	struct diag_place place = fs->part ? fs->part->mount_place : disk->spec->mount_place;

	diag_add(d, place, "mount point '%s': %s", fs->mount, what);
	return diag_result(d, err);
}

/* The directory at the mount point, made when it is not there. */
static int find_or_make(const struct plan *p, const char *mount, struct tree *t, tree_node *root,
	struct error *err)
{
	if (tree_lookup(t, mount, true, root, err) < 0)
		return -1;
	if (*root != TREE_NONE)
		return 0;
	if (tree_edit_mkdir(t, mount, 0755, (struct tree_edit_owner){0, 0}, p->epoch, err) < 0)
		return -1;
	return tree_lookup(t, mount, true, root, err);
}

/*
 * Finds or makes the directory that the file system is mounted on, and takes it as the file
 * system's root.
 */
static int mount_fs(const struct plan *p, const struct plan_disk *disk, struct plan_fs *fs,
	struct tree *t, struct diag *d, struct error *err)
{
	tree_node *root = &fs->fs.root;
	struct tree_attr attr;

	fs->fs.tree = t;
	if (find_or_make(p, fs->mount, t, root, err) < 0) {
		/* Read before the text it stands in is written over. */
		CLEANUP_FREE char *why = err->kind == ERROR_INPUT ? strdup(err->text) : NULL;

		return why ? bad_mount(fs, disk, d, why, err) : -1;
	}
	tree_get(t, *root, &attr);
	/* A symbolic link can lead to a directory that another file system has already. */
	if (!S_ISDIR(attr.mode) || attr.mount_point ||
		(*root == TREE_ROOT && strcmp(fs->mount, "/")))
		return bad_mount(fs, disk, d, "it is no directory of its own in the tree", err);
	if (*root != TREE_ROOT)
		tree_set_mount_point(t, *root);
	return 0;
}

/* The tree is one, only marks differ: so the spec's order of mount points is fine. */
int plan_mounts(struct plan *p, struct tree *t, struct diag *d, struct error *err)
{
	for (size_t i = 0; i < p->nr_disks; i++) {
		struct plan_disk *disk = &p->disks[i];

		for (size_t j = 0; j < disk->nr_fs; j++)
			if (disk->fs[j].mount &&
				mount_fs(p, disk, &disk->fs[j], t, d, err) < 0)
				return -1;
	}
	return 0;
}
