/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright convert`: an image of any format that is read into any that is written, a file or an object in S3. */
#include "builder/command.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/filedev.h"
#include "base/json.h"
#include "base/num.h"
#include "builder/command_format.h"
#include "builder/files.h"
#include "builder/object_out.h"
#include "formats/detect.h"
#include "formats/unpack.h"
#include "fs/probe.h"

struct convert_options {
	const char *from, *to, *name, *architecture, *firmware, *spool_dir;
	struct command_format format;
	bool force, keep_unused, digest, durable;
};

#define FIELD(field) offsetof(struct convert_options, field)

/* As inspect tells them. */
static const char *const readable[] = {
	"raw", "vmdk", "vhd", "qcow2", "ova", "gzip", "zstd", "xz", "bzip2", "lz4", NULL};
static const char *const architectures[] = {"x86_64", "arm64", NULL};
static const char *const firmwares[] = {"bios", "efi", NULL};

static const struct options_def options[] = {
	{"from", 0, OPTIONS_CHOICE, FIELD(from), "FORMAT",
		"refuse IN when it is not of this format; 'raw' takes it as it is, whatever it looks like", 0,
		0, readable},
	{"to", 0, OPTIONS_CHOICE, FIELD(to), "FORMAT", "format of OUT (default: by its suffix)", 0, 0,
		format_names},
	COMMAND_FORMAT_OPTIONS(struct convert_options, format),
	{"name", 0, OPTIONS_TEXT, FIELD(name), "NAME", "the machine's name in an OVA (default: OUT's)", 0,
		0, NULL},
	{"architecture", 0, OPTIONS_CHOICE, FIELD(architecture), "ARCH",
		"the machine's in an OVA: x86_64 (default) or arm64", 0, 0, architectures},
	{"firmware", 0, OPTIONS_CHOICE, FIELD(firmware), "KIND",
		"the machine's in an OVA: bios (default) or efi", 0, 0, firmwares},
	{"force", 'f', OPTIONS_FLAG, FIELD(force), NULL, "replace an object in S3; a file is replaced without it", 0, 0,
		NULL},
	{"keep-unused", 0, OPTIONS_FLAG, FIELD(keep_unused), NULL,
		"keep what lies in blocks that no file system uses", 0, 0, NULL},
	{"digest", 0, OPTIONS_FLAG, FIELD(digest), NULL, "print the SHA-256 of OUT, as sha256sum does", 0,
		0, NULL},
	{"durable", 0, OPTIONS_FLAG, FIELD(durable), NULL,
		"force OUT to the device before it gets its name", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_FOLDER, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

/* One run of the command. */
struct convert {
	struct context *ctx;
	const struct convert_options *o;
	const char *in, *out;
	char *name; /* of the machine; owned */
	const struct format *format;
	struct format_write_opts opts;
	struct object_out object; /* with OUT in S3 */
	struct image image;
	struct dev *known; /* the image with what its file systems do not use; NULL: not asked */
	struct format_result result;
};

static int check_machine(const struct convert *c, struct error *err)
{
	const char *given = c->o->name ? "--name" : c->o->architecture ? "--architecture" :
			    c->o->firmware ? "--firmware" : NULL;

	if (given && !(c->format->flags & FORMAT_MACHINE))
		return error_set(err, ERROR_USAGE, 0, "%s says nothing to the format '%s'", given,
			c->format->name);
	return 0;
}

/* What the machine is called when nobody says: OUT without folder and suffix. */
static int find_name(struct convert *c, struct error *err)
{
	const char *slash = strrchr(c->out, '/');
	const char *base = slash ? slash + 1 : c->out;
	size_t len = strlen(base) - format_suffix_length(c->format, base);

	c->name = c->o->name ? buf_strf(err, "%s", c->o->name) :
		  !strcmp(c->out, "-") ? buf_strf(err, "disk") : buf_strf(err, "%.*s", (int)len, base);
	c->opts.name = c->name;
	return c->name ? 0 : -1;
}

/* A new file takes OUT's name, which must not be that of a device or of a pipe. */
static int check_out(const struct convert *c, struct error *err)
{
	struct stat st;

	if (!strcmp(c->out, "-") || stat(c->out, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"OUT: '%s' is no regular file: give - as OUT and --to %s, and lead standard output into it", c->out,
		c->format->name);
}

static int check_files(const struct convert *c, struct error *err)
{
	struct files f = {0};
	int ret = strcmp(c->in, "-") ? files_read(&f, c->in, "the image to convert", err) : 0;

	if (!ret && strcmp(c->out, "-") && !object_out_is(c->out))
		ret = files_make(&f, c->out, "the result", FILES_REPLACED, "OUT", err);
	files_release(&f);
	return ret;
}

static int prepare(struct convert *c, struct error *err)
{
	const struct convert_options *o = c->o;

	if (object_out_is(c->out) && object_out_parse(&c->object, c->out, err) < 0)
		return -1;
	c->format = command_format_find(o->to, c->out, "--to", err);
	if (!c->format || check_machine(c, err) < 0 ||
		command_format_opts(&o->format, c->ctx, c->format, &c->opts, err) < 0 ||
		find_name(c, err) < 0)
		return -1;
	c->opts.architecture = o->architecture;
	c->opts.firmware = o->firmware;
	c->opts.digest = o->digest;
	c->opts.durable = o->durable;
	if (o->spool_dir)
		c->opts.spool_dir = o->spool_dir;
	return check_out(c, err) < 0 ? -1 : check_files(c, err);
}

/* The file that IN is: standard input is copied first, since a disk is not read in order. */
static struct dev *open_file(const struct convert *c, const struct format_read_opts *opts,
	struct error *err)
{
	if (strcmp(c->in, "-"))
		return filedev_open(c->in, err);
	if (isatty(STDIN_FILENO))
		return error_null(err, ERROR_USAGE, 0, "standard input is a terminal: lead an image into it");
	return unpack_spool(STDIN_FILENO, "standard input", opts, err);
}

/* found: what the file itself is; the image may lie in it (a VMDK in an OVA or in gzip's wrapping). */
static int check_from(const struct convert *c, const char *found, struct error *err)
{
	const char *from = c->o->from;

	if (!from || !strcmp(from, found) || !strcmp(from, c->image.format))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' is no %s by its content (%s)", c->in, from,
		strcmp(c->image.format, "unknown") ? c->image.format : "nothing that is known");
}

static int open_input(struct convert *c, struct error *err)
{
	struct format_read_opts opts = context_read_opts(c->ctx);
	const char *name = strcmp(c->in, "-") ? c->in : "standard input";
	const char *found;
	struct dev *file;

	if (c->o->spool_dir)
		opts.spool_dir = c->o->spool_dir;
	opts.apart = !strcmp(c->in, "-");
	file = open_file(c, &opts, err);
	if (!file)
		return -1;
	if (c->o->from && !strcmp(c->o->from, "raw")) {
		c->image = (struct image){.dev = file, .format = "raw"};
		format_warn(&c->image, name);
		return 0;
	}
	if (detect_format(file, &found, err) < 0) {
		dev_close(file, NULL);
		return -1;
	}
	if (format_open_dev(file, name, &opts, &c->image, err) < 0 || check_from(c, found, err) < 0)
		return -1;
	if (image_reads(&c->image, c->out))
		return error_set(err, ERROR_USAGE, 0, "OUT: '%s' is a part of the disk that '%s' names", c->out, c->in);
	format_warn(&c->image, name);
	return 0;
}

static int write_image(struct convert *c, struct dev *dev, struct error *err)
{
	const struct out_opts how = {.digest = c->opts.digest};
	struct out *out;

	if (!c->object.stream)
		return format_write(c->format, dev, c->out, &c->opts, &c->result, err);
	out = object_out_begin(&c->object, &how, err);
	return out ? format_write_out(c->format, dev, out, &c->opts, &c->result, err) : -1;
}

static int write_output(struct convert *c, struct error *err)
{
	struct progress progress;
	struct dev *dev = c->image.dev;
	int ret;

	if (!c->o->keep_unused) {
		c->known = probe_usage_dev(dev, err);
		if (!c->known)
			return -1;
		dev = c->known;
	}
	if (format_check(c->format, &c->opts, dev->size, err) < 0 ||
		command_format_note(c->format, dev->size, err) < 0)
		return -1;
	progress_begin(&progress, &c->ctx->progress, "convert", dev->size);
	c->opts.progress = &progress;
	ret = write_image(c, dev, err);
	progress_end(&progress, !ret);
	return ret;
}

static int result_json(const struct convert *c, const char *hex, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if (!doc || json_set_str(doc, "file", c->out, err) < 0 ||
		(c->object.place.aws && json_set_str(doc, "region", aws_region(c->object.place.aws), err) < 0) ||
		json_set_str(doc, "format", c->format->name, err) < 0 ||
		json_set_str(doc, "from", c->image.format, err) < 0 ||
		json_set_int(doc, "size", (int64_t)c->result.disk_size, err) < 0 ||
		json_set_int(doc, "file_size", (int64_t)c->result.file_size, err) < 0 ||
		json_set_str(doc, "sha256", c->o->digest ? hex : NULL, err) < 0)
		return -1;
	return json_write(doc, true, out, err);
}

/* Where the image itself goes to standard output, what was asked for goes to standard error. */
static int print_result(const struct convert *c, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	char hex[SHA256_HEX_SIZE];
	bool stream = !strcmp(c->out, "-");
	int ret = 0;

	hex_encode(hex, c->result.sha256, SHA256_SIZE);
	if (c->ctx->opts.json)
		ret = result_json(c, hex, &out, err);
	else if (c->o->digest)
		ret = buf_addf(&out, err, "%s  %s\n", hex, c->out);
	else if (!stream)
		ret = buf_addf(&out, err, "%s\n", c->out);
	if (ret < 0)
		return -1;
	return stream ? file_write_all(STDERR_FILENO, buf_str(&out), out.len, "standard error", err) :
			context_print(&out, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	struct convert c = {.ctx = ctx, .o = popts, .in = args->items[0], .out = args->items[1]};
	int ret = prepare(&c, err);

	if (!ret && object_out_is(c.out))
		ret = object_out_open(&c.object, ctx, c.o->force, err);
	if (!ret)
		ret = open_input(&c, err);
	if (!ret)
		ret = write_output(&c, err);
	dev_close(c.known, NULL);
	image_close(&c.image);
	object_out_release(&c.object);
	if (!ret)
		ret = print_result(&c, err);
	free(c.name);
	return ret;
}

const struct command cmd_convert = {
	.name = "convert",
	.args = "IN OUT",
	.summary = "an image into another format",
	.description =
		"Converts between all formats that are read and written. What IN is, is read from its\n"
		"content; OUT's format is that of its suffix, or --to. Zeros are left out or become\n"
		"holes, and so does what no file system of the disk uses. IN may be - for standard input\n"
		"(it is copied to a temporary file first), OUT for standard output, and s3://BUCKET/KEY for\n"
		"an object, which is sent while it is made and appears when it is whole. The same disk and\n"
		"options give the same bytes.",
	.options = options,
	.options_size = sizeof(struct convert_options),
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
