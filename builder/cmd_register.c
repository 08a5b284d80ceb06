/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright register`: snapshots that are there, or a bundle in S3, into an AMI. */
#include "builder/command.h"

#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "builder/bundle_place.h"
#include "builder/command_mapping.h"
#include "builder/command_tags.h"
#include "builder/report.h"
#include "uploader/s3_each.h"

struct register_options {
	const char *name, *description, *arch, *root_device, *boot_mode, *imds, *tpm, *uefi_data,
		*manifest, *virtualization;
	struct options_list snapshots, maps, tags, billing_products;
	bool no_ena, ena, sriov, dry_run;
};

#define FIELD(field) offsetof(struct register_options, field)

static const char *const architectures[] = {"x86_64", "arm64", "i386", NULL};
static const char *const virtualizations[] = {"hvm", "paravirtual", NULL};
static const char *const boot_modes[] = {"legacy-bios", "uefi", "uefi-preferred", NULL};
static const char *const version_2[] = {"v2.0", NULL};

static const struct options_def options[] = {
	{"name", 0, OPTIONS_TEXT, FIELD(name), "NAME", "the AMI's name (required)", 0, 0, NULL},
	{"snapshot", 's', OPTIONS_LIST, FIELD(snapshots), "[DEV=]SNAP",
		"a snapshot as volume; without DEV as root device; may be given many times", 0, 0, NULL},
	{"map", 0, OPTIONS_LIST, FIELD(maps), "DEV=WHAT",
		"one device: SNAP[:GIB[:TYPE[:IOPS[:THROUGHPUT]]]][,keep], :GIB… (an empty volume), "
		"ephemeral0 or none; may be given many times", 0, 0, NULL},
	{"manifest", 0, OPTIONS_TEXT, FIELD(manifest), "LOCATION",
		"an instance-store bundle in S3 as root: BUCKET/PATH/NAME.manifest.xml", 0, 0, NULL},
	{"root-device", 0, OPTIONS_TEXT, FIELD(root_device), "DEV",
		"root device name (default: /dev/xvda)", 0, 0, NULL},
	{"arch", 0, OPTIONS_CHOICE, FIELD(arch), "ARCH",
		"x86_64 (default), arm64 or i386; with --manifest what that says", 0, 0,
		architectures},
	{"virtualization", 0, OPTIONS_CHOICE, FIELD(virtualization), "TYPE",
		"hvm (default) or, with --manifest, paravirtual", 0, 0, virtualizations},
	{"boot-mode", 0, OPTIONS_CHOICE, FIELD(boot_mode), "MODE",
		"legacy-bios, uefi or uefi-preferred", 0, 0, boot_modes},
	{"imds", 0, OPTIONS_CHOICE, FIELD(imds), "VERSION",
		"v2.0: instances serve metadata by session tokens only", 0, 0, version_2},
	{"tpm", 0, OPTIONS_CHOICE, FIELD(tpm), "VERSION", "v2.0; needs --boot-mode uefi", 0, 0,
		version_2},
	{"uefi-data", 0, OPTIONS_TEXT, FIELD(uefi_data), "FILE",
		"UEFI variables (keys of Secure Boot), as a store of uefivars or its base64 text", 0, 0, NULL},
	{"billing-product", 0, OPTIONS_LIST, FIELD(billing_products), "CODE",
		"for accounts that may bill so; may be given many times", 0, 0, NULL},
	{"ena", 0, OPTIONS_FLAG, FIELD(ena), NULL,
		"the image has the ENA driver (the default but with --manifest)", 0, 0, NULL},
	{"no-ena", 0, OPTIONS_FLAG, FIELD(no_ena), NULL, "the image has no ENA driver", 0, 0, NULL},
	{"sriov", 0, OPTIONS_FLAG, FIELD(sriov), NULL, "the image has the Intel 82599 driver", 0, 0,
		NULL},
	{"description", 'd', OPTIONS_TEXT, FIELD(description), "TEXT", "the AMI's description", 0, 0,
		NULL},
	{"tag", 0, OPTIONS_LIST, FIELD(tags), "KEY=VALUE", "a tag; may be given many times", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check, ask EC2 whether it may be done, print the mapping, register nothing", 0, 0, NULL},
	{0},
};

static int print_result(struct context *ctx, const struct ec2_image_opts *opts, const char *ami,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if (!ctx->opts.json) {
		if (ami ? buf_addf(&out, err, "%s\n", ami) < 0 :
			  report_mapping_text(opts->mappings, opts->nr_mappings, &out, err) < 0)
			return -1;
		return context_print(&out, err);
	}
	if (!doc || json_set_str(doc, "ami", ami, err) < 0 ||
		json_set_str(doc, "name", opts->name, err) < 0 ||
		(ctx->aws && json_set_str(doc, "region", aws_region(ctx->aws), err) < 0) ||
		json_set(doc, "mapping", report_mapping_json(opts->mappings, opts->nr_mappings, err),
			err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static bool is_base64(const char *text)
{
	return text[0] && !text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					    "0123456789+/=\r\n \t")];
}

/*
 * EC2 takes the store as base64, which is how GetInstanceUefiData gives it; python-uefivars writes
 * either. Blanks and line ends are taken out. Source of the magic: python-uefivars, format "aws".
 */
static int read_uefi_data(const char *path, struct buf *out, struct error *err)
{
	static const char magic[] = "AMZNUEFI";
	CLEANUP_BUF struct buf raw = BUF_INIT(1 << 20);

	if (file_read(path, &raw, err) < 0)
		return -1;
	if (raw.len >= sizeof(magic) - 1 && !memcmp(raw.data, magic, sizeof(magic) - 1))
		return base64_encode(out, raw.data, raw.len, err);
	if (strlen(buf_str(&raw)) != raw.len || !is_base64(buf_str(&raw)))
		return error_set(err, ERROR_USAGE, 0,
			"--uefi-data: '%s' is neither a variable store for EC2 nor its base64 text", path);
	for (size_t i = 0; i < raw.len; i++)
		if (!strchr(" \t\r\n", raw.data[i]) && buf_add_char(out, raw.data[i], err) < 0)
			return -1;
	return 0;
}

/* What EC2 would find out when it is too late, or say in words of its own. */
static int judge_bundle(const struct bundle_place *b, const struct register_options *o, const struct aws *aws,
	struct error *err)
{
	const char *region = aws_region(b->place.aws);

	if (strcmp(region, aws_region(aws)) != 0)
		return error_set(err, ERROR_USAGE, 0,
			"bucket '%s' is in %s, and the AMI would be in %s: a bundle is registered where its bucket is "
			"(--region %s)",
			b->url.bucket, region, aws_region(aws), region);
	if (b->index.size > BUNDLE_ROOT_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"the image in the bundle has %llu bytes: a root in S3 has at most 10 GiB",
			(unsigned long long)b->index.size);
	if (o->arch && strcmp(o->arch, b->index.architecture) != 0)
		return error_set(err, ERROR_USAGE, 0, "--arch %s: the bundle's manifest says %s", o->arch,
			b->index.architecture);
	return 0;
}

/* EC2 reads parts by their ACL; that they are there can be asked by anybody who may list them. */
static int check_parts(const struct bundle_place *b, struct error *err)
{
	CLEANUP_FREE struct s3_object *objects = calloc(b->index.nr_parts, sizeof(*objects));
	uint64_t total = 0;

	if (!objects)
		return error_nomem(err, "the parts of a bundle");
	if (s3_head_each(&b->place, (const char *const *)b->keys, b->index.nr_parts, objects, err) < 0)
		return -1;
	for (size_t i = 0; i < b->index.nr_parts; i++) {
		if (!objects[i].found)
			return error_set(err, ERROR_INPUT, 0, "s3://%s/%s, a part of the bundle, is not there",
				b->url.bucket, b->keys[i]);
		total += objects[i].size;
	}
	if (total == b->index.bundled_size)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"the bundle's parts have %llu bytes, and its manifest says %llu", (unsigned long long)total,
		(unsigned long long)b->index.bundled_size);
}

static int check_bundle(struct context *ctx, const struct register_options *o, struct ec2_image_opts *opts,
	struct bundle_place *b, struct error *err)
{
	struct aws *aws = context_aws(ctx, err);

	if (!aws || bundle_place_open(b, ctx, opts->location, NULL, err) < 0 || judge_bundle(b, o, aws, err) < 0 ||
		check_parts(b, err) < 0)
		return -1;
	opts->architecture = b->index.architecture;
	log_info("EC2 starts AMIs of bundles on instance types C3, D2, G2, I2, M3 and R3 only");
	return 0;
}

static int register_image(struct context *ctx, bool dry_run, const struct ec2_image_opts *opts,
	struct error *err)
{
	char ami[EC2_ID_SIZE];
	struct aws *aws;

	if (!opts->name)
		return error_set(err, ERROR_USAGE, 0, "'register' needs --name NAME");
	if (!opts->nr_mappings && !opts->location)
		return error_set(err, ERROR_USAGE, 0,
			"'register' needs --snapshot SNAP, --map DEV=SNAP or --manifest LOCATION");
	if (ec2_check_image(opts, err) < 0)
		return -1;
	aws = context_aws(ctx, err);
	if (!aws)
		return -1;
	if (dry_run)
		return ec2_try_register(aws, opts, err) < 0 ? -1 : print_result(ctx, opts, NULL, err);
	if (ec2_register_image(aws, opts, ami, err) < 0)
		return -1;
	return print_result(ctx, opts, ami, err);
}

static void take_options(const struct register_options *o, const char *root,
	struct ec2_image_opts *opts)
{
	*opts = (struct ec2_image_opts){
		.name = o->name,
		.description = o->description,
		.architecture = o->arch ? o->arch : "x86_64",
		/* A bundle's manifest says its root device. */
		.root_device = o->manifest ? o->root_device : root,
		.location = o->manifest,
		.virtualization = o->virtualization,
		.boot_mode = o->boot_mode,
		.imds = o->imds,
		.tpm = o->tpm,
		.ena = o->manifest ? o->ena : !o->no_ena,
		.sriov = o->sriov,
		.billing_products = o->billing_products.items,
		.nr_billing_products = o->billing_products.nr,
	};
}

static int check_options(const struct register_options *o, struct error *err)
{
	if (o->ena && o->no_ena)
		return error_set(err, ERROR_USAGE, 0, "--ena and --no-ena exclude each other");
	for (size_t i = 0; o->manifest && i < o->snapshots.nr; i++)
		if (!strchr(o->snapshots.items[i], '='))
			return error_set(err, ERROR_USAGE, 0,
				"--snapshot %s would be the root device, and the root is in the bundle of --manifest: "
				"name another device, as in --snapshot /dev/sdf=%s",
				o->snapshots.items[i], o->snapshots.items[i]);
	return 0;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct register_options *o = popts;
	const char *root = o->root_device ? o->root_device : "/dev/xvda";
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	CLEANUP_BUF struct buf uefi_data = BUF_INIT(0);
	struct command_tags tags = {0};
	struct bundle_place bundle = {.place = {.aws = NULL}};
	struct ec2_image_opts opts;
	int ret;

	(void)args;
	take_options(o, root, &opts);
	ret = check_options(o, err);
	if (!ret)
		ret = command_tags_parse(&tags, NULL, &o->tags, err);
	if (!ret)
		ret = command_mapping_parse(&o->snapshots, &o->maps, root, &mappings, &opts.nr_mappings,
			err);
	if (!ret && o->uefi_data)
		ret = read_uefi_data(o->uefi_data, &uefi_data, err);
	opts.uefi_data = o->uefi_data ? buf_str(&uefi_data) : NULL;
	opts.mappings = mappings;
	opts.tags = tags.items;
	opts.nr_tags = tags.nr;
	if (!ret && o->manifest && o->name)
		ret = ec2_check_image(&opts, err) < 0 ? -1 : check_bundle(ctx, o, &opts, &bundle, err);
	if (!ret)
		ret = register_image(ctx, o->dry_run, &opts, err);
	command_tags_release(&tags);
	bundle_place_release(&bundle);
	return ret;
}

const struct command cmd_register = {
	.name = "register",
	.args = "",
	.summary = "snapshots to an AMI",
	.description =
		"Registers an AMI from snapshots with a block device mapping, or from a bundle in S3.\n"
		"Prints its id.",
	.options = options,
	.options_size = sizeof(struct register_options),
	.run = run,
};
