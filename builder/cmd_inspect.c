/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright inspect`: what an image holds, or what a spec will make. */
#include "builder/command.h"

#include <string.h>
#include <sys/stat.h>

#include "base/crypto_cipher.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/build.h"
#include "builder/command_key.h"
#include "builder/files.h"
#include "builder/map_svg.h"
#include "builder/map_text.h"
#include "fs/probe.h"

struct inspect_options {
	const char *spool_dir, *svg, *against, *luks_pass_file;
	uint64_t timeout;
	bool spec, image, map, deep;
};

#define FIELD(field) offsetof(struct inspect_options, field)

enum { TIMEOUT_S = 600, PASSPHRASE_SIZE = 1024 };

static const struct options_def options[] = {
	{"map", 0, OPTIONS_FLAG, FIELD(map), NULL, "draw where the disk is used (a terminal gets it anyway)", 0,
		0, NULL},
	{"svg", 0, OPTIONS_TEXT, FIELD(svg), "FILE", "write the map as a picture (-: standard output)", 0, 0,
		NULL},
	{"against", 0, OPTIONS_TEXT, FIELD(against), "IMAGE", "mark what differs from another image", 0, 0,
		NULL},
	{"deep", 0, OPTIONS_FLAG, FIELD(deep), NULL, "read xfs, btrfs, LVM and others too, through libguestfs", 0,
		0, NULL},
	{"luks-pass-file", 0, OPTIONS_TEXT, FIELD(luks_pass_file), "FILE",
		"--deep: its first line opens what LUKS encrypts", 0, 0, NULL},
	{"timeout", 0, OPTIONS_NUMBER, FIELD(timeout), "SECONDS",
		"--deep: for all that libguestfs does (default: 600)", 1, 1000000, NULL},
	{"spec", 0, OPTIONS_FLAG, FIELD(spec), NULL, "it is a spec, whatever its name", 0, 0, NULL},
	{"image", 0, OPTIONS_FLAG, FIELD(image), NULL, "it is an image, whatever its name", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_FOLDER, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

struct inspect {
	struct context *ctx;
	const struct inspect_options *o;
	const char *path;
	struct json *doc;          /* owned */
	struct map *maps;          /* of the disks in the document; owned */
	struct map_svg_disk *pictures; /* the same disks; owned */
	size_t nr;
};

/* A terminal gets the map of an image at once; that of a spec takes making its disks. */
static bool wants_map(const struct inspect *in, bool image)
{
	const struct inspect_options *o = in->o;

	return o->map || o->svg || o->against ||
	       (image && (in->ctx->opts.json || context_screen(in->ctx).tty));
}

static int add_text(struct inspect *in, struct buf *out, struct error *err)
{
	const struct context_screen s = context_screen(in->ctx);
	const struct map_screen screen = {s.color, s.unicode, s.width};
	const struct json *disks = json_get(in->doc, "disks");

	for (size_t i = 0; i < (disks ? json_length(disks) : 1); i++) {
		const struct json *disk = disks ? json_at(disks, i) : in->doc;

		if (report_disk_text(disk, out, err) < 0)
			return -1;
		if (i < in->nr && (s.tty || in->o->map || in->o->against) &&
			map_text(&in->maps[i], disk, &screen, out, err) < 0)
			return -1;
	}
	return disks ? report_start_text(in->doc, out, err) : 0;
}

static int add_differences(const struct inspect *in, struct buf *out, struct error *err)
{
	const struct map *m = in->maps;
	char size[NUM_SIZE_TEXT];

	if (!in->o->against || !in->nr)
		return 0;
	if (buf_addf(out, err, "  %llu blocks of 64 KiB (%s) differ from '%s'", (unsigned long long)m->changed,
		    num_format_size(size, m->changed * MAP_UNIT), in->o->against) < 0)
		return -1;
	/* The map has no cells for what lies behind its end. */
	if (m->other_size != m->size &&
		buf_addf(out, err, ", which is %s: %s", m->other_size > m->size ? "larger" : "smaller",
			num_format_size(size, m->other_size)) < 0)
		return -1;
	return buf_add_char(out, '\n', err);
}

static int print(struct inspect *in, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct json *disks = json_get(in->doc, "disks");

	if (!in->ctx->opts.json)
		return add_text(in, &out, err) < 0 || add_differences(in, &out, err) < 0 ?
			       -1 :
			       context_print(&out, err);
	for (size_t i = 0; i < in->nr; i++)
		if (json_set(disks ? json_at(disks, i) : in->doc, "map", map_json(&in->maps[i], err), err) < 0)
			return -1;
	return context_print_json(in->doc, err);
}

static bool svg_to_stdout(const struct inspect *in)
{
	return in->o->svg && !strcmp(in->o->svg, "-");
}

static int write_svg(struct inspect *in, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (!in->o->svg)
		return 0;
	if (map_svg(in->pictures, in->nr, &out, err) < 0)
		return -1;
	return svg_to_stdout(in) ? context_print(&out, err) :
				   file_write_atomic(in->o->svg, out.data, out.len, 0644, false, err);
}

/* A picture on standard output takes the place of the text. */
static int finish(struct inspect *in, struct error *err)
{
	if (write_svg(in, err) < 0)
		return -1;
	return svg_to_stdout(in) ? 0 : print(in, err);
}

static int compare(struct inspect *in, struct map *map, struct dev *dev, struct error *err)
{
	struct progress progress;
	struct map_opts opts = {&progress, context_cancelled};
	struct dev *other = context_open_disk(in->ctx, in->o->against, err), *usage;
	int ret = -1;

	if (!other)
		return -1;
	usage = probe_usage_dev(other, err);
	if (usage) {
		progress_begin(&progress, &in->ctx->progress, "compare", dev->size);
		ret = map_compare(map, dev, usage, &opts, err);
		progress_end(&progress, ret == 0);
	}
	dev_close(usage, NULL);
	dev_close(other, NULL);
	return ret;
}

/* dev knows what is unused. */
static int add_map(struct inspect *in, struct dev *dev, const char *name, const struct json *disk,
	struct error *err)
{
	struct map *map = &in->maps[in->nr];

	in->pictures[in->nr++] = (struct map_svg_disk){name, map, disk};
	if (map_make(map, dev, err) < 0)
		return -1;
	return in->o->against ? compare(in, map, dev, err) : 0;
}

static int make_room(struct inspect *in, size_t nr, struct error *err)
{
	in->maps = calloc(nr + 1, sizeof(*in->maps));
	in->pictures = calloc(nr + 1, sizeof(*in->pictures));
	return in->maps && in->pictures ? 0 : error_nomem(err, "the maps of disks");
}

static int map_image(struct inspect *in, struct dev *dev, struct error *err)
{
	const char *slash = strrchr(in->path, '/');
	struct dev *usage;
	int ret;

	if (!wants_map(in, true))
		return 0;
	usage = probe_usage_dev(dev, err);
	if (!usage || make_room(in, 1, err) < 0) {
		dev_close(usage, NULL);
		return -1;
	}
	ret = add_map(in, usage, slash ? slash + 1 : in->path, in->doc, err);
	dev_close(usage, NULL);
	return ret;
}

static int add_file(struct inspect *in, const struct image *image, struct error *err)
{
	CLEANUP(json_cleanup) struct json *file = json_new_object(err);
	struct stat st;

	if (stat(in->path, &st) < 0 || !S_ISREG(st.st_mode))
		return file ? 0 : -1;
	if (!file || json_set_int(file, "size", (int64_t)image->file_size, err) < 0 ||
		json_set_int(file, "on_disk", (int64_t)st.st_blocks * 512, err) < 0)
		return -1;
	return json_set(in->doc, "file", steal_ptr(&file), err);
}

static int check_files(const struct inspect *in, const struct spec *spec, struct error *err)
{
	struct files f = {0};
	int ret = spec ? files_read_spec(&f, spec, err) : files_read(&f, in->path, "the image", err);

	if (ret == 0)
		ret = files_read(&f, in->o->against, "the image to compare with", err);
	if (ret == 0)
		ret = files_read(&f, in->o->luks_pass_file, "the passphrase", err);
	if (ret == 0 && in->o->svg && !svg_to_stdout(in))
		ret = files_make(&f, in->o->svg, "the picture", FILES_REPLACED, "--svg", err);
	files_release(&f);
	return ret;
}

static int inspect_image(struct inspect *in, struct error *err)
{
	struct format_read_opts opts = context_read_opts(in->ctx);
	char passphrase[PASSPHRASE_SIZE] = "";
	struct guest_disks_opts deep = {
		.cancelled = context_cancelled,
		.limit_s = (unsigned)(in->o->timeout ? in->o->timeout : TIMEOUT_S),
		.key = in->o->luks_pass_file ? passphrase : NULL,
	};
	struct image image;
	int ret;

	opts.spool_dir = in->o->spool_dir ? in->o->spool_dir : opts.spool_dir;
	deep.spool_dir = opts.spool_dir;
	if (check_files(in, NULL, err) < 0 ||
		(deep.key && command_key_passphrase(in->o->luks_pass_file, passphrase, sizeof(passphrase), err) < 0) ||
		format_open(in->path, &opts, true, &image, err) < 0)
		return -1;
	in->doc = report_image_json(&image, in->o->deep ? &deep : NULL, err);
	ret = !in->doc || add_file(in, &image, err) < 0 || map_image(in, image.dev, err) < 0 ? -1 : 0;
	image_close(&image);
	crypto_wipe(passphrase, sizeof(passphrase));
	return ret < 0 ? -1 : finish(in, err);
}

/* The disks are made as for publish, in memory, and looked at. */
static int map_disks(struct inspect *in, struct build *b, struct error *err)
{
	const struct json *disks = json_get(in->doc, "disks");

	if (!wants_map(in, false))
		return 0;
	if (in->o->against && json_length(disks) != 1)
		return error_set(err, ERROR_USAGE, 0, "--against takes a spec with one disk, and '%s' has %zu",
			in->path, json_length(disks));
	if (make_room(in, b->plan.nr_disks, err) < 0)
		return -1;
	for (size_t i = 0; i < b->plan.nr_disks; i++) {
		struct dev *dev;
		int ret;

		if (!plan_has_content(&b->plan.disks[i]))
			continue;
		dev = build_disk(b, i, err);
		if (!dev)
			return -1;
		ret = add_map(in, dev, b->plan.disks[i].spec->device, json_at(disks, in->nr), err);
		dev_close(dev, NULL);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static int plan_spec(struct inspect *in, struct build *b, struct error *err)
{
	const struct build_opts opts = {.spool_dir = in->o->spool_dir};

	if (build_read(b, in->ctx, in->path, &opts, err) < 0 || check_files(in, &b->spec, err) < 0 ||
		build_make(b, in->ctx, err) < 0)
		return -1;
	in->doc = report_plan_json(&b->plan, err);
	return !in->doc || map_disks(in, b, err) < 0 ? -1 : finish(in, err);
}

static void inspect_release(struct inspect *in)
{
	for (size_t i = 0; i < in->nr; i++)
		map_release(&in->maps[i]);
	free(in->maps);
	free(in->pictures);
	json_free(in->doc);
}

static int check_options(const struct inspect *in, bool spec, struct error *err)
{
	const struct inspect_options *o = in->o;

	if (o->spec && o->image)
		return error_set(err, ERROR_USAGE, 0, "--spec and --image exclude each other");
	if (spec && o->deep)
		return error_set(err, ERROR_USAGE, 0,
			"--deep reads an image; '%s' is taken for a spec (--image if it is none)", in->path);
	if (!o->deep && (o->luks_pass_file || o->timeout))
		return error_set(err, ERROR_USAGE, 0, "--luks-pass-file and --timeout are for --deep alone");
	if (svg_to_stdout(in) && (in->ctx->opts.json || o->map))
		return error_set(err, ERROR_USAGE, 0,
			"'--svg -' has standard output for the picture alone; give --svg a file beside %s",
			o->map ? "--map" : "--json");
	return 0;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	struct inspect in = {.ctx = ctx, .o = popts, .path = args->items[0]};
	bool spec = in.o->spec || (!in.o->image && spec_has_name(in.path));
	struct build b = {0};
	int ret;

	if (check_options(&in, spec, err) < 0)
		return -1;
	ret = spec ? plan_spec(&in, &b, err) : inspect_image(&in, err);
	inspect_release(&in);
	if (spec)
		build_release(&b);
	return ret;
}

const struct command cmd_inspect = {
	.name = "inspect",
	.args = "IMAGE|SPEC",
	.summary = "what an image holds, or what a spec will make",
	.description =
		"Shows size, partition table, partitions and file systems with their used and free\n"
		"space, and of an image the operating system, its kernels and how it starts. For a spec (a\n"
		"file that ends in .yaml or .yml) its layers are run and the plan is shown: also how the\n"
		"image starts and what an instance of it would miss. Nothing is written but the picture\n"
		"that --svg names.",
	.options = options,
	.options_size = sizeof(struct inspect_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
