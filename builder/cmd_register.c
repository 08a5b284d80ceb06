/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright register`: snapshots that are there into an AMI. */
#include "builder/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "builder/command_tags.h"
#include "builder/report.h"

struct register_options {
	const char *name, *description, *arch, *root_device, *boot_mode, *imds, *tpm;
	struct options_list snapshots, maps, tags;
	bool no_ena, sriov, dry_run;
};

#define FIELD(field) offsetof(struct register_options, field)

static const char *const architectures[] = {"x86_64", "arm64", NULL};
static const char *const boot_modes[] = {"legacy-bios", "uefi", "uefi-preferred", NULL};
static const char *const version_2[] = {"v2.0", NULL};

static const struct options_def options[] = {
	{"name", 0, OPTIONS_TEXT, FIELD(name), "NAME", "the AMI's name (required)", 0, 0, NULL},
	{"snapshot", 's', OPTIONS_LIST, FIELD(snapshots), "[DEV=]SNAP",
		"a snapshot as volume; without DEV as root device; may be given many times", 0, 0, NULL},
	{"map", 0, OPTIONS_LIST, FIELD(maps), "DEV=WHAT",
		"one device: SNAP[:GIB[:TYPE]], :GIB[:TYPE] (an empty volume), ephemeral0 or none; may be "
		"given many times", 0, 0, NULL},
	{"root-device", 0, OPTIONS_TEXT, FIELD(root_device), "DEV",
		"root device name (default: /dev/xvda)", 0, 0, NULL},
	{"arch", 0, OPTIONS_CHOICE, FIELD(arch), "ARCH", "x86_64 (default) or arm64", 0, 0,
		architectures},
	{"boot-mode", 0, OPTIONS_CHOICE, FIELD(boot_mode), "MODE",
		"legacy-bios, uefi or uefi-preferred", 0, 0, boot_modes},
	{"imds", 0, OPTIONS_CHOICE, FIELD(imds), "VERSION",
		"v2.0: instances serve metadata by session tokens only", 0, 0, version_2},
	{"tpm", 0, OPTIONS_CHOICE, FIELD(tpm), "VERSION", "v2.0; needs --boot-mode uefi", 0, 0,
		version_2},
	{"no-ena", 0, OPTIONS_FLAG, FIELD(no_ena), NULL, "the image has no ENA driver", 0, 0, NULL},
	{"sriov", 0, OPTIONS_FLAG, FIELD(sriov), NULL, "the image has the Intel 82599 driver", 0, 0,
		NULL},
	{"description", 'd', OPTIONS_TEXT, FIELD(description), "TEXT", "the AMI's description", 0, 0,
		NULL},
	{"tag", 0, OPTIONS_LIST, FIELD(tags), "KEY=VALUE", "a tag; may be given many times", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check and print the mapping, register nothing", 0, 0, NULL},
	{0},
};

/*
 * Copies what stands before the first of `ends` into out; returns the rest, NULL when it is too
 * long.
 */
static const char *take(const char *text, const char *ends, char *out, size_t size)
{
	size_t len = strcspn(text, ends);

	if (len >= size)
		return NULL;
	memcpy(out, text, len);
	out[len] = '\0';
	return text + len;
}

static int bad_map(const char *text, struct error *err)
{
	return error_set(err, ERROR_USAGE, 0,
		"--map: '%s' is not DEV=SNAP[:GIB[:TYPE]], DEV=:GIB[:TYPE], DEV=ephemeralN or DEV=none",
		text);
}

static void map_init(struct ec2_mapping *m)
{
	memset(m, 0, sizeof(*m));
	m->encrypted = -1;
	m->delete_on_termination = -1;
}

/* SNAP[:GIB[:TYPE]] */
static int parse_volume(const char *what, struct ec2_mapping *m, struct error *err)
{
	char gib[24] = "";
	const char *rest = take(what, ":", m->snapshot, sizeof(m->snapshot));

	m->ebs = true;
	if (rest && *rest == ':')
		rest = take(rest + 1, ":", gib, sizeof(gib));
	if (rest && *rest == ':')
		rest = take(rest + 1, "", m->type, sizeof(m->type));
	if (!rest || (!m->snapshot[0] && !gib[0]))
		return bad_map(what, err);
	if (gib[0] && num_parse(gib, 65536, &m->size_gib, err) < 0)
		return error_wrap(err, "--map: size in GiB");
	return 0;
}

static int parse_map(const char *text, struct ec2_mapping *m, struct error *err)
{
	const char *what = take(text, "=", m->device, sizeof(m->device));

	if (!what || *what != '=' || !m->device[0] || !what[1])
		return bad_map(text, err);
	what++;
	if (!strcmp(what, "none")) {
		m->no_device = true;
		return 0;
	}
	if (!strncmp(what, "ephemeral", 9))
		return take(what, "", m->virtual_name, sizeof(m->virtual_name)) ? 0 : bad_map(text, err);
	return parse_volume(what, m, err);
}

static int parse_snapshot(const char *text, const char *root, struct ec2_mapping *m,
	struct error *err)
{
	const char *id = strchr(text, '=');

	id = id ? id + 1 : text;
	if (id == text)
		snprintf(m->device, sizeof(m->device), "%s", root);
	else if ((size_t)(id - text) > sizeof(m->device) || id == text + 1)
		return error_set(err, ERROR_USAGE, 0, "--snapshot: '%s' is not [DEV=]SNAP", text);
	else
		snprintf(m->device, sizeof(m->device), "%.*s", (int)(id - text - 1), text);
	if (strncmp(id, "snap-", 5) || !take(id, "", m->snapshot, sizeof(m->snapshot)))
		return error_set(err, ERROR_USAGE, 0, "--snapshot: '%s' is no snapshot id", id);
	m->ebs = true;
	return 0;
}

static int parse_mappings(const struct register_options *o, const char *root,
	struct ec2_mapping **mappings, size_t *nr, struct error *err)
{
	struct ec2_mapping *all = calloc(o->snapshots.nr + o->maps.nr + 1, sizeof(*all));

	*mappings = all;
	*nr = 0;
	if (!all)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < o->snapshots.nr; i++) {
		map_init(&all[*nr]);
		if (parse_snapshot(o->snapshots.items[i], root, &all[(*nr)++], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->maps.nr; i++) {
		map_init(&all[*nr]);
		if (parse_map(o->maps.items[i], &all[(*nr)++], err) < 0)
			return -1;
	}
	return 0;
}

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
			err) < 0 ||
		json_write(doc, true, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static int register_image(struct context *ctx, const struct register_options *o,
	const struct ec2_image_opts *opts, struct error *err)
{
	char ami[EC2_ID_SIZE];
	struct aws *aws;

	if (!opts->name)
		return error_set(err, ERROR_USAGE, 0, "'register' needs --name NAME");
	if (!opts->nr_mappings)
		return error_set(err, ERROR_USAGE, 0, "'register' needs --snapshot SNAP");
	if (ec2_check_image(opts, err) < 0)
		return -1;
	if (o->dry_run)
		return print_result(ctx, opts, NULL, err);
	aws = context_aws(ctx, err);
	if (!aws || ec2_register_image(aws, opts, ami, err) < 0)
		return -1;
	return print_result(ctx, opts, ami, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct register_options *o = popts;
	const char *root = o->root_device ? o->root_device : "/dev/xvda";
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	struct command_tags tags = {0};
	struct ec2_image_opts opts = {
		.name = o->name,
		.description = o->description,
		.architecture = o->arch ? o->arch : "x86_64",
		.root_device = root,
		.boot_mode = o->boot_mode,
		.imds = o->imds,
		.tpm = o->tpm,
		.ena = !o->no_ena,
		.sriov = o->sriov,
	};
	int ret;

	(void)args;
	ret = command_tags_parse(&tags, NULL, &o->tags, err);
	if (!ret)
		ret = parse_mappings(o, root, &mappings, &opts.nr_mappings, err);
	opts.mappings = mappings;
	opts.tags = tags.items;
	opts.nr_tags = tags.nr;
	if (!ret)
		ret = register_image(ctx, o, &opts, err);
	command_tags_release(&tags);
	return ret;
}

const struct command cmd_register = {
	.name = "register",
	.args = "",
	.summary = "snapshots to an AMI",
	.description = "Registers an AMI from snapshots with a block device mapping. Prints its id.",
	.options = options,
	.options_size = sizeof(struct register_options),
	.run = run,
};
