/* SPDX-License-Identifier: Apache-2.0 */
/* What an image holds, read from its bytes: the same JSON form as a planned disk. */
#include "builder/report_internal.h"

#include <string.h>

#include "base/num.h"
#include "base/walk.h"
#include "base/window.h"
#include "builder/os_facts.h"
#include "builder/report_deep.h"
#include "fs/luks_probe.h"
#include "fs/probe.h"

/* What is looked into, and what was found in it so far. */
struct found {
	struct dev *dev; /* the disk; borrowed */
	struct os_facts facts;
	struct report_deep deep;
};

int report_set_once(struct json *fs, const char *key, const char *text, struct error *err)
{
	return json_get(fs, key) ? 0 : json_set_str(fs, key, text, err);
}

int report_set_usage(struct json *fs, uint64_t size, uint64_t used, struct error *err)
{
	return json_set_int(fs, "size", (int64_t)size, err) < 0 ||
			       json_set_int(fs, "used", (int64_t)used, err) < 0 ||
			       json_set_int(fs, "free", (int64_t)(size - used), err) < 0 ?
		       -1 :
		       0;
}

static int set_probe(struct json *fs, const struct probe *probe, uint64_t room, struct error *err)
{
	char has[NUM_SIZE_TEXT], only[NUM_SIZE_TEXT];
	CLEANUP_FREE char *text = NULL;

	if (json_set_str(fs, "type", probe->type, err) < 0 ||
		json_set_str(fs, "label", probe->label, err) < 0 ||
		json_set_str(fs, "uuid", probe->uuid, err) < 0)
		return -1;
	if (probe->usage_known)
		return report_set_usage(fs, probe->size, probe->used, err);
	if (probe->size <= room)
		return 0;
	text = buf_strf(err, "it has %s where there are only %s", num_format_size(has, probe->size),
		num_format_size(only, room));
	return text ? report_set_once(fs, "damage", text, err) : -1;
}

/* What its files tell; damage is noted in fs. */
static int look_into(struct found *f, struct dev *window, const char *type, bool esp, struct json *fs,
	struct error *err)
{
	struct error damage = ERROR_INIT;
	struct reader *reader;
	int ret = reader_open(window, type, &reader, &damage);

	if (ret == 0 && reader)
		ret = os_facts_look(&f->facts, reader, esp, &damage);
	reader_close(reader);
	if (ret == 0)
		return 0;
	if (damage.kind == ERROR_INPUT)
		return report_set_once(fs, "damage", damage.text, err);
	if (err)
		*err = damage;
	return -1;
}

/* "encryption": {"version", "cipher"} of LUKS. */
static int set_luks(struct json *fs, struct dev *window, const char *type, struct error *err)
{
	CLEANUP(json_cleanup) struct json *luks = NULL;
	struct luks_facts facts;

	if (strcmp(type, "crypto_LUKS"))
		return 0;
	luks = json_new_object(err);
	if (!luks || luks_probe(window, &facts, err) < 0 ||
		json_set_int(luks, "version", facts.version, err) < 0 ||
		json_set_str(luks, "cipher", facts.cipher[0] ? facts.cipher : NULL, err) < 0)
		return -1;
	return json_set(fs, "encryption", steal_ptr(&luks), err);
}

/* What there is in window; *out = NULL without error when it is nothing that we know. */
static int window_json(struct found *f, struct dev *window, bool esp, struct json **out,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *fs = NULL;
	struct probe probe;

	if (probe_dev(window, &probe, err) < 0)
		return -1;
	if (!probe.type[0])
		return 0;
	fs = json_new_object(err);
	if (!fs || set_probe(fs, &probe, window->size, err) < 0 || set_luks(fs, window, probe.type, err) < 0 ||
		look_into(f, window, probe.type, esp, fs, err) < 0)
		return -1;
	*out = steal_ptr(&fs);
	return 0;
}

static int found_fs_json(struct found *f, uint64_t off, uint64_t len, bool esp, struct json **out,
	struct error *err)
{
	struct dev *window = window_new(f->dev, off, len, err);
	int ret;

	*out = NULL;
	if (!window)
		return -1;
	ret = window_json(f, window, esp, out, err);
	dev_close(window, NULL);
	if (ret == 0 && *out && report_deep_takes(&f->deep, json_get_str(*out, "type", "")))
		ret = report_deep_add(&f->deep, f->dev, off, len, *out, err);
	else if (ret == 0 && *out && f->deep.opts && json_get(*out, "encryption"))
		ret = json_set_str(*out, "unread", "encrypted: not looked into", err);
	if (ret < 0)
		json_free(steal_ptr(out));
	return ret;
}

static bool is_esp(const struct partition *p)
{
	const char *type = partition_type_name(p->type);

	return p->mbr_type == 0xef || (type && !strcmp(type, "esp"));
}

static int found_partitions(struct json *out, struct found *f, const struct partition_table *table,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list || (table->kind == PARTITION_TABLE_GPT && report_set_uuid(out, "guid", table->guid, err) < 0))
		return -1;
	for (size_t i = 0; i < table->nr; i++) {
		const struct partition *p = &table->parts[i];
		struct json *fs = NULL;

		/* A table may lie about the disk's end: then there is nothing to look into. */
		if (p->len && p->off < f->dev->size && p->len <= f->dev->size - p->off &&
			found_fs_json(f, p->off, p->len, is_esp(p), &fs, err) < 0)
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

/* The table, or what there is without one. */
static int read_table(struct json *out, struct found *f, struct partition_table *table, struct error *err)
{
	struct error damage = ERROR_INIT;

	if (partition_read(f->dev, table, &damage) == 0)
		return 0;
	if (damage.kind != ERROR_INPUT) {
		if (err)
			*err = damage;
		return -1;
	}
	partition_table_release(table);
	memset(table, 0, sizeof(*table));
	return json_set_str(out, "damage", damage.text, err);
}

static int found_disk(struct json *out, struct found *f, struct error *err)
{
	CLEANUP(table_cleanup) struct partition_table table = {0};
	struct json *fs = NULL;

	if (os_facts_init(&f->facts, err) < 0 || read_table(out, f, &table, err) < 0 ||
		json_set_str(out, "table", report_table_names[table.kind], err) < 0)
		return -1;
	if (table.kind != PARTITION_TABLE_NONE) {
		if (found_partitions(out, f, &table, err) < 0)
			return -1;
	} else if (found_fs_json(f, 0, f->dev->size, false, &fs, err) < 0 ||
		   (fs && json_set(out, "filesystem", fs, err) < 0)) {
		return -1;
	}
	if (os_facts_look_bios(&f->facts, f->dev, &table, err) < 0 ||
		report_deep_run(&f->deep, &f->facts, err) < 0)
		return -1;
	return os_facts_json(&f->facts, out, err);
}

/* Bytes that the image's own map calls data. */
static int data_bytes(struct dev *dev, uint64_t *out, struct error *err)
{
	enum { UNIT = 64 << 10 };
	uint64_t count[3];

	if (walk_count(dev, UNIT, count, err) < 0)
		return -1;
	*out = MIN(count[EXTENT_DATA] * UNIT, dev->size);
	return 0;
}

struct json *report_image_json(const struct image *image, const struct guest_disks_opts *deep,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	struct found f = {.dev = image->dev, .deep = {.opts = deep}};
	uint64_t data = 0;
	int ret;

	if (!out || json_set_str(out, "format", image->format, err) < 0 ||
		(image->variant[0] && json_set_str(out, "variant", image->variant, err) < 0) ||
		json_set_int(out, "size", (int64_t)image->dev->size, err) < 0 ||
		data_bytes(image->dev, &data, err) < 0 ||
		json_set_int(out, "allocated", (int64_t)data, err) < 0)
		return NULL;
	ret = found_disk(out, &f, err);
	report_deep_release(&f.deep);
	os_facts_release(&f.facts);
	return ret < 0 ? NULL : steal_ptr(&out);
}
