/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes and places. Two rounds a disk: what each partition needs (so that the table can be laid
 * out), then what each file system gets.
 */
#include "builder/plan_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "builder/layout.h"
#include "fs/verity.h"

static struct diag_place fs_place(const struct plan_disk *disk, const struct plan_fs *fs)
{
	return fs->part ? fs->part->size_place : disk->spec->size_place;
}

const char *plan_fs_name(const struct plan_disk *disk, const struct plan_fs *fs)
{
	return fs->part ? fs->part->name : disk->spec->device;
}

/*
 * Notes a mistake that only the sums could find, with its place in the spec. What is no mistake of
 * the spec (memory, reading) stays as it is.
 */
static int does_not_fit(struct diag *d, struct diag_place place, const char *what, const char *name,
	struct error *err)
{
	if (err->kind != ERROR_INPUT)
		return -1;
	diag_add(d, place, "%s '%s': %s", what, name, err->text);
	return diag_result(d, err);
}

/*
 * What a partition needs. A `rest` on a disk of fixed size needs the bare minimum; where the disk
 * grows with its content, headroom too.
 */
static int ask_size(const struct plan_disk *disk, struct plan_fs *fs, uint64_t *size, struct diag *d,
	struct error *err)
{
	bool bare = disk->spec->size_kind == SPEC_SIZE_BYTES && fs->part->size_kind == SPEC_SIZE_REST;
	uint64_t least, roomy;

	if (fs_sizes(&fs->fs, &least, &roomy, err) < 0)
		return does_not_fit(d, fs->part->fs_place, "partition", fs->part->name, err);
	*size = bare ? least : roomy;
	return 0;
}

static int fill_request(const struct plan_disk *disk, size_t index, struct plan_fs *fs,
	struct partition_request *req, struct diag *d, struct error *err)
{
	const struct spec_partition *part = &disk->spec->partitions[index];
	uint64_t size = PARTITION_ALIGN;

	req->name = part->name;
	if (part->size_kind == SPEC_SIZE_BYTES) {
		req->size = part->size;
		return 0;
	}
	if (part->size_kind == SPEC_SIZE_PERCENT) {
		req->size = layout_percent(disk->spec->size, part->size);
		return 0;
	}
	if (fs && ask_size(disk, fs, &size, d, err) < 0)
		return -1;
	if (part->size_kind == SPEC_SIZE_AUTO)
		req->size = size;
	else
		req->min_size = size;
	return 0;
}

/* The hashes' size follows from that of what they are of, which the spec's rules make known here. */
static void fill_verity(const struct plan_disk *disk, struct partition_request *req)
{
	const struct plan_verity *v = &disk->verity;
	uint64_t data = req[disk->fs[v->data].part_index].size;
	uint64_t size = verity_size(num_align(data, PARTITION_ALIGN));

	if (disk->spec->partitions[v->part].size_kind == SPEC_SIZE_AUTO)
		req[v->part].size = size;
	else
		req[v->part].min_size = size;
}

static int fill_requests(struct plan_disk *disk, struct partition_request *req, struct diag *d,
	struct error *err)
{
	size_t next = 0;

	for (size_t i = 0; i < disk->table.nr; i++) {
		bool has_fs = next < disk->nr_fs && disk->fs[next].part_index == i;

		if (fill_request(disk, i, has_fs ? &disk->fs[next] : NULL, &req[i], d, err) < 0)
			return -1;
		next += has_fs;
	}
	if (disk->verity.used)
		fill_verity(disk, req);
	return 0;
}

static int lay_out(struct plan_disk *disk, struct diag *d, struct error *err)
{
	CLEANUP_FREE struct partition_request *req = calloc(disk->table.nr, sizeof(*req));
	struct partition_table *table = &disk->table;
	uint64_t needed;

	if (!req)
		return error_nomem(err, "a partition table");
	if (fill_requests(disk, req, d, err) < 0)
		return -1;
	disk->size = disk->spec->size;
	if (disk->spec->size_kind == SPEC_SIZE_AUTO) {
		if (partition_layout(table->kind, req, table->nr, 0, table->parts, &needed,
			    err) < 0)
			return does_not_fit(d, disk->spec->size_place, "disk", disk->spec->device, err);
		disk->size = num_align(MAX(needed, 1), GIB);
	}
	if (layout_check_disk_size(disk->size, err) < 0)
		return does_not_fit(d, disk->spec->size_place, "disk", disk->spec->device, err);
	if (partition_layout(table->kind, req, table->nr, disk->size, table->parts, &needed,
		    err) < 0)
		return does_not_fit(d, disk->spec->size_place, "disk", disk->spec->device, err);
	for (size_t i = 0; i < table->nr; i++)
		if (partition_check(table, i, err) < 0)
			return does_not_fit(d, disk->spec->partitions[i].size_place, "disk",
				disk->spec->device, err);
	for (size_t i = 0; i < disk->nr_fs; i++) {
		disk->fs[i].off = table->parts[disk->fs[i].part_index].off;
		disk->fs[i].len = table->parts[disk->fs[i].part_index].len;
	}
	return 0;
}

/* A file system over the whole disk. */
static int lay_out_whole(struct plan_disk *disk, struct diag *d, struct error *err)
{
	struct plan_fs *fs = &disk->fs[0];
	uint64_t least, roomy;

	disk->size = disk->spec->size;
	if (disk->spec->size_kind == SPEC_SIZE_AUTO) {
		if (fs_sizes(&fs->fs, &least, &roomy, err) < 0)
			return does_not_fit(d, disk->spec->fs_place, "disk", disk->spec->device, err);
		disk->size = num_align(MAX(roomy, 1), GIB);
		if (layout_check_disk_size(disk->size, err) < 0)
			return does_not_fit(d, disk->spec->size_place, "disk", disk->spec->device, err);
	}
	fs->len = disk->size;
	return 0;
}

/* Given sizes may be too small for the hashes. */
static int check_verity(const struct plan_disk *disk, struct diag *d, struct error *err)
{
	const struct plan_verity *v = &disk->verity;
	uint64_t need = verity_size(disk->fs[v->data].len), has = disk->table.parts[v->part].len;
	char need_text[NUM_SIZE_TEXT], has_text[NUM_SIZE_TEXT];

	if (has >= need)
		return 0;
	diag_add(d, disk->spec->partitions[v->part].size_place,
		"partition '%s': the hashes need %s, there is %s", disk->spec->partitions[v->part].name,
		num_format_size(need_text, need), num_format_size(has_text, has));
	return diag_result(d, err);
}

static int disk_sizes(struct plan_disk *disk, struct diag *d, struct error *err)
{
	if (!plan_has_content(disk))
		return 0;
	if ((disk->table.nr ? lay_out(disk, d, err) : lay_out_whole(disk, d, err)) < 0)
		return -1;
	for (size_t i = 0; i < disk->nr_fs; i++) {
		struct plan_fs *fs = &disk->fs[i];

		if (fs_plan(&fs->fs, fs->len, &fs->sums, err) < 0)
			return does_not_fit(d, fs_place(disk, fs), fs->part ? "partition" : "disk",
				plan_fs_name(disk, fs), err);
	}
	return disk->verity.used ? check_verity(disk, d, err) : 0;
}

int plan_sizes(struct plan *p, struct diag *d, struct error *err)
{
	for (size_t i = 0; i < p->nr_disks; i++)
		if (disk_sizes(&p->disks[i], d, err) < 0)
			return -1;
	return 0;
}
