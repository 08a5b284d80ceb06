/* SPDX-License-Identifier: Apache-2.0 */
/* What an image holds, read from its bytes: the same JSON form as a planned disk. */
#include "builder/report_internal.h"

#include <string.h>

#include "base/num.h"
#include "base/window.h"
#include "fs/probe.h"

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
	if (!probe.usage_known && probe.size > len) {
		char has[NUM_SIZE_TEXT], room[NUM_SIZE_TEXT];
		CLEANUP_FREE char *text = buf_strf(err, "it has %s where there are only %s",
			num_format_size(has, probe.size), num_format_size(room, len));

		if (!text || json_set_str(fs, "damage", text, err) < 0)
			return -1;
	}
	*out = steal_ptr(&fs);
	return 0;
}

static int found_partitions(struct json *out, struct dev *dev, const struct partition_table *table,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list || (table->kind == PARTITION_TABLE_GPT && report_set_uuid(out, "guid", table->guid, err) < 0))
		return -1;
	for (size_t i = 0; i < table->nr; i++) {
		const struct partition *p = &table->parts[i];
		struct json *fs = NULL;

		/* A table may lie about the disk's end: then there is nothing to look into. */
		if (p->len && p->off < dev->size && p->len <= dev->size - p->off &&
			found_fs_json(dev, p->off, p->len, &fs, err) < 0)
			return -1;
		if (report_add_partition(list, table, i, fs, err) < 0)
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
	if (json_set_str(out, "table", report_table_names[table.kind], err) < 0)
		return NULL;
	if (table.kind != PARTITION_TABLE_NONE)
		return found_partitions(out, dev, &table, err) < 0 ? NULL : steal_ptr(&out);
	if (found_fs_json(dev, 0, dev->size, &fs, err) < 0 ||
		(fs && json_set(out, "filesystem", fs, err) < 0))
		return NULL;
	return steal_ptr(&out);
}
