/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables, and what is the same for all formats. */
#include "formats/format.h"

#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "formats/ova.h"
#include "formats/pack.h"
#include "formats/raw_format.h"
#include "formats/vhd.h"
#include "formats/vmdk.h"

/* A new format is a line here (and its name one below). */
static const struct format *const formats[] = {
	&format_raw,
	&format_raw_gz,
	&format_raw_zst,
	&format_vmdk,
	&format_vmdk_sparse,
	&format_vhd,
	&format_vhd_fixed,
	&format_ova,
};

const char *const format_names[] = {
	"raw",
	"raw.gz",
	"raw.zst",
	"vmdk",
	"vmdk-sparse",
	"vhd",
	"vhd-fixed",
	"ova",
	NULL,
};

_Static_assert(ARRAY_SIZE(format_names) == ARRAY_SIZE(formats) + 1,
	"a format without a name, or a name without one");

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i]->name, name))
			return formats[i];
	return NULL;
}

/* Something must stand before it. */
size_t format_suffix_length(const struct format *f, const char *path)
{
	size_t len = strlen(path), best = 0;

	for (size_t i = 0; f->suffixes[i]; i++) {
		size_t n = strlen(f->suffixes[i]);

		if (n > best && len > n && path[len - n - 1] != '/' &&
			!strcasecmp(path + len - n, f->suffixes[i]))
			best = n;
	}
	return best;
}

const struct format *format_of_path(const char *path)
{
	const struct format *found = NULL;
	size_t best = 0;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		size_t n = format_suffix_length(formats[i], path);

		if (n <= best)
			continue;
		best = n;
		found = formats[i];
	}
	return found;
}

int format_check(const struct format *f, const struct format_write_opts *opts, uint64_t size,
	struct error *err)
{
	uint64_t rounded;

	if (opts->level && (opts->level < 1 || opts->level > f->level_max))
		return error_set(err, ERROR_USAGE, 0, "--level: '%s' has levels from 1 to %d, not %d",
			f->name, f->level_max, opts->level);
	if (f->check && f->check(opts, err) < 0)
		return -1;
	return size && f->disk_size ? f->disk_size(size, &rounded, err) : 0;
}

/* What is to be known before; fills what the result has of it. */
static int begin(const struct format *f, const struct dev *dev, const struct format_write_opts *opts,
	struct format_result *result, struct error *err)
{
	*result = (struct format_result){.file_size = dev->size, .disk_size = dev->size};
	if (format_check(f, opts, dev->size, err) < 0)
		return -1;
	return f->disk_size ? f->disk_size(dev->size, &result->disk_size, err) : 0;
}

int format_write_out(const struct format *f, struct dev *dev, struct out *out,
	const struct format_write_opts *opts, struct format_result *result, struct error *err)
{
	if (begin(f, dev, opts, result, err) < 0 || f->write(dev, out, opts, err) < 0) {
		out_abort(out);
		return -1;
	}
	result->file_size = out_off(out);
	return out_commit(out, result->sha256, err);
}

int format_write(const struct format *f, struct dev *dev, const char *path,
	const struct format_write_opts *opts, struct format_result *result, struct error *err)
{
	const struct out_opts how = {.durable = opts->durable, .digest = opts->digest};
	struct out *out;

	if (begin(f, dev, opts, result, err) < 0)
		return -1;
	if (f->write_file && !opts->digest && strcmp(path, "-"))
		return f->write_file(dev, path, opts, err);
	out = out_open(path, &how, err);
	return out ? format_write_out(f, dev, out, opts, result, err) : -1;
}
