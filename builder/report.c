/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planned disks and found images in one JSON form, so that one function turns both into text:
 *
 *   {"device" or "format", "size", "table", "guid", "partitions": [{"number", "name", "type", "type_guid",
 *    "uuid", "offset", "size", "filesystem"}], "filesystem": {"type", "label", "uuid", "size", "used", "free", "mount"}}
 *
 * All sizes are bytes. "filesystem" stands in the partition, or in the disk when there is no table.
 */
#include "builder/report.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "base/window.h"
#include "fs/probe.h"

static const char *const table_names[] = {
	[PARTITION_TABLE_NONE] = NULL,
	[PARTITION_TABLE_GPT] = "gpt",
	[PARTITION_TABLE_MBR] = "mbr",
};

static int set_uuid(struct json *obj, const char *key, const uint8_t uuid[16], struct error *err)
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
	if (kind == PARTITION_TABLE_GPT) {
		const char *type = partition_type_name(p->type);

		if (json_set_str(out, "name", p->name, err) < 0 ||
			json_set_str(out, "type", type, err) < 0 ||
			set_uuid(out, "type_guid", p->type, err) < 0 ||
			set_uuid(out, "uuid", p->uuid, err) < 0)
			return NULL;
	} else {
		snprintf(mbr_type, sizeof(mbr_type), "0x%02x", p->mbr_type);
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

	if (!out || json_set_str(out, "type", fs->type, err) < 0 ||
		json_set_str(out, "label", fs->ext4.label, err) < 0 ||
		set_uuid(out, "uuid", fs->ext4.uuid, err) < 0 ||
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

/* Adds a partition, with its file system when it has one (fs may be NULL; taken). */
static int add_partition(struct json *list, const struct partition_table *table, size_t index,
	struct json *fs, struct error *err)
{
	CLEANUP(json_cleanup) struct json *part =
		partition_json(&table->parts[index], table->kind, index + 1, err);

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

	if (!list || set_uuid(out, "guid", d->table.guid, err) < 0)
		return -1;
	for (size_t i = 0; i < d->table.nr; i++) {
		struct json *fs = NULL;

		if (next < d->nr_fs && d->fs[next].part_index == i) {
			fs = planned_fs_json(&d->fs[next++], err);
			if (!fs)
				return -1;
		}
		if (add_partition(list, &d->table, i, fs, err) < 0)
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
		json_set_str(out, "table", table_names[d->table.kind], err) < 0)
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
	if (json_set(out, "disks", steal_ptr(&disks), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

/* What the probe found at [off, off+len); NULL without error when it is nothing that we know. */
static int found_fs_json(struct dev *dev, uint64_t off, uint64_t len, struct json **out,
	struct error *err)
{
	struct dev *window = window_new(dev, off, len, err);
	CLEANUP(json_cleanup) struct json *fs = NULL;
	struct probe probe;
	int ret;

	*out = NULL;
	if (!window)
		return -1;
	ret = probe_dev(window, &probe, err);
	dev_close(window, NULL);
	if (ret < 0 || !probe.type[0])
		return ret;
	fs = json_new_object(err);
	if (!fs || json_set_str(fs, "type", probe.type, err) < 0 ||
		json_set_str(fs, "label", probe.label, err) < 0 ||
		json_set_str(fs, "uuid", probe.uuid, err) < 0)
		return -1;
	if (probe.usage_known && (json_set_int(fs, "size", (int64_t)probe.size, err) < 0 ||
					 json_set_int(fs, "used", (int64_t)probe.used, err) < 0 ||
					 json_set_int(fs, "free", (int64_t)(probe.size - probe.used), err) < 0))
		return -1;
	*out = steal_ptr(&fs);
	return 0;
}

static int found_partitions(struct json *out, struct dev *dev, const struct partition_table *table,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list || (table->kind == PARTITION_TABLE_GPT && set_uuid(out, "guid", table->guid, err) < 0))
		return -1;
	for (size_t i = 0; i < table->nr; i++) {
		const struct partition *p = &table->parts[i];
		struct json *fs = NULL;

		/* A table may lie about the disk's end: then there is nothing to look into. */
		if (p->len && p->off < dev->size && p->len <= dev->size - p->off &&
			found_fs_json(dev, p->off, p->len, &fs, err) < 0)
			return -1;
		if (add_partition(list, table, i, fs, err) < 0)
			return -1;
	}
	return json_set(out, "partitions", steal_ptr(&list), err);
}

static void table_cleanup(struct partition_table *t)
{
	partition_table_release(t);
}

struct json *report_image_json(struct dev *dev, const char *format, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	CLEANUP(table_cleanup) struct partition_table table = {0};
	struct json *fs = NULL;
	struct error damage = ERROR_INIT;

	if (!out || json_set_str(out, "format", format, err) < 0 ||
		json_set_int(out, "size", (int64_t)dev->size, err) < 0)
		return NULL;
	if (partition_read(dev, &table, &damage) < 0) {
		if (damage.kind != ERROR_INPUT) {
			*err = damage;
			return NULL;
		}
		partition_table_release(&table);
		memset(&table, 0, sizeof(table));
		if (json_set_str(out, "damage", damage.text, err) < 0)
			return NULL;
	}
	if (json_set_str(out, "table", table_names[table.kind], err) < 0)
		return NULL;
	if (table.kind != PARTITION_TABLE_NONE)
		return found_partitions(out, dev, &table, err) < 0 ? NULL : steal_ptr(&out);
	if (found_fs_json(dev, 0, dev->size, &fs, err) < 0 ||
		(fs && json_set(out, "filesystem", fs, err) < 0))
		return NULL;
	return steal_ptr(&out);
}
