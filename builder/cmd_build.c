/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright build`: a spec into raw image files and a manifest. */
#include "builder/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "builder/build.h"
#include "builder/manifest.h"
#include "formats/raw.h"

struct build_options {
	const char *output, *format, *spool_dir;
	bool unique, no_manifest, durable;
};

#define FIELD(name) offsetof(struct build_options, name)

static const char *const formats[] = {"raw", NULL};

static const struct options_def options[] = {
	{"output", 'o', OPTIONS_TEXT, FIELD(output), "FILE",
		"image file (default: NAME-VERSION-ARCH.raw in this folder)", 0, 0, NULL},
	{"format", 0, OPTIONS_CHOICE, FIELD(format), "FORMAT", "image format: raw", 0, 0, formats},
	{"unique", 0, OPTIONS_FLAG, FIELD(unique), NULL,
		"other uuids in each run, for volumes that meet in one machine", 0, 0, NULL},
	{"no-manifest", 0, OPTIONS_FLAG, FIELD(no_manifest), NULL,
		"do not write FILE.manifest.json (and hash nothing)", 0, 0, NULL},
	{"durable", 0, OPTIONS_FLAG, FIELD(durable), NULL,
		"force the files to the device before they get their names", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_TEXT, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

/* One run of the command. */
struct run {
	struct context *ctx;
	const struct build_options *opts;
	struct build build;
	struct manifest_blocks *blocks; /* one for each disk */
	char **files;                   /* one for each disk; NULL without content */
	char *manifest;                 /* path; NULL when none is written */
};

/* "disk.raw" for the first, "disk-sdb.raw" for the second with content. */
static char *disk_file(const char *base, const char *device, bool first, struct error *err)
{
	const char *slash = strrchr(base, '/');
	const char *dot = strrchr(slash ? slash : base, '.');
	const char *name = strrchr(device, '/');

	if (first)
		return buf_strf(err, "%s", base);
	name = name ? name + 1 : device;
	if (!dot || dot == base || dot[-1] == '/')
		return buf_strf(err, "%s-%s", base, name);
	return buf_strf(err, "%.*s-%s%s", (int)(dot - base), base, name, dot);
}

static int name_files(struct run *r, struct error *err)
{
	const struct spec *s = &r->build.spec;
	CLEANUP_FREE char *base = r->opts->output ?
		buf_strf(err, "%s", r->opts->output) :
		buf_strf(err, "%s-%s-%s.raw", s->name, s->version, s->architecture);
	bool first = true;

	r->files = calloc(s->nr_disks, sizeof(*r->files));
	r->blocks = calloc(s->nr_disks, sizeof(*r->blocks));
	if (!base || !r->files || !r->blocks)
		return error_nomem(err, "file names");
	for (size_t i = 0; i < s->nr_disks; i++) {
		if (!plan_has_content(&r->build.plan.disks[i]))
			continue;
		r->files[i] = disk_file(base, s->disks[i].device, first, err);
		if (!r->files[i])
			return -1;
		first = false;
	}
	if (first)
		return error_set(err, ERROR_USAGE, 0, "'%s' has no disk with content: nothing to build",
			s->file);
	if (!r->opts->no_manifest)
		r->manifest = buf_strf(err, "%s.manifest.json", base);
	return r->opts->no_manifest || r->manifest ? 0 : -1;
}

static bool is_same_file(const struct stat *st, const char *path)
{
	struct stat other;

	return path && !stat(path, &other) && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* An image that replaced what it is made from would be a costly slip. */
static int check_replaced(const char *file, const struct stat *st, const struct spec *s,
	struct error *err)
{
	if (S_ISDIR(st->st_mode))
		return error_set(err, ERROR_IO, EISDIR, "cannot create '%s'", file);
	if (is_same_file(st, s->file))
		return error_set(err, ERROR_USAGE, 0,
			"--output: '%s' is the spec: give the image another name", file);
	for (size_t i = 0; i < s->nr_layers; i++) {
		const struct spec_layer *l = &s->layers[i];

		if ((l->kind == SPEC_TAR && is_same_file(st, l->path)) || is_same_file(st, l->from))
			return error_set(err, ERROR_USAGE, 0,
				"--output: '%s' is read by the spec: give the image another name",
				file);
	}
	return 0;
}

/* Layers may take minutes: what would make the end fail is found before them where it can be. */
static int check_output(const struct run *r, struct error *err)
{
	const char *file = r->opts->output ? r->opts->output : "./";
	const char *slash = strrchr(file, '/');
	CLEANUP_FREE char *folder = slash ? buf_strf(err, "%.*s", (int)(slash - file) + 1, file)
					  : buf_strf(err, ".");
	struct stat st;

	if (!folder)
		return -1;
	if (access(folder, W_OK | X_OK) < 0)
		return error_set(err, ERROR_IO, errno, "cannot create '%s'",
			r->opts->output ? file : "an image in this folder");
	if (r->opts->output && !stat(file, &st))
		return check_replaced(file, &st, &r->build.spec, err);
	return 0;
}

static int write_disk(struct run *r, size_t index, struct error *err)
{
	struct progress progress;
	struct raw_opts opts = {
		.workers = context_workers(r->ctx),
		.progress = &progress,
		.durable = r->opts->durable,
		.cancelled = context_cancelled,
		.block = r->opts->no_manifest ? NULL : manifest_add_block,
		.block_arg = &r->blocks[index],
	};
	struct dev *dev = build_disk(&r->build, index, err);
	uint64_t start = context_now_ms();
	int ret;

	if (!dev)
		return -1;
	progress_begin(&progress, &r->ctx->progress, "write", dev->size);
	ret = raw_write(dev, r->files[index], &opts, err);
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

	if (r->ctx->opts.json) {
		CLEANUP(json_cleanup) struct json *doc = result_json(r, err);

		if (!doc || json_write(doc, true, &out, err) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < r->build.plan.nr_disks; i++)
			if (r->files[i] && buf_addf(&out, err, "%s\n", r->files[i]) < 0)
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
	for (size_t i = 0; i < nr; i++)
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

static int run_build(struct run *r, const char *spec, struct error *err)
{
	struct build_opts opts = {.spool_dir = r->opts->spool_dir, .unique = r->opts->unique};

	if (build_read(&r->build, r->ctx, spec, &opts, err) < 0 || check_output(r, err) < 0 ||
		build_make(&r->build, r->ctx, err) < 0 || name_files(r, err) < 0 ||
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

	for (size_t i = 0; i < r.build.plan.nr_disks; i++) {
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
		"Builds the disks of a spec as raw image files, and beside the first one\n"
		"FILE.manifest.json: inputs, partitions, the digest of each 512 KiB block, packages.\n"
		"Further disks with content get -DEVICE before the file's suffix. Prints the names of\n"
		"the files. The same spec, inputs and epoch give the same bytes.",
	.options = options,
	.options_size = sizeof(struct build_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
