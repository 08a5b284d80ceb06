/* SPDX-License-Identifier: Apache-2.0 */
/* Disks for `boot` from an AMI. */
#include "builder/boot_source_internal.h"

#include <string.h>

#include "base/num.h"
#include "uploader/snapshot_download.h"

static bool is_root(const struct ec2_image *image, const struct ec2_mapping *m)
{
	return !m->no_device && !strcmp(m->device, image->root_device);
}

static const struct ec2_mapping *find_root(const struct ec2_image *image)
{
	for (size_t i = 0; i < image->nr_mappings; i++)
		if (is_root(image, &image->mappings[i]) && *image->mappings[i].snapshot)
			return &image->mappings[i];
	return NULL;
}

int boot_source_look_ami(struct boot_source *s, struct context *ctx, struct error *err)
{
	const char *const ids[] = {s->what, NULL};
	const struct ec2_image *image;
	const struct ec2_mapping *root;

	s->aws = context_aws(ctx, err);
	if (!s->aws || ec2_describe_images(s->aws, ids, NULL, 0, &s->images, err) < 0)
		return -1;
	if (s->images.nr != 1)
		return error_set(err, ERROR_INPUT, 0, "this account has no AMI '%s' here", s->what);
	image = &s->images.items[0];
	root = find_root(image);
	if (!root)
		return error_set(err, ERROR_INPUT, 0, "'%s' has no snapshot for its root device '%s'",
			image->id, image->root_device);
	if (boot_source_check_size(s, s->what, root->size_gib * GIB, err) < 0)
		return -1;
	return boot_source_choose(s, image->architecture, image->boot_mode, false, err);
}

static int download_one(struct boot_source *s, struct context *ctx, const struct ec2_mapping *m,
	struct error *err)
{
	struct boot_disk *d = boot_source_add(s, m->device, err);
	struct snapshot_download_opts opts = {
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
		.progress = &ctx->progress,
	};
	struct snapshot_download_result result;
	uint64_t size = m->size_gib * GIB;

	if (!d || snapshot_download(s->aws, m->snapshot, d->file, &opts, &result, err) < 0)
		return -1;
	if (s->nr == 1 && s->opts->disk_size) {
		if (boot_source_check_size(s, m->snapshot, MAX(size, result.size_gib * GIB), err) < 0)
			return -1;
		size = s->opts->disk_size;
	}
	return boot_source_set_size(d->file, size, true, err);
}

/* A boot mode that the AMI does not have is told by its partitions. */
static int make_root(struct boot_source *s, struct context *ctx, const struct ec2_image *image,
	struct error *err)
{
	const char *architecture = NULL;
	bool esp = false;
	struct dev *dev;

	if (download_one(s, ctx, find_root(image), err) < 0)
		return -1;
	dev = boot_source_open_root(s, s->disks[0].file, &esp, &architecture, err);
	if (!dev)
		return -1;
	dev_close(dev, NULL);
	return boot_source_choose(s, image->architecture, image->boot_mode, esp, err);
}

int boot_source_make_ami(struct boot_source *s, struct context *ctx, struct error *err)
{
	const struct ec2_image *image = &s->images.items[0];

	if (make_root(s, ctx, image, err) < 0)
		return -1;
	for (size_t i = 0; i < image->nr_mappings; i++) {
		const struct ec2_mapping *m = &image->mappings[i];

		if (m->no_device || is_root(image, m))
			continue;
		if ((*m->snapshot ? download_one(s, ctx, m, err) : boot_source_add_empty(s, m, err)) < 0)
			return -1;
	}
	return 0;
}
