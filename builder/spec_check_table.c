/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of one disk's partitions: of each for itself, and of all in their table. */
#include "builder/spec_schema.h"

#include <string.h>

#include "base/num.h"
#include "builder/layout.h"
#include "fs/fs.h"

/* Growing is the last partition's: what lies behind another one cannot move. */
static void check_grow(const struct spec_disk *disk, size_t index, struct diag *d)
{
	const struct spec_partition *p = &disk->partitions[index];

	if (!p->grow)
		return;
	if (index + 1 != disk->nr_partitions)
		diag_add(d, p->grow_place, "only the last partition of a disk can grow: move '%s' to the end",
			p->name ? p->name : "it");
	if (!p->mount || !p->filesystem || (fs_find(p->filesystem)->flags & FS_READ_ONLY))
		diag_add(d, p->grow_place, "'grow' needs a 'filesystem' that can grow and its 'mount' beside it");
	if (p->filesystem && !strcmp(p->filesystem, "vfat"))
		diag_add(d, p->grow_place, "vfat cannot grow while it is mounted");
}

static void check_size_kind(const struct spec_disk *disk, const struct spec_partition *p,
	struct diag *d)
{
	if (p->size_kind == SPEC_SIZE_PERCENT && disk->size_kind != SPEC_SIZE_BYTES)
		diag_add(d, p->size_place, "a percentage needs a disk of fixed size: give the disk a 'size'");
	if (!p->fs_place.line && !p->verity_place.line && p->size_kind == SPEC_SIZE_AUTO &&
		diag_same_place(p->size_place, p->place))
		diag_add(d, p->size_place, "a partition without 'filesystem' needs a 'size', or rest");
	if (!p->fs_place.line && (p->label || p->reserved_percent || p->options))
		diag_add(d, p->place, "'label', 'options' and 'reserved_percent' need a 'filesystem' beside "
				      "them");
}

/* The hashes of one partition in another one. */
static void check_verity(const struct spec_disk *disk, const struct spec_partition *p, struct diag *d)
{
	const struct spec_partition *data = NULL;

	if (!p->verity)
		return;
	if (p->fs_place.line)
		diag_add(d, p->verity_place, "a partition holds either a 'filesystem' or the hashes of 'verity'");
	if (disk->table && !strcmp(disk->table, "mbr"))
		diag_add(d, p->verity_place, "dm-verity finds its partitions by GUID: it needs 'table: gpt'");
	for (size_t i = 0; i < disk->nr_partitions; i++)
		if (disk->partitions[i].name && !strcmp(disk->partitions[i].name, p->verity))
			data = &disk->partitions[i];
	if (!data)
		diag_add(d, p->verity_place, "this disk has no partition '%s' whose hashes could be made",
			p->verity);
	else if (!data->mount || strcmp(data->mount, "/"))
		diag_add(d, p->verity_place, "dm-verity is for the root file system ('mount: /'), which '%s' is "
					     "not", p->verity);
	else if (data->filesystem && strcmp(data->filesystem, "squashfs") && strcmp(data->filesystem, "ext4"))
		diag_add(d, p->verity_place, "dm-verity is made over squashfs or ext4, not over %s",
			data->filesystem);
	for (const struct spec_partition *q = disk->partitions; q < p; q++)
		if (q->verity)
			diag_add(d, p->verity_place, "the root has its hashes in line %u already",
				q->place.line);
	if (data && data->size_kind == SPEC_SIZE_REST && p->size_kind == SPEC_SIZE_AUTO)
		diag_add(d, p->size_place, "give '%s' a size: that of its data is not known while it takes the "
					   "rest", p->name ? p->name : "verity");
	if (data && data->grow)
		diag_add(d, data->grow_place, "a file system under dm-verity cannot grow");
}

/* What only a partition of its own type may hold. */
static void check_content(const struct spec *s, const struct spec_partition *p, struct diag *d)
{
	bool hashes = layout_is_type(s, p, "root-verity");

	if (p->fs_place.line && layout_is_type(s, p, "bios-boot"))
		diag_add(d, p->fs_place, "a partition of type bios-boot has no 'filesystem': GRUB's core is "
					 "written over all of it");
	if (p->fs_place.line && hashes)
		diag_add(d, p->fs_place, "a partition of type root-verity has no 'filesystem': it holds hashes");
	if (p->verity && p->type && s->architecture && !hashes)
		diag_add(d, p->type_place, "the hashes of 'verity' need 'type: root-verity', by which the "
					   "initrd finds them");
}

/* Name and type as the table will have them. */
static void check_entry(const struct spec *s, const struct spec_disk *disk, size_t index,
	struct partition_table *t, struct diag *d)
{
	const struct spec_partition *p = &disk->partitions[index];
	struct error e = ERROR_INIT;

	if (p->name && partition_check_name(p->name, &e) < 0)
		diag_add(d, p->name_place, "%s", e.text);
	else if (p->type && s->architecture &&
		 (layout_entry(s, disk, index, &t->parts[index], &e) < 0 ||
			 partition_check(t, index, &e) < 0))
		diag_add(d, p->type_place, "%s", e.text);
}

static void check_partition(const struct spec *s, const struct spec_disk *disk, size_t index,
	struct diag *d)
{
	const struct spec_partition *p = &disk->partitions[index];

	for (size_t i = 0; p->name && i < index; i++)
		if (disk->partitions[i].name && !strcmp(disk->partitions[i].name, p->name))
			diag_add(d, p->name_place, "partition '%s' is there already, in line %u", p->name,
				disk->partitions[i].place.line);
	check_content(s, p, d);
	check_size_kind(disk, p, d);
	check_grow(disk, index, d);
	check_verity(disk, p, d);
	spec_check_label(p->label, p->filesystem, p->label_place, d);
	if (p->size_kind != SPEC_SIZE_REST)
		return;
	for (size_t i = 0; i < index; i++)
		if (disk->partitions[i].size_kind == SPEC_SIZE_REST)
			diag_add(d, p->size_place, "only one partition can take the rest: line %u does",
				disk->partitions[i].size_place.line);
}

/* What the tree needs is not known yet and counts as the least there is. */
static void fill_requests(const struct spec_disk *disk, struct partition_request *req)
{
	bool rest = false;

	for (size_t i = 0; i < disk->nr_partitions; i++) {
		const struct spec_partition *p = &disk->partitions[i];

		req[i] = (struct partition_request){.name = p->name ? p->name : "?", .size = PARTITION_ALIGN};
		if (p->size_kind == SPEC_SIZE_BYTES && p->size)
			req[i].size = p->size;
		if (p->size_kind == SPEC_SIZE_PERCENT)
			req[i].size = layout_percent(disk->size, p->size);
		if (p->size_kind == SPEC_SIZE_REST && !rest) {
			rest = true;
			req[i].size = 0;
			req[i].min_size = PARTITION_ALIGN;
		}
	}
}

/* Given sizes against the disk, and against what the table can reach. */
static void check_places(const struct spec_disk *disk, struct partition_table *t, struct diag *d)
{
	bool fixed = disk->size_kind == SPEC_SIZE_BYTES;
	struct partition_request req[PARTITION_MAX];
	struct error e = ERROR_INIT;
	uint64_t needed = 0;

	if (fixed && (!disk->size || disk->size % GIB))
		return;
	fill_requests(disk, req);
	if (partition_layout(t->kind, req, t->nr, fixed ? disk->size : 0, t->parts, &needed, &e) < 0 ||
		layout_check_disk_size(needed, &e) < 0) {
		diag_add(d, disk->size_place, "%s", e.text);
		return;
	}
	for (size_t i = 0; i < t->nr; i++)
		if (partition_check(t, i, &e) < 0)
			diag_add(d, disk->partitions[i].size_place, "%s", e.text);
}

void spec_check_table(const struct spec *s, const struct spec_disk *disk, struct diag *d)
{
	struct partition parts[PARTITION_MAX] = {{.off = 0}};
	struct partition_table t = {.kind = layout_table_kind(disk->table), .parts = parts,
		.nr = disk->nr_partitions};
	struct error e = ERROR_INIT;
	unsigned before = d->count;

	if (!t.nr)
		return;
	if (t.nr > PARTITION_MAX) {
		diag_add(d, disk->place, "a table has at most %d partitions", PARTITION_MAX);
		return;
	}
	for (size_t i = 0; i < t.nr; i++)
		check_partition(s, disk, i, d);
	for (size_t i = 0; i < t.nr; i++)
		check_entry(s, disk, i, &t, d);
	if (t.kind == PARTITION_TABLE_HYBRID && !spec_mounts_root(disk))
		diag_add(d, disk->table_place, "a hybrid table has the root partition in its MBR, and this disk "
					       "has none: write 'table: gpt'");
	else if (partition_check_table(&t, &e) < 0)
		diag_add(d, disk->table_place, "%s", e.text);
	/* Places are of use only for partitions that are right by themselves. */
	if (d->count == before)
		check_places(disk, &t, d);
}
