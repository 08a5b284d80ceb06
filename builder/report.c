/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planned disks and found images in one JSON form, so that one function turns both into text:
 *
 *   {"device" or "format", "size", "table", "guid", "partitions": [{"number", "name", "type", "type_guid",
 *    "uuid", "offset", "size", "filesystem"}],
 *    "filesystem": {"type", "label", "uuid", "size", "used", "free", "mount", "damage"}}
 *
 * Of images also "variant", "allocated", "file": {"size", "on_disk"}, "damage", and os_facts_json(); of LUKS
 * "encryption": {"version", "cipher"}; and what report_deep.h lists.
 *
 * All sizes are bytes. "filesystem" stands in the partition, or in the disk when there is no table.
 */
#include "builder/report_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

const char *const report_table_names[] = {
	[PARTITION_TABLE_NONE] = NULL,
	[PARTITION_TABLE_GPT] = "gpt",
	[PARTITION_TABLE_MBR] = "mbr",
	[PARTITION_TABLE_HYBRID] = "hybrid",
};

int report_set_uuid(struct json *obj, const char *key, const uint8_t uuid[16], struct error *err)
{
	char text[UUID_TEXT_SIZE];

	return json_set_str(obj, key, uuid_format(text, uuid), err);
}

/* The partition's own values, without what is in it. NULL on error. */
static struct json *partition_json(const struct partition *p, enum partition_table_kind kind,
	size_t number, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	char mbr_type[16];

	if (!out || json_set_int(out, "number", (int64_t)number, err) < 0)
		return NULL;
	if (kind != PARTITION_TABLE_MBR) {
		const char *type = partition_type_name(p->type);

		if (json_set_str(out, "name", p->name, err) < 0 ||
			json_set_str(out, "type", type, err) < 0 ||
			report_set_uuid(out, "type_guid", p->type, err) < 0 ||
			report_set_uuid(out, "uuid", p->uuid, err) < 0)
			return NULL;
	} else {
		snprintf(mbr_type, sizeof(mbr_type), "0x%02x",
			p->mbr_type ? p->mbr_type : partition_mbr_type(p->type));
		if (json_set_str(out, "type", mbr_type, err) < 0 ||
			json_set_bool(out, "bootable", p->bootable, err) < 0)
			return NULL;
	}
	if (json_set_int(out, "offset", (int64_t)p->off, err) < 0 ||
		json_set_int(out, "size", (int64_t)p->len, err) < 0)
		return NULL;
	return steal_ptr(&out);
}

static struct json *planned_fs_json(const struct plan_fs *fs, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	char id[FS_ID_TEXT];

	fs_id_text(&fs->fs, id);
	if (!out || json_set_str(out, "type", fs->fs.ops->name, err) < 0 ||
		json_set_str(out, "label", fs->fs.opts.label ? fs->fs.opts.label : "", err) < 0 ||
		json_set_str(out, "uuid", id[0] ? id + strlen("UUID=") : NULL, err) < 0 ||
		json_set_int(out, "size", (int64_t)fs->sums.size, err) < 0 ||
		json_set_int(out, "used", (int64_t)fs->sums.used, err) < 0 ||
		json_set_int(out, "free", (int64_t)fs->sums.free, err) < 0 ||
		json_set_int(out, "inodes", (int64_t)fs->sums.inodes, err) < 0 ||
		json_set_int(out, "free_inodes", (int64_t)fs->sums.free_inodes, err) < 0)
		return NULL;
	if (fs->mount && json_set_str(out, "mount", fs->mount, err) < 0)
		return NULL;
	return steal_ptr(&out);
}

int report_add_partition(struct json *list, const struct partition_table *table, size_t index,
	struct json *fs, struct error *err)
{
	const struct partition *p = &table->parts[index];
	CLEANUP(json_cleanup) struct json *part =
		partition_json(p, table->kind, p->number ? p->number : index + 1, err);

	if (!part) {
		json_free(fs);
		return -1;
	}
	if (fs && json_set(part, "filesystem", fs, err) < 0)
		return -1;
	return json_append(list, steal_ptr(&part), err);
}

static int planned_partitions(struct json *out, const struct plan_disk *d, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	size_t next = 0;

	if (!list || report_set_uuid(out, "guid", d->table.guid, err) < 0)
		return -1;
	for (size_t i = 0; i < d->table.nr; i++) {
		struct json *fs = NULL;

		if (next < d->nr_fs && d->fs[next].part_index == i) {
			fs = planned_fs_json(&d->fs[next++], err);
			if (!fs)
				return -1;
		}
		if (report_add_partition(list, &d->table, i, fs, err) < 0)
			return -1;
	}
	return json_set(out, "partitions", steal_ptr(&list), err);
}

struct json *report_disk_json(const struct plan *p, size_t disk, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	const struct plan_disk *d = &p->disks[disk];

	if (!out || json_set_str(out, "device", d->spec->device, err) < 0 ||
		json_set_int(out, "size", (int64_t)d->size, err) < 0 ||
		json_set_str(out, "table", report_table_names[d->table.kind], err) < 0)
		return NULL;
	if (d->table.nr && planned_partitions(out, d, err) < 0)
		return NULL;
	if (!d->table.nr && d->nr_fs &&
		json_set(out, "filesystem", planned_fs_json(&d->fs[0], err), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

struct json *report_plan_json(const struct plan *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	CLEANUP(json_cleanup) struct json *disks = json_new_array(err);

	if (!out || !disks || json_set_str(out, "ami_name", p->ami_name, err) < 0)
		return NULL;
	for (size_t i = 0; i < p->nr_disks; i++)
		if (plan_has_content(&p->disks[i]) &&
			json_append(disks, report_disk_json(p, i, err), err) < 0)
			return NULL;
	if (json_set(out, "disks", steal_ptr(&disks), err) < 0 ||
		(p->boot_mode && json_set_str(out, "boot_mode", p->boot_mode, err) < 0) ||
		json_set(out, "fitness", fitness_json(&p->fitness, err), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

int report_start_text(const struct json *plan, struct buf *out, struct error *err)
{
	const struct json *points = json_get(plan, "fitness");
	const char *mode = json_get_str(plan, "boot_mode", NULL);

	if (mode && buf_addf(out, err, "starts: %s\n", mode) < 0)
		return -1;
	for (size_t i = 0; points && i < json_length(points); i++) {
		const struct json *point = json_at(points, i);

		if (buf_addf(out, err, "%s: %s: %s\n    cure: %s\n", json_get_str(point, "level", ""),
			    json_get_str(point, "name", ""), json_get_str(point, "text", ""),
			    json_get_str(point, "cure", "")) < 0)
			return -1;
	}
	return 0;
}
