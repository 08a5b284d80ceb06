/* SPDX-License-Identifier: Apache-2.0 */
/* Reports as text: disks, mappings, times. */
#include "builder/report.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

/* Columns before a partition's file system. */
enum { FS_INDENT = 28 };

void report_time(struct report_times *t, const char *name, uint64_t ms)
{
	size_t i = 0;

	while (i < t->nr && strcmp(t->items[i].name, name))
		i++;
	if (i == REPORT_TIMES_MAX)
		return;
	if (i == t->nr) {
		t->items[i].name = name;
		t->items[i].ms = 0;
		t->nr++;
	}
	t->items[i].ms += ms;
}

struct json *report_times_json(const struct report_times *t, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	uint64_t total = 0;
	char key[48];

	if (!out)
		return NULL;
	for (size_t i = 0; i < t->nr; i++) {
		snprintf(key, sizeof(key), "%s_ms", t->items[i].name);
		for (char *c = key; *c; c++)
			if (*c == ' ')
				*c = '_';
		total += t->items[i].ms;
		if (json_set_int(out, key, (int64_t)t->items[i].ms, err) < 0)
			return NULL;
	}
	if (json_set_int(out, "total_ms", (int64_t)total, err) < 0)
		return NULL;
	return steal_ptr(&out);
}

void report_times_log(const struct report_times *t)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);
	uint64_t total = 0;

	for (size_t i = 0; i < t->nr; i++) {
		uint64_t ms = t->items[i].ms;

		total += ms;
		if (buf_addf(&text, NULL, "%s %llu.%02llu s, ", t->items[i].name,
			    (unsigned long long)ms / 1000, (unsigned long long)ms % 1000 / 10) < 0)
			return;
	}
	log_info("where time went: %stotal %llu.%02llu s", buf_str(&text),
		(unsigned long long)total / 1000, (unsigned long long)total % 1000 / 10);
}

static int add_size(struct buf *out, const struct json *obj, const char *key, int width,
	struct error *err)
{
	char text[NUM_SIZE_TEXT];
	int64_t value = json_get_int(obj, key, -1);

	if (value < 0)
		return buf_addf(out, err, " %*s", width, "-");
	return buf_addf(out, err, " %*s", width, num_format_size(text, (uint64_t)value));
}

/* Text out of an image; what a terminal would obey (C0, DEL, C1) becomes "?". */
static int add_name(struct buf *out, const char *text, struct error *err)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		bool two = *c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;

		if (buf_add_char(out, two || *c < ' ' || *c == 0x7f ? '?' : (char)*c, err) < 0)
			return -1;
		c += two;
	}
	return 0;
}

/* The text of a key between two others, when it is there and not empty. */
static int add_key(struct buf *out, const char *before, const struct json *obj, const char *key,
	const char *after, struct error *err)
{
	const char *text = json_get_str(obj, key, "");

	return !*text ? 0 :
	       buf_add_str(out, before, err) < 0 || add_name(out, text, err) < 0 ? -1 :
			    buf_add_str(out, after, err);
}

static int add_usage(struct buf *out, const struct json *fs, struct error *err)
{
	return !json_get(fs, "used") ? 0 :
	       buf_add_str(out, ",", err) < 0 || add_size(out, fs, "used", 0, err) < 0 ||
			       buf_add_str(out, " used,", err) < 0 || add_size(out, fs, "free", 0, err) < 0 ||
			       buf_add_str(out, " free", err) < 0 ?
		       -1 :
		       0;
}

/* One line, without its end. */
static int add_fs_line(struct buf *out, const struct json *fs, struct error *err)
{
	const struct json *luks = json_get(fs, "encryption");

	if (add_name(out, json_get_str(fs, "type", "?"), err) < 0 ||
		add_key(out, " '", fs, "label", "'", err) < 0 || add_key(out, " ", fs, "uuid", "", err) < 0 ||
		add_key(out, " on ", fs, "mount", "", err) < 0 || add_key(out, ", part of ", fs, "group", "", err) < 0)
		return -1;
	if (luks && (buf_addf(out, err, ", version %lld", (long long)json_get_int(luks, "version", 0)) < 0 ||
			    add_key(out, ", ", luks, "cipher", "", err) < 0))
		return -1;
	if (add_key(out, ", damaged: ", fs, "damage", "", err) < 0 ||
		add_key(out, ", not read: ", fs, "unread", "", err) < 0)
		return -1;
	return add_usage(out, fs, err);
}

/* The file system, and below it the volumes that lie in it, with theirs. */
static int add_fs(struct buf *out, const struct json *fs, int indent, struct error *err)
{
	const struct json *volumes = json_get(fs, "volumes");

	if (add_fs_line(out, fs, err) < 0 || buf_add_char(out, '\n', err) < 0)
		return -1;
	for (size_t i = 0; volumes && i < json_length(volumes); i++) {
		const struct json *v = json_at(volumes, i), *inside = json_get(v, "filesystem");

		if (buf_addf(out, err, "%*s", indent + 2, "") < 0 ||
			add_name(out, json_get_str(v, "name", "inside"), err) < 0 ||
			(json_get_int(v, "size", 0) && add_size(out, v, "size", 0, err) < 0) ||
			add_key(out, ", not read: ", v, "unread", "", err) < 0)
			return -1;
		if (!json_is_object(inside) ? buf_add_char(out, '\n', err) < 0 :
					      buf_add_str(out, ": ", err) < 0 ||
						      add_fs(out, inside, indent + 2, err) < 0)
			return -1;
	}
	return 0;
}

static int add_part(struct buf *out, const struct json *part, struct error *err)
{
	const char *type = json_get_str(part, "type", NULL);
	const struct json *fs = json_get(part, "filesystem");

	if (buf_addf(out, err, "  %2lld", (long long)json_get_int(part, "number", 0)) < 0 ||
		add_size(out, part, "offset", 10, err) < 0 || add_size(out, part, "size", 10, err) < 0)
		return -1;
	if (buf_addf(out, err, "  %-14s ", type ? type : json_get_str(part, "type_guid", "?")) < 0 ||
		add_name(out, json_get_str(part, "name", ""), err) < 0 || buf_add_char(out, '\n', err) < 0)
		return -1;
	if (!fs)
		return 0;
	return buf_addf(out, err, "%*s", FS_INDENT, "") < 0 ? -1 : add_fs(out, fs, FS_INDENT, err);
}

static int add_list(struct buf *out, const char *head, const struct json *list, const char *between,
	struct error *err)
{
	if (!list || !json_length(list))
		return 0;
	if (buf_addf(out, err, "  %s", head) < 0)
		return -1;
	for (size_t i = 0; i < json_length(list); i++)
		if (buf_add_str(out, i ? between : "", err) < 0 ||
			add_name(out, json_text(json_at(list, i), "?"), err) < 0)
			return -1;
	return buf_add_char(out, '\n', err);
}

/* What only a found image has: its file, its system, how it starts. */
static int add_found(struct buf *out, const struct json *disk, struct error *err)
{
	const struct json *os = json_get(disk, "os"), *file = json_get(disk, "file");
	const struct json *modes = json_get(disk, "boot_modes");
	const char *arch = json_get_str(disk, "architecture", NULL);
	const char *name = json_get_str(os, "name", json_get_str(os, "id", NULL));

	if (file && (buf_add_str(out, "  file:", err) < 0 || add_size(out, file, "size", 0, err) < 0 ||
			    buf_add_char(out, ',', err) < 0 || add_size(out, file, "on_disk", 0, err) < 0 ||
			    buf_add_str(out, " on disk; data:", err) < 0 ||
			    add_size(out, disk, "allocated", 0, err) < 0 || buf_add_char(out, '\n', err) < 0))
		return -1;
	if ((name || arch) && (buf_add_str(out, "  system: ", err) < 0 || add_name(out, name ? name : "", err) < 0 ||
				      buf_addf(out, err, "%s%s\n", name && arch ? ", " : "", arch ? arch : "") < 0))
		return -1;
	if (add_list(out, "kernels: ", json_get(disk, "kernels"), ", ", err) < 0)
		return -1;
	if (modes && json_length(modes))
		return buf_addf(out, err, "  starts: %s\n", json_get_str(disk, "boot_mode", ""));
	return modes ? buf_add_str(out, "  starts: by nothing that was found\n", err) : 0;
}

int report_disk_text(const struct json *disk, struct buf *out, struct error *err)
{
	const char *head = json_get_str(disk, "device", json_get_str(disk, "format", "disk"));
	const char *table = json_get_str(disk, "table", NULL);
	const char *variant = json_get_str(disk, "variant", NULL);
	const char *damage = json_get_str(disk, "damage", "");
	const struct json *parts = json_get(disk, "partitions");
	const struct json *fs = json_get(disk, "filesystem");

	if (buf_add_str(out, head, err) < 0 ||
		(variant && buf_addf(out, err, " (%s)", variant) < 0) || buf_add_char(out, ':', err) < 0 ||
		add_size(out, disk, "size", 0, err) < 0 ||
		buf_addf(out, err, ", %s%s%s\n", table ? table : "no partition table",
			json_get(disk, "guid") ? " " : "", json_get_str(disk, "guid", "")) < 0)
		return -1;
	/* Most of what is said of a table begins with the word. */
	if (add_key(out, strncmp(damage, "damaged", 7) ? "  damaged: " : "  ", disk, "damage", "\n", err) < 0)
		return -1;
	if (parts && json_length(parts) &&
		buf_add_str(out, "  nr      start       size  type           name\n", err) < 0)
		return -1;
	for (size_t i = 0; parts && i < json_length(parts); i++)
		if (add_part(out, json_at(parts, i), err) < 0)
			return -1;
	if (fs && (buf_add_str(out, "  ", err) < 0 || add_fs(out, fs, 2, err) < 0))
		return -1;
	return add_found(out, disk, err);
}
