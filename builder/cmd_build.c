/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright build`: a spec into image files and a manifest. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "builder/build.h"
#include "builder/command_format.h"
#include "builder/files.h"
#include "builder/manifest.h"
#include "builder/plan_internal.h"

struct build_options {
	const char *output, *format, *spool_dir;
	struct command_format image;
	bool unique, no_manifest, durable;
};

#define FIELD(name) offsetof(struct build_options, name)

static const struct options_def options[] = {
	{"output", 'o', OPTIONS_TEXT, FIELD(output), "FILE",
		"image file, - for standard output (default: NAME-VERSION-ARCH and the format's suffix, in "
		"this folder)", 0, 0, NULL},
	{"format", 0, OPTIONS_CHOICE, FIELD(format), "FORMAT",
		"image format (default: by the suffix of FILE, else raw)", 0, 0, format_names},
	COMMAND_FORMAT_OPTIONS(struct build_options, image),
	{"unique", 0, OPTIONS_FLAG, FIELD(unique), NULL,
		"other uuids in each run, for volumes that meet in one machine", 0, 0, NULL},
	{"no-manifest", 0, OPTIONS_FLAG, FIELD(no_manifest), NULL,
		"do not write FILE.manifest.json (and hash nothing)", 0, 0, NULL},
	{"durable", 0, OPTIONS_FLAG, FIELD(durable), NULL,
		"force the files to the device before they get their names", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_FOLDER, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

/* One run of the command. */
struct run {
	struct context *ctx;
	const struct build_options *opts;
	struct build build;
	const struct format *format;
	struct format_write_opts write; /* as the options say; what belongs to a disk is added */
	struct manifest_blocks *blocks; /* one for each disk */
	char **files;                   /* one for each disk; NULL without content */
	char *manifest;                 /* path; NULL when none is written */
};

/* "disk.raw" becomes "disk-sdb.raw". */
static char *further_file(const struct format *f, const char *base, const char *device,
	struct error *err)
{
	const char *slash = strrchr(base, '/');
	const char *dot = strrchr(slash ? slash : base, '.');
	const char *name = strrchr(device, '/');
	size_t suffix = format_suffix_length(f, base);

	name = name ? name + 1 : device;
	if (suffix)
		dot = base + strlen(base) - suffix;
	if (!dot || dot == base || dot[-1] == '/')
		return buf_strf(err, "%s-%s", base, name);
	return buf_strf(err, "%.*s-%s%s", (int)(dot - base), base, name, dot);
}

/*
 * The n-th disk to write and to name: the root disk, which has the name that was asked for, then the
 * others in their order. NULL for one without content.
 */
static const struct spec_disk *nth_disk(const struct run *r, size_t n, size_t *index)
{
	const struct spec *s = &r->build.spec;
	size_t root = plan_root_disk(s);

	*index = !n ? root : n <= root ? n - 1 : n;
	return plan_spec_has_content(&s->disks[*index]) ? &s->disks[*index] : NULL;
}

static bool is_stream(const struct run *r)
{
	return r->opts->output && !strcmp(r->opts->output, "-");
}

/* One pipe takes one image, and has no place beside it. */
static int check_stream(const struct run *r, struct error *err)
{
	size_t index;

	if (!r->opts->no_manifest)
		return error_set(err, ERROR_USAGE, 0,
			"--output - wants --no-manifest: there is no place for it beside standard output");
	if (r->ctx->opts.json)
		return error_set(err, ERROR_USAGE, 0,
			"--output - does not go with --json: standard output has the image");
	for (size_t n = 1; n < r->build.spec.nr_disks; n++)
		if (nth_disk(r, n, &index))
			return error_set(err, ERROR_USAGE, 0,
				"'%s' has several disks with content, and standard output takes one: "
				"give --output a file", r->build.spec.file);
	return 0;
}

static int name_files(struct run *r, struct error *err)
{
	const struct spec *s = &r->build.spec;
	CLEANUP_FREE char *base = r->opts->output ?
		buf_strf(err, "%s", r->opts->output) :
		buf_strf(err, "%s-%s-%s%s", s->name, s->version, s->architecture, r->format->suffixes[0]);

	r->files = calloc(s->nr_disks + 1, sizeof(*r->files));
	r->blocks = calloc(s->nr_disks + 1, sizeof(*r->blocks));
	if (!base || !r->files || !r->blocks)
		return error_nomem(err, "file names");
	for (size_t n = 0, i; n < s->nr_disks; n++) {
		const struct spec_disk *disk = nth_disk(r, n, &i);

		if (!disk)
			continue;
		r->files[i] = n ? further_file(r->format, base, disk->device, err) : buf_strf(err, "%s", base);
		if (!r->files[i])
			return -1;
	}
	if (!s->nr_disks || !r->files[plan_root_disk(s)])
		return error_set(err, ERROR_USAGE, 0, "'%s' has no disk with content: nothing to build",
			s->file);
	if (is_stream(r) && check_stream(r, err) < 0)
		return -1;
	if (!r->opts->no_manifest)
		r->manifest = buf_strf(err, "%s.manifest.json", base);
	return r->opts->no_manifest || r->manifest ? 0 : -1;
}

/* Layers may take minutes: what would make the end fail is found before them where it can be. */
static int check_files(const struct run *r, struct files *f, struct error *err)
{
	if (files_read_spec(f, &r->build.spec, err) < 0)
		return -1;
	for (size_t n = 0, i; !is_stream(r) && n < r->build.spec.nr_disks; n++)
		if (nth_disk(r, n, &i) &&
			files_make(f, r->files[i], "the image of another disk", FILES_REPLACED, "--output",
				err) < 0)
			return -1;
	return !r->manifest ? 0 :
		files_make(f, r->manifest, "the manifest", FILES_REPLACED, "--output", err);
}

static int check_output(const struct run *r, struct error *err)
{
	struct files f = {0};
	int ret = check_files(r, &f, err);

	files_release(&f);
	return ret;
}

static int write_disk(struct run *r, size_t index, struct error *err)
{
	struct progress progress;
	struct format_write_opts opts = r->write;
	const char *mode = r->build.plan.boot_mode;
	struct format_result result;
	struct dev *dev = build_disk(&r->build, index, err);
	uint64_t start = context_now_ms();
	int ret;

	if (!dev)
		return -1;
	opts.progress = &progress;
	opts.firmware = mode && !strncmp(mode, "uefi", 4) ? "efi" : "bios";
	opts.block = r->opts->no_manifest ? NULL : manifest_add_block;
	opts.block_arg = &r->blocks[index];
	progress_begin(&progress, &r->ctx->progress, "write", dev->size);
	ret = command_format_note(r->format, dev->size, err);
	if (!ret)
		ret = format_write(r->format, dev, r->files[index], &opts, &result, err);
	progress_end(&progress, !ret);
	if (dev_close(dev, ret < 0 ? NULL : err) < 0)
		ret = -1;
	report_time(&r->build.times, "write", context_now_ms() - start);
	return ret;
}

static int write_manifest(struct run *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = manifest_make(&r->build, r->blocks, err);
	CLEANUP_BUF struct buf text = BUF_INIT(1u << 30);

	if (!doc || json_write(doc, true, &text, err) < 0)
		return -1;
	return file_write_atomic(r->manifest, text.data, text.len, 0644, r->opts->durable, err);
}

static struct json *result_json(const struct run *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *images = json_new_array(err);

	if (!doc || !images)
		return NULL;
	for (size_t i = 0; i < r->build.plan.nr_disks; i++) {
		CLEANUP(json_cleanup) struct json *image = NULL;

		if (!r->files[i])
			continue;
		image = report_disk_json(&r->build.plan, i, err);
		if (!image || json_set_str(image, "file", r->files[i], err) < 0 ||
			json_append(images, steal_ptr(&image), err) < 0)
			return NULL;
	}
	if (json_set(doc, "images", steal_ptr(&images), err) < 0 ||
		json_set_str(doc, "manifest", r->manifest, err) < 0 ||
		json_set(doc, "timings", report_times_json(&r->build.times, err), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

static int print_result(const struct run *r, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (is_stream(r))
		return 0;
	if (r->ctx->opts.json) {
		CLEANUP(json_cleanup) struct json *doc = result_json(r, err);

		if (!doc || json_write(doc, true, &out, err) < 0)
			return -1;
	} else {
		for (size_t n = 0, i; n < r->build.plan.nr_disks; n++)
			if (nth_disk(r, n, &i) && buf_addf(&out, err, "%s\n", r->files[i]) < 0)
				return -1;
	}
	return context_print(&out, err);
}

/*
 * A failed or interrupted run leaves none of its files, so that no half of a set is taken for the
 * whole.
 */
static void remove_files(const struct run *r, size_t nr)
{
	for (size_t i = 0; !is_stream(r) && i < nr; i++)
		if (r->files[i])
			unlink(r->files[i]);
}

static int write_all(struct run *r, struct error *err)
{
	size_t i;

	for (i = 0; i < r->build.plan.nr_disks; i++)
		if (r->files[i] && write_disk(r, i, err) < 0)
			break;
	if (i == r->build.plan.nr_disks && (!r->manifest || !write_manifest(r, err)))
		return 0;
	remove_files(r, i);
	return -1;
}

/* The format, and what it is to be told of the machine. */
static int choose_format(struct run *r, struct error *err)
{
	const struct build_options *o = r->opts;
	const struct format *by_name = o->output ? format_of_path(o->output) : NULL;

	r->format = o->format ? format_find(o->format) : by_name ? by_name : format_find("raw");
	if (command_format_opts(&o->image, r->ctx, r->format, &r->write, err) < 0)
		return -1;
	r->write.durable = o->durable;
	if (o->spool_dir)
		r->write.spool_dir = o->spool_dir;
	return 0;
}

/* Known once the spec is read: the machine that an OVA describes. */
static void describe_machine(struct run *r)
{
	const struct spec *s = &r->build.spec;

	r->write.name = s->name;
	r->write.architecture = s->architecture;
	r->write.epoch = s->epoch;
}

static int run_build(struct run *r, const char *spec, struct error *err)
{
	struct build_opts opts = {.spool_dir = r->opts->spool_dir, .unique = r->opts->unique};

	if (choose_format(r, err) < 0 || build_read(&r->build, r->ctx, spec, &opts, err) < 0)
		return -1;
	describe_machine(r);
	if (name_files(r, err) < 0 || check_output(r, err) < 0 || build_make(&r->build, r->ctx, err) < 0 ||
		write_all(r, err) < 0)
		return -1;
	report_times_log(&r->build.times);
	return print_result(r, err);
}

static int run(struct context *ctx, const void *opts, const struct options_args *args,
	struct error *err)
{
	struct run r = {.ctx = ctx, .opts = opts};
	int ret = run_build(&r, args->items[0], err);

	for (size_t i = 0; i < r.build.spec.nr_disks; i++) {
		if (r.files)
			free(r.files[i]);
		if (r.blocks)
			manifest_blocks_release(&r.blocks[i]);
	}
	free(r.files);
	free(r.blocks);
	free(r.manifest);
	build_release(&r.build);
	return ret;
}

const struct command cmd_build = {
	.name = "build",
	.args = "SPEC",
	.summary = "make the image files of a spec",
	.description =
		"Builds the disks of a spec as image files, raw ones by default: FILE is the root disk,\n"
		"further disks with content get -DEVICE before its suffix. Beside it comes\n"
		"FILE.manifest.json: inputs, partitions, the digest of each 512 KiB block, packages.\n"
		"Prints the names of the files, the root disk's first. The same spec, inputs and epoch\n"
		"give the same bytes.",
	.options = options,
	.options_size = sizeof(struct build_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
