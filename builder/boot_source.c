/* SPDX-License-Identifier: Apache-2.0 */
/* What disks of all kinds have in common, and those from image files. */
#include "builder/boot_source_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/filedev.h"
#include "base/num.h"
#include "base/program.h"
#include "builder/qemu.h"
#include "formats/detect.h"
#include "formats/format.h"
#include "fs/partition.h"

/* EPHEMERAL_SIZE: an instance type decides on EC2; the file is sparse. */
#define EPHEMERAL_SIZE (8 * GIB)

enum { MANIFEST_MAX = 64 << 20 };

struct boot_disk *boot_source_add(struct boot_source *s, const char *device, struct error *err)
{
	struct boot_disk *d;
	uint8_t random[9];
	char hex[2 * sizeof(random) + 1];

	if (ARRAY_GROW(s->disks, s->nr + 1, s->alloc, "disks", err) < 0)
		return NULL;
	if (context_random(random, sizeof(random)) < 0)
		return error_null(err, ERROR_IO, 0, "no randomness to be had for a volume's id");
	d = &s->disks[s->nr];
	*d = (struct boot_disk){.format = "raw"};
	snprintf(d->serial, sizeof(d->serial), "vol%.17s", hex_encode(hex, random, sizeof(random)));
	snprintf(d->mapping.device, sizeof(d->mapping.device), "%s", device);
	if (s->nr)
		snprintf(d->mapping.name, sizeof(d->mapping.name), "ebs%u", (unsigned)s->nr % 1000);
	else
		snprintf(d->mapping.name, sizeof(d->mapping.name), "ami");
	d->file = buf_strf(err, "%s/disk%zu", s->folder, s->nr);
	if (!d->file)
		return NULL;
	s->nr++;
	return d;
}

void boot_source_release(struct boot_source *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->disks[i].file);
	free(s->disks);
	free(s->more_sizes);
	build_release(&s->build);
	ec2_image_list_release(&s->images);
	*s = (struct boot_source){0};
}

int boot_source_check_size(const struct boot_source *s, const char *what, uint64_t have,
	struct error *err)
{
	uint64_t wanted = s->opts->disk_size;
	char a[NUM_SIZE_TEXT], b[NUM_SIZE_TEXT];

	if (!wanted || wanted >= have)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"--disk-size %s is less than the %s of '%s': a disk can only be made larger",
		num_format_size(a, wanted), num_format_size(b, have), what);
}

int boot_source_set_size(const char *file, uint64_t size, bool grow_only, struct error *err)
{
	CLEANUP_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 ||
		((!grow_only || (uint64_t)st.st_size < size) && ftruncate(fd, (off_t)size) < 0))
		return error_set(err, ERROR_IO, errno, "cannot make '%s'", file);
	return 0;
}

int boot_source_add_empty(struct boot_source *s, const struct ec2_mapping *m, struct error *err)
{
	struct boot_disk *d = boot_source_add(s, m->device, err);

	if (!d)
		return -1;
	if (*m->virtual_name)
		snprintf(d->mapping.name, sizeof(d->mapping.name), "%s", m->virtual_name);
	return boot_source_set_size(d->file, m->size_gib ? m->size_gib * GIB : EPHEMERAL_SIZE, false, err);
}

int boot_source_choose(struct boot_source *s, const char *architecture, const char *boot_mode,
	bool esp, struct error *err)
{
	const struct boot_source_opts *o = s->opts;

	if (o->architecture)
		architecture = o->architecture;
	if (architecture && !strcmp(architecture, "arm64"))
		s->architecture = QEMU_ARM64;
	if (o->firmware)
		s->firmware = !strcmp(o->firmware, "uefi") ? QEMU_UEFI : QEMU_BIOS;
	else if (s->architecture == QEMU_ARM64)
		s->firmware = QEMU_UEFI;
	else if (boot_mode && *boot_mode)
		s->firmware = !strcmp(boot_mode, "legacy-bios") ? QEMU_BIOS : QEMU_UEFI;
	else
		s->firmware = esp ? QEMU_UEFI : QEMU_BIOS;
	if (s->architecture == QEMU_ARM64 && s->firmware == QEMU_BIOS)
		return error_set(err, ERROR_USAGE, 0, "arm64 has no BIOS: leave out --firmware bios");
	if (program_need(qemu_program(s->architecture), qemu_package(s->architecture), err) < 0)
		return -1;
	return s->firmware == QEMU_BIOS ? 0 :
		qemu_find_uefi(s->architecture, &s->uefi_code, &s->uefi_vars, err);
}

static int look_at_partitions(struct dev *dev, const char *path, bool *esp, const char **architecture,
	struct error *err)
{
	struct partition_table table = {0};
	struct error damage = ERROR_INIT;
	int ret = partition_read(dev, &table, &damage);

	if (ret < 0 && damage.kind != ERROR_INPUT) {
		*err = damage;
		return -1;
	}
	if (ret < 0)
		log_warn("'%s': %s", path, damage.text);
	for (size_t i = 0; i < table.nr; i++) {
		const struct partition *p = &table.parts[i];
		const char *name = table.kind == PARTITION_TABLE_GPT ? partition_type_name(p->type) :
								       NULL;

		if ((name && !strcmp(name, "esp")) ||
			(table.kind == PARTITION_TABLE_MBR && p->mbr_type == 0xef))
			*esp = true;
		if (name && !strcmp(name, "root-arm64"))
			*architecture = "arm64";
	}
	partition_table_release(&table);
	return 0;
}

/* A machine without anything to start would run for ever, saying nothing. */
static int check_starts(struct dev *dev, const char *what, struct error *err)
{
	bool starts;

	if (detect_starts(dev, &starts, err) < 0)
		return -1;
	return starts ? 0 : error_set(err, ERROR_INPUT, 0,
		"'%s' has neither a boot sector nor a partition table: no firmware could start it; "
		"--kernel would start a kernel with it as a volume", what);
}

/* What QEMU calls the format of an image, so that an overlay can stand on it. */
static int find_format(const char *path, const char **qemu, struct error *err)
{
	static const struct {
		const char *ours, *qemu;
	} formats[] = {{"raw", "raw"}, {"unknown", "raw"}, {"vmdk", "vmdk"}, {"vhd", "vpc"}, {"qcow2", "qcow2"}};
	struct dev *dev = filedev_open(path, err);
	const char *format = NULL;
	int ret = dev ? detect_format(dev, &format, err) : -1;

	dev_close(dev, NULL);
	if (ret < 0 || format_refuse(path, format, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		*qemu = formats[i].qemu;
		if (!strcmp(formats[i].ours, format))
			return 0;
	}
	return error_set(err, ERROR_INPUT, 0,
		"'%s' (%s) is no disk that a machine could be given; 'amiwright convert %s OUT.raw' may make one of it",
		path, format, path);
}

struct dev *boot_source_open_root(const struct boot_source *s, const char *path, bool *esp,
	const char **architecture, struct error *err)
{
	const char *qemu;
	struct dev *dev = find_format(path, &qemu, err) < 0 ? NULL :
		format_open_disk(path, NULL, s->opts->kernel, err);

	if (dev && (s->opts->kernel || !check_starts(dev, s->what, err)) &&
		!look_at_partitions(dev, path, esp, architecture, err))
		return dev;
	dev_close(dev, NULL);
	return NULL;
}

/* The manifest beside an image, or NULL without error when there is none. */
static struct json *read_manifest(const char *path, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(MANIFEST_MAX);

	if (access(path, F_OK) < 0)
		return NULL;
	if (file_read(path, &text, err) < 0)
		return NULL;
	return json_parse(buf_str(&text), text.len, path, err);
}

static int look_at_image(struct boot_source *s, struct files *files, struct error *err)
{
	CLEANUP(json_cleanup) struct json *manifest = NULL;
	CLEANUP_FREE char *path = buf_strf(err, "%s.manifest.json", s->what);
	const char *architecture = NULL;
	bool esp = false;
	struct dev *dev = path ? boot_source_open_root(s, s->what, &esp, &architecture, err) : NULL;

	s->image_size = dev ? dev->size : 0;
	dev_close(dev, NULL);
	if (!dev || boot_source_check_size(s, s->what, s->image_size, err) < 0 ||
		files_read(files, s->what, "the image", err) < 0 ||
		files_read(files, path, "the manifest beside the image", err) < 0)
		return -1;
	error_clear(err);
	manifest = read_manifest(path, err);
	if (!manifest && err->kind != ERROR_NONE)
		return -1;
	if (program_need("qemu-img", "qemu-utils", err) < 0)
		return -1;
	return boot_source_choose(s, json_get_str(manifest, "architecture", architecture),
		json_get_str(manifest, "boot_mode", NULL), esp, err);
}

static int look_at_images(struct boot_source *s, struct files *files, struct error *err)
{
	const struct options_list *more = s->opts->disks;

	s->more_sizes = calloc(more->nr + 1, sizeof(*s->more_sizes));
	if (!s->more_sizes)
		return error_nomem(err, "disks");
	if (look_at_image(s, files, err) < 0)
		return -1;
	for (size_t i = 0; i < more->nr; i++) {
		const char *qemu;
		struct dev *dev = find_format(more->items[i], &qemu, err) < 0 ? NULL :
			format_open_disk(more->items[i], NULL, true, err);

		s->more_sizes[i] = dev ? dev->size : 0;
		dev_close(dev, NULL);
		if (!dev || files_read(files, more->items[i], "the image of --disk", err) < 0)
			return -1;
	}
	return 0;
}

/* An overlay takes what the guest writes. */
static int add_image(struct boot_source *s, const char *path, const char *device, uint64_t size,
	struct error *err)
{
	struct boot_disk *d = boot_source_add(s, device, err);
	CLEANUP_FREE char *real = realpath(path, NULL);
	CLEANUP_FREE char *length = buf_strf(err, "%llu", (unsigned long long)num_align(size, 512));

	const char *qemu;

	if (!d || !length || find_format(path, &qemu, err) < 0)
		return -1;
	if (!real)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	d->format = "qcow2";
	return program_run(&(struct program_opts){
		.argv = (const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-F", qemu,
			"-b", real, d->file, length, NULL},
		.package = "qemu-utils",
		.cancelled = context_cancelled,
	}, err);
}

static int add_images(struct boot_source *s, struct error *err)
{
	const struct boot_source_opts *o = s->opts;

	if (add_image(s, s->what, "/dev/xvda", o->disk_size ? o->disk_size : s->image_size, err) < 0)
		return -1;
	for (size_t i = 0; i < o->disks->nr; i++) {
		CLEANUP_FREE char *device = buf_strf(err, "/dev/sd%c", (int)('b' + i % 25));

		if (!device || add_image(s, o->disks->items[i], device, s->more_sizes[i], err) < 0)
			return -1;
	}
	return 0;
}

int boot_source_look(struct boot_source *s, struct context *ctx, const char *what,
	const struct boot_source_opts *opts, struct files *files, struct error *err)
{
	*s = (struct boot_source){.what = what, .opts = opts, .kind = BOOT_IMAGE};
	if (spec_has_name(what))
		s->kind = BOOT_SPEC;
	else if (!strncmp(what, "ami-", 4) && access(what, F_OK) < 0)
		s->kind = BOOT_AMI;
	if (s->kind != BOOT_IMAGE && opts->disks->nr)
		return error_set(err, ERROR_USAGE, 0,
			"--disk goes with an image file: '%s' says its disks itself", what);
	if (s->kind == BOOT_AMI)
		return boot_source_look_ami(s, ctx, err);
	return s->kind == BOOT_SPEC ? boot_source_look_spec(s, ctx, files, err) :
				      look_at_images(s, files, err);
}

int boot_source_make(struct boot_source *s, struct context *ctx, const char *folder, struct error *err)
{
	s->folder = folder;
	if (s->kind == BOOT_AMI)
		return boot_source_make_ami(s, ctx, err);
	return s->kind == BOOT_SPEC ? boot_source_make_spec(s, ctx, err) : add_images(s, err);
}
