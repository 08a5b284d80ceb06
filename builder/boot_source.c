/* SPDX-License-Identifier: Apache-2.0 */
/* Disks for `boot` from an image file, a spec or an AMI. */
#include "builder/boot_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "base/program.h"
#include "builder/build.h"
#include "formats/detect.h"
#include "formats/raw.h"
#include "fs/partition.h"
#include "uploader/snapshot_download.h"

/* EPHEMERAL_SIZE: an instance type decides on EC2; the file is sparse. */
#define EPHEMERAL_SIZE (8 * GIB)

enum { MANIFEST_MAX = 64 << 20 };

static struct boot_disk *add_disk(struct boot_source *s, const struct boot_source_opts *o,
	const char *device, struct error *err)
{
	struct boot_disk *d;
	uint8_t random[9];
	char hex[2 * sizeof(random) + 1];

	if (s->nr == s->alloc) {
		struct boot_disk *grown = reallocarray(s->disks, s->alloc + 8, sizeof(*grown));

		if (!grown)
			return error_null(err, ERROR_NOMEM, 0, "out of memory for disks");
		s->disks = grown;
		s->alloc += 8;
	}
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
	d->file = buf_strf(err, "%s/disk%zu", o->folder, s->nr);
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
	*s = (struct boot_source){0};
}

static int check_grown(const char *what, uint64_t have, uint64_t wanted, struct error *err)
{
	char a[NUM_SIZE_TEXT], b[NUM_SIZE_TEXT];

	if (!wanted || wanted >= have)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"--disk-size %s is less than the %s of '%s': a disk can only be made larger",
		num_format_size(a, wanted), num_format_size(b, have), what);
}

/* A file of ours that gets a volume's size. */
static int set_size(const char *file, uint64_t size, bool grow_only, struct error *err)
{
	CLEANUP_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 ||
		((!grow_only || (uint64_t)st.st_size < size) && ftruncate(fd, (off_t)size) < 0))
		return error_set(err, ERROR_IO, errno, "cannot make '%s'", file);
	return 0;
}

/* What is told wins, then what is known of it (may be NULL or ""), then the partitions. */
static int choose(struct boot_source *s, const struct boot_source_opts *o, const char *architecture,
	const char *boot_mode, bool esp, struct error *err)
{
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
	return 0;
}

/* What partitions tell: an ESP, and the root partition's architecture. */
static int look_at_partitions(struct dev *dev, bool *esp, const char **architecture,
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
		log_warn("%s; is it a whole image?", damage.text);
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

/* The manifest beside an image, or NULL without error when there is none. */
static struct json *read_manifest(const char *image, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s.manifest.json", image);
	CLEANUP_BUF struct buf text = BUF_INIT(MANIFEST_MAX);

	if (!path || access(path, F_OK) < 0)
		return NULL;
	if (file_read(path, &text, err) < 0)
		return NULL;
	return json_parse(buf_str(&text), text.len, path, err);
}

/* An overlay takes what the guest writes. */
static int add_image(struct boot_source *s, const struct boot_source_opts *o, const char *path,
	const char *device, uint64_t have, uint64_t size, struct error *err)
{
	struct boot_disk *d = add_disk(s, o, device, err);
	CLEANUP_FREE char *real = realpath(path, NULL);
	CLEANUP_FREE char *length = buf_strf(err, "%llu",
		(unsigned long long)num_align(size ? size : have, 512));

	if (!d || !length)
		return -1;
	if (!real)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	d->format = "qcow2";
	return program_run(&(struct program_opts){
		.argv = (const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
			"-b", real, d->file, length, NULL},
		.package = "qemu-utils",
		.cancelled = context_cancelled,
	}, err);
}

static int open_image(struct boot_source *s, const char *path, const struct boot_source_opts *o,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *manifest = NULL;
	const char *architecture = NULL;
	struct dev *dev = detect_open(path, err);
	uint64_t size = dev ? dev->size : 0;
	bool esp = false;
	int ret = dev ? look_at_partitions(dev, &esp, &architecture, err) : -1;

	dev_close(dev, NULL);
	if (ret < 0 || check_grown(path, size, o->disk_size, err) < 0)
		return -1;
	error_clear(err);
	manifest = read_manifest(path, err);
	if (!manifest && err->kind != ERROR_NONE)
		return -1;
	if (choose(s, o, json_get_str(manifest, "architecture", architecture),
		    json_get_str(manifest, "boot_mode", NULL), esp, err) < 0)
		return -1;
	return add_image(s, o, path, "/dev/xvda", size, o->disk_size, err);
}

static int open_images(struct boot_source *s, const char *path, const struct boot_source_opts *o,
	struct error *err)
{
	if (open_image(s, path, o, err) < 0)
		return -1;
	for (size_t i = 0; i < o->disks->nr; i++) {
		struct dev *dev = detect_open(o->disks->items[i], err);
		uint64_t size = dev ? dev->size : 0;
		CLEANUP_FREE char *device = buf_strf(err, "/dev/sd%c", (int)('b' + i % 25));

		dev_close(dev, NULL);
		if (!dev || !device || add_image(s, o, o->disks->items[i], device, size, 0, err) < 0)
			return -1;
	}
	return 0;
}

/* A volume without content, of an AMI or a spec. */
static int add_empty(struct boot_source *s, const struct boot_source_opts *o,
	const struct ec2_mapping *m, struct error *err)
{
	struct boot_disk *d = add_disk(s, o, m->device, err);

	if (!d)
		return -1;
	if (*m->virtual_name)
		snprintf(d->mapping.name, sizeof(d->mapping.name), "%s", m->virtual_name);
	return set_size(d->file, m->size_gib ? m->size_gib * GIB : EPHEMERAL_SIZE, false, err);
}

static int build_one(struct boot_source *s, struct context *ctx, struct build *b, size_t index,
	const struct boot_source_opts *o, uint64_t size, struct error *err)
{
	struct boot_disk *d = add_disk(s, o, b->spec.disks[index].device, err);
	struct dev *dev = d ? build_disk(b, index, err) : NULL;
	struct progress progress;
	struct raw_opts opts = {
		.workers = context_workers(ctx),
		.progress = &progress,
		.cancelled = context_cancelled,
	};
	int ret;

	if (!dev)
		return -1;
	progress_begin(&progress, &ctx->progress, "write", dev->size);
	ret = raw_write(dev, d->file, &opts, err);
	progress_end(&progress, !ret);
	if (!ret && index == b->plan.root_disk)
		ret = check_grown(b->spec.file, dev->size, o->disk_size, err);
	if (dev_close(dev, ret < 0 ? NULL : err) < 0)
		ret = -1;
	return ret < 0 ? -1 : set_size(d->file, size, true, err);
}

static int build_all(struct boot_source *s, struct context *ctx, struct build *b,
	const struct boot_source_opts *o, const struct ec2_mapping *mappings, struct error *err)
{
	size_t root = b->plan.root_disk, nr = b->plan.nr_disks;

	if (!plan_has_content(&b->plan.disks[root]))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' has no disk with a root file system: nothing to boot", b->spec.file);
	/* The root disk, then the others in their order. */
	for (size_t n = 0; n < nr; n++) {
		size_t i = !n ? root : n <= root ? n - 1 : n;
		const struct ec2_mapping *m = &mappings[i];
		uint64_t size = i == root && o->disk_size ? o->disk_size : m->size_gib * GIB;

		if (m->no_device)
			continue;
		if ((plan_has_content(&b->plan.disks[i]) ? build_one(s, ctx, b, i, o, size, err) :
							   add_empty(s, o, m, err)) < 0)
			return -1;
	}
	return 0;
}

static bool has_esp(const struct partition_table *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		const char *name = partition_type_name(t->parts[i].type);

		if (name && !strcmp(name, "esp"))
			return true;
	}
	return false;
}

static int open_spec(struct boot_source *s, struct context *ctx, struct build *b, const char *path,
	const struct boot_source_opts *o, struct error *err)
{
	struct build_opts opts = {.spool_dir = o->spool_dir};
	CLEANUP_FREE const char **snapshots = NULL;
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	struct ec2_image_opts image = {0};

	if (build_read(b, ctx, path, &opts, err) < 0 || build_make(b, ctx, err) < 0)
		return -1;
	snapshots = calloc(b->plan.nr_disks + 1, sizeof(*snapshots));
	if (!snapshots)
		return error_nomem(err, "disks");
	for (size_t i = 0; i < b->plan.nr_disks; i++)
		snapshots[i] = "snap-00000000000000000";
	if (plan_mappings(&b->spec, snapshots, &mappings, err) < 0)
		return -1;
	plan_image(&b->plan, mappings, NULL, 0, &image);
	if (choose(s, o, image.architecture, image.boot_mode,
		    has_esp(&b->plan.disks[b->plan.root_disk].table), err) < 0)
		return -1;
	return build_all(s, ctx, b, o, mappings, err);
}

static int download_one(struct boot_source *s, struct context *ctx, struct aws *aws,
	const struct ec2_mapping *m, const struct boot_source_opts *o, struct error *err)
{
	struct boot_disk *d = add_disk(s, o, m->device, err);
	struct snapshot_download_opts opts = {
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
		.progress = &ctx->progress,
	};
	struct snapshot_download_result result;
	uint64_t size = m->size_gib * GIB;

	if (!d || snapshot_download(aws, m->snapshot, d->file, &opts, &result, err) < 0)
		return -1;
	if (s->nr == 1 && o->disk_size) {
		if (check_grown(m->snapshot, MAX(size, result.size_gib * GIB), o->disk_size, err) < 0)
			return -1;
		size = o->disk_size;
	}
	return set_size(d->file, size, true, err);
}

static int download_all(struct boot_source *s, struct context *ctx, struct aws *aws,
	const struct ec2_image *image, const struct boot_source_opts *o, struct error *err)
{
	bool found = false;

	for (int root = 1; root >= 0; root--)
		for (size_t i = 0; i < image->nr_mappings; i++) {
			const struct ec2_mapping *m = &image->mappings[i];

			if (m->no_device || (strcmp(m->device, image->root_device) == 0) != (root == 1))
				continue;
			if (root && !*m->snapshot)
				break;
			if ((*m->snapshot ? download_one(s, ctx, aws, m, o, err) :
					    add_empty(s, o, m, err)) < 0)
				return -1;
			found = found || root;
		}
	if (found)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' has no snapshot for its root device '%s'",
		image->id, image->root_device);
}

static int open_ami(struct boot_source *s, struct context *ctx, const char *ami,
	const struct boot_source_opts *o, struct error *err)
{
	const char *const ids[] = {ami, NULL};
	struct ec2_image_list list = {0};
	struct aws *aws = context_aws(ctx, err);
	bool esp = false;
	const char *architecture = NULL;
	struct dev *dev;
	int ret;

	if (!aws || ec2_describe_images(aws, ids, NULL, 0, &list, err) < 0)
		return -1;
	if (list.nr != 1)
		ret = error_set(err, ERROR_INPUT, 0, "this account has no AMI '%s' here", ami);
	else
		ret = download_all(s, ctx, aws, &list.items[0], o, err);
	dev = ret < 0 ? NULL : detect_open(s->disks[0].file, err);
	if (dev)
		ret = look_at_partitions(dev, &esp, &architecture, err);
	if (dev && !ret)
		ret = choose(s, o, list.items[0].architecture, list.items[0].boot_mode, esp, err);
	if (!dev)
		ret = -1;
	dev_close(dev, NULL);
	ec2_image_list_release(&list);
	snprintf(s->ami_id, sizeof(s->ami_id), "%s", ami);
	return ret;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

int boot_source_open(struct boot_source *s, struct context *ctx, const char *what,
	const struct boot_source_opts *opts, struct error *err)
{
	bool spec = ends_with(what, ".yaml") || ends_with(what, ".yml");
	bool ami = !strncmp(what, "ami-", 4) && access(what, F_OK) < 0;
	struct build b = {0};
	int ret;

	if ((spec || ami) && opts->disks->nr)
		return error_set(err, ERROR_USAGE, 0,
			"--disk goes with an image file: '%s' says its disks itself", what);
	if (ami)
		return open_ami(s, ctx, what, opts, err);
	if (!spec)
		return open_images(s, what, opts, err);
	ret = open_spec(s, ctx, &b, what, opts, err);
	build_release(&b);
	return ret;
}
