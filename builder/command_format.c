/* SPDX-License-Identifier: Apache-2.0 */
/* From the words of the command line to what formats/ takes. */
#include "builder/command_format.h"

#include <string.h>

#include "base/log.h"
#include "base/num.h"

static int check_taken(const struct command_format *o, const struct format *f, struct error *err)
{
	const struct {
		const char *name;
		bool given;
		unsigned flag;
	} options[] = {
		{"--level", o->level != 0, FORMAT_LEVEL},
		{"--adapter", o->adapter != NULL, FORMAT_HARDWARE},
		{"--geometry", o->geometry != NULL, FORMAT_HARDWARE},
		{"--hardware-version", o->hardware_version != 0, FORMAT_HARDWARE},
		{"--tools-version", o->tools_version != 0, FORMAT_HARDWARE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].given && !(f->flags & options[i].flag))
			return error_set(err, ERROR_USAGE, 0, "%s says nothing to the format '%s'",
				options[i].name, f->name);
	return 0;
}

/* "1024/16/63" */
static int parse_geometry(const char *text, struct format_write_opts *out, struct error *err)
{
	uint32_t *const parts[] = {
		&out->geometry.cylinders, &out->geometry.heads, &out->geometry.sectors};
	const char *p = text;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t len = strcspn(p, "/");
		CLEANUP_FREE char *part = strndup(p, len);
		uint64_t value;

		if (!part || num_parse(part, UINT32_MAX, &value, NULL) < 0 || !value ||
			(p[len] == '/') != (i + 1 < ARRAY_SIZE(parts)))
			return error_set(err, ERROR_USAGE, 0,
				"--geometry: '%s' is not CYLINDERS/HEADS/SECTORS, like 1024/16/63", text);
		*parts[i] = (uint32_t)value;
		p += len + 1;
	}
	return 0;
}

int command_format_opts(const struct command_format *o, struct context *ctx, const struct format *f,
	struct format_write_opts *out, struct error *err)
{
	bool given;

	*out = (struct format_write_opts){
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
		.spool_dir = context_tmpdir(ctx),
		.level = (int)o->level,
		.adapter = o->adapter,
		.hardware_version = (unsigned)o->hardware_version,
		.tools_version = (unsigned)o->tools_version,
	};
	if (check_taken(o, f, err) < 0 || (o->geometry && parse_geometry(o->geometry, out, err) < 0) ||
		context_epoch(ctx, &given, &out->epoch, err) < 0)
		return -1;
	return format_check(f, out, 0, err);
}

const struct format *command_format_find(const char *name, const char *path, const char *option,
	struct error *err)
{
	const struct format *f = name ? format_find(name) : format_of_path(path);
	CLEANUP_BUF struct buf known = BUF_INIT(0);

	if (f)
		return f;
	for (size_t i = 0; format_names[i]; i++)
		if (buf_addf(&known, err, "%s%s", i ? ", " : "", format_names[i]) < 0)
			return NULL;
	return error_null(err, ERROR_USAGE, 0,
		"the name '%s' says no image format: give %s one of %s", path, option, buf_str(&known));
}

int command_format_note(const struct format *f, uint64_t size, struct error *err)
{
	char had[NUM_SIZE_TEXT], has[NUM_SIZE_TEXT];
	uint64_t rounded = size;

	if (f->disk_size && f->disk_size(size, &rounded, err) < 0)
		return -1;
	if (rounded != size)
		log_info("the disk has %llu bytes (%s) as %s instead of %llu (%s): the format's sizes are coarser",
			(unsigned long long)rounded, num_format_size(has, rounded), f->title,
			(unsigned long long)size, num_format_size(had, size));
	return 0;
}
