/* SPDX-License-Identifier: Apache-2.0 */
/* Disks for `boot` from a spec. */
#include "builder/boot_source_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "builder/plan_internal.h"
#include "formats/raw.h"

/* What is known before the layers: a mode that is asked for, and loaders that know UEFI alone. */
static const char *early_mode(const struct spec *s)
{
	bool uefi = s->boot.loader && (!strcmp(s->boot.loader, "uki") ||
					      !strcmp(s->boot.loader, "systemd-boot"));

	return uefi ? "uefi" : plan_asked_mode(s);
}

int boot_source_look_spec(struct boot_source *s, struct context *ctx, struct files *files,
	struct error *err)
{
	struct build_opts opts = {.spool_dir = s->opts->spool_dir};
	const struct spec *spec = &s->build.spec;
	const struct spec_disk *root;

	if (build_read(&s->build, ctx, s->what, &opts, err) < 0 ||
		files_read_spec(files, spec, err) < 0)
		return -1;
	root = spec->nr_disks ? &spec->disks[plan_root_disk(spec)] : NULL;
	if (!root || !plan_spec_has_content(root))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' has no disk with a root file system: nothing to boot", s->what);
	if (!root->table && !s->opts->kernel)
		return error_set(err, ERROR_USAGE, 0,
			"the root disk of '%s' has no partition table: no firmware could start it; "
			"--kernel would start a kernel with it as a volume", s->what);
	if (root->size_kind == SPEC_SIZE_BYTES &&
		boot_source_check_size(s, s->what, root->size, err) < 0)
		return -1;
	return boot_source_choose(s, spec->architecture, early_mode(spec), false, err);
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

static int build_one(struct boot_source *s, struct context *ctx, size_t index, uint64_t size,
	struct error *err)
{
	struct boot_disk *d = boot_source_add(s, s->build.spec.disks[index].device, err);
	struct dev *dev = d ? build_disk(&s->build, index, err) : NULL;
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
	if (dev_close(dev, ret < 0 ? NULL : err) < 0)
		ret = -1;
	return ret < 0 ? -1 : boot_source_set_size(d->file, size, true, err);
}

/* The root disk, then the others in their order. */
static int build_all(struct boot_source *s, struct context *ctx, const struct ec2_mapping *mappings,
	struct error *err)
{
	const struct plan *p = &s->build.plan;

	for (size_t n = 0; n < p->nr_disks; n++) {
		size_t i = !n ? p->root_disk : n <= p->root_disk ? n - 1 : n;
		const struct ec2_mapping *m = &mappings[i];
		uint64_t size = !n && s->opts->disk_size ? s->opts->disk_size : m->size_gib * GIB;

		if (m->no_device)
			continue;
		if ((plan_has_content(&p->disks[i]) ? build_one(s, ctx, i, size, err) :
						      boot_source_add_empty(s, m, err)) < 0)
			return -1;
	}
	return 0;
}

int boot_source_make_spec(struct boot_source *s, struct context *ctx, struct error *err)
{
	CLEANUP_FREE const char **snapshots = NULL;
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	struct ec2_image_opts image = {0};
	struct build *b = &s->build;
	const struct plan_disk *root;

	if (build_make(b, ctx, err) < 0)
		return -1;
	root = &b->plan.disks[b->plan.root_disk];
	snapshots = calloc(b->plan.nr_disks + 1, sizeof(*snapshots));
	if (!snapshots)
		return error_nomem(err, "disks");
	for (size_t i = 0; i < b->plan.nr_disks; i++)
		snapshots[i] = "snap-00000000000000000";
	if (plan_mappings(&b->spec, snapshots, &mappings, err) < 0)
		return -1;
	plan_image(&b->plan, mappings, NULL, 0, &image);
	if (boot_source_check_size(s, s->what, root->size, err) < 0 ||
		boot_source_choose(s, image.architecture, image.boot_mode, has_esp(&root->table), err) < 0)
		return -1;
	return build_all(s, ctx, mappings, err);
}
