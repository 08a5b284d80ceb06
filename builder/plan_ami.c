/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the AMI will be: its name, root device and block device mapping; and the checks that need no
 * tree.
 */
#include "builder/plan_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static const char default_template[] = "{name}-{version}-{arch}";

bool plan_spec_has_content(const struct spec_disk *disk)
{
	return disk->table || disk->nr_partitions || disk->filesystem;
}

bool plan_has_content(const struct plan_disk *disk)
{
	return plan_spec_has_content(disk->spec);
}

size_t plan_root_disk(const struct spec *s)
{
	for (size_t i = 0; i < s->nr_disks; i++)
		if (spec_mounts_root(&s->disks[i]))
			return i;
	for (size_t i = 0; i < s->nr_disks; i++)
		if (plan_spec_has_content(&s->disks[i]))
			return i;
	return 0;
}

/* The value of {word}; NULL for an unknown one. */
static const char *word_value(const struct spec *s, const char *word, size_t len, const char *epoch)
{
	const struct {
		const char *word, *value;
	} words[] = {
		{"name", s->name},
		{"version", s->version},
		{"arch", s->architecture},
		{"epoch", epoch},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i].word) == len && !memcmp(words[i].word, word, len))
			return words[i].value ? words[i].value : "";
	return NULL;
}

static int expand(const struct spec *s, int64_t epoch, const char *template, struct buf *out,
	struct error *err)
{
	char epoch_text[32];

	snprintf(epoch_text, sizeof(epoch_text), "%lld", (long long)epoch);
	while (*template) {
		size_t plain = strcspn(template, "{");
		size_t len;
		const char *value;

		if (buf_add(out, template, plain, err) < 0)
			return -1;
		template += plain;
		if (!*template)
			break;
		len = strcspn(template, "}");
		value = word_value(s, template + 1, len - 1, epoch_text);
		if (!template[len] || !value)
			return error_set(err, ERROR_USAGE, 0,
				"the AMI name knows {name}, {version}, {arch} and {epoch}, not '%.*s'",
				(int)len + (template[len] != '\0'), template);
		if (buf_add_str(out, value, err) < 0)
			return -1;
		template += len + 1;
	}
	return 0;
}

/*
 * The documented set. EC2's own message names fewer: blanks, brackets, quotes and @ are missing
 * there.
 */
static int check_name(const char *name, struct error *err)
{
	size_t len = strlen(name);

	if (len < 3 || len > 128)
		return error_set(err, ERROR_USAGE, 0,
			"AMI name '%s' has %zu characters: EC2 takes 3 to 128", name, len);
	for (const char *c = name; *c; c++) {
		bool alnum = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9');

		if (!alnum && !strchr("()[] ./-'@_", *c))
			return error_set(err, ERROR_USAGE, 0,
				"AMI name '%s' has '%c': EC2 takes letters, digits, blanks and ()[]./-'@_",
				name, *c);
	}
	return 0;
}

int plan_ami_name(const struct spec *s, int64_t epoch, char out[EC2_NAME_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);

	if (expand(s, epoch, s->ami.name ? s->ami.name : default_template, &text, err) < 0 ||
		check_name(buf_str(&text), err) < 0)
		return -1;
	memcpy(out, buf_str(&text), text.len + 1);
	return 0;
}

/* /dev/sda1, /dev/sdf, /dev/xvda, /dev/xvdba; the /dev/ may be left out. */
static bool good_device(const char *device)
{
	const char *d = device;
	size_t letters, digits;
	bool xvd;

	if (!strncmp(d, "/dev/", 5))
		d += 5;
	xvd = !strncmp(d, "xvd", 3);
	if (!xvd && strncmp(d, "sd", 2))
		return false;
	d += xvd ? 3 : 2;
	letters = strspn(d, "abcdefghijklmnopqrstuvwxyz");
	digits = strspn(d + letters, "0123456789");
	return letters >= 1 && letters <= (xvd ? 2 : 1) && digits <= (xvd ? 0 : 2) &&
	       !d[letters + digits];
}

static void check_device(const struct spec_disk *disk, struct diag *d)
{
	if (disk->device && !good_device(disk->device))
		diag_add(d, disk->device_place,
			"'%s' is no device name that EC2 takes: write /dev/xvda, /dev/sda1 or /dev/sdf to "
			"/dev/sdp", disk->device);
}

static void check_tags(const struct spec *s, struct diag *d)
{
	for (size_t i = 0; i < s->ami.nr_tags; i++) {
		const struct spec_tag *tag = &s->ami.tags[i];

		if (strlen(tag->key) > 127 || strlen(tag->value) > 255)
			diag_add(d, tag->place, "a tag's key has at most 127 bytes and its value 255");
		if (!strncasecmp(tag->key, "aws:", 4))
			diag_add(d, tag->place, "tag keys that begin with 'aws:' belong to AWS");
		if (!strncmp(tag->key, "amiwright:", 10))
			diag_add(d, tag->place, "tag keys that begin with 'amiwright:' are set by amiwright");
	}
}

static void map_ebs(const struct spec_disk *disk, const char *snapshot, struct ec2_mapping *m)
{
	const struct spec_ebs *ebs = &disk->ebs;

	m->ebs = true;
	if (snapshot)
		snprintf(m->snapshot, sizeof(m->snapshot), "%s", snapshot);
	m->size_gib = ebs->size / GIB;
	if (disk->empty && !m->size_gib)
		m->size_gib = disk->size / GIB;
	snprintf(m->type, sizeof(m->type), "%s", ebs->type ? ebs->type : "gp3");
	m->iops = ebs->iops;
	m->throughput = ebs->throughput;
	m->encrypted = disk->empty ? ebs->encrypted : -1;
	m->delete_on_termination = ebs->delete_on_termination;
}

int plan_mappings(const struct spec *s, const char *const *snapshots, struct ec2_mapping **mappings,
	struct error *err)
{
	struct ec2_mapping *all = calloc(s->nr_disks + 1, sizeof(*all));

	if (!all)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < s->nr_disks; i++) {
		const struct spec_disk *disk = &s->disks[i];
		struct ec2_mapping *m = &all[i];

		m->encrypted = -1;
		m->delete_on_termination = -1;
		snprintf(m->device, sizeof(m->device), "%s", disk->device);
		if (disk->no_device)
			m->no_device = true;
		else if (disk->ephemeral >= 0)
			snprintf(m->virtual_name, sizeof(m->virtual_name), "ephemeral%u",
				(unsigned)disk->ephemeral % 100);
		else
			map_ebs(disk, plan_spec_has_content(disk) ? snapshots[i] : NULL, m);
	}
	*mappings = all;
	return 0;
}

void plan_image(const struct plan *p, const struct ec2_mapping *mappings, const struct aws_tag *tags,
	size_t nr_tags, struct ec2_image_opts *out)
{
	const struct spec *s = p->spec;

	memset(out, 0, sizeof(*out));
	out->name = p->ami_name;
	out->description = s->ami.description;
	out->architecture = s->architecture;
	out->root_device = s->disks[p->root_disk].device;
	out->boot_mode = p->boot_mode;
	out->imds = s->ami.imds;
	out->tpm = s->ami.tpm;
	out->ena = s->ami.ena;
	out->sriov = s->ami.sriov;
	out->mappings = mappings;
	out->nr_mappings = s->nr_disks;
	out->tags = tags;
	out->nr_tags = nr_tags;
}

/* What EC2 would refuse and the rules above do not know; snapshots get an id of the right form. */
static int check_image(const struct spec *s, struct diag *d, struct error *err)
{
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	CLEANUP_FREE const char **ids = calloc(s->nr_disks + 1, sizeof(*ids));
	struct plan p = {.spec = s, .root_disk = plan_root_disk(s), .boot_mode = plan_asked_mode(s)};
	struct ec2_image_opts opts;
	struct error e = ERROR_INIT;

	if (!ids)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < s->nr_disks; i++)
		ids[i] = "snap-00000000000000000";
	if (plan_ami_name(s, s->epoch, p.ami_name, err) < 0 ||
		plan_mappings(s, ids, &mappings, err) < 0)
		return -1;
	plan_image(&p, mappings, NULL, 0, &opts);
	if (!ec2_check_image(&opts, &e))
		return 0;
	if (e.kind == ERROR_NOMEM) {
		*err = e;
		return -1;
	}
	diag_add(d, s->ami.place.line ? s->ami.place : s->disks_place, "%s", e.text);
	return 0;
}

int plan_check_spec(const struct spec *s, struct diag *d, struct error *err)
{
	struct diag_place name_place = s->ami.name_place.line ? s->ami.name_place : s->name_place;
	char name[EC2_NAME_SIZE];
	struct error e = ERROR_INIT;

	if (s->name && s->version && s->architecture && plan_ami_name(s, s->epoch, name, &e) < 0) {
		if (e.kind != ERROR_USAGE) {
			*err = e;
			return -1;
		}
		diag_add(d, name_place, "%s", e.text);
	}
	if (s->ami.description && strlen(s->ami.description) > 255)
		diag_add(d, s->ami.place, "'description' is longer than the 255 bytes that EC2 takes");
	check_tags(s, d);
	for (size_t i = 0; i < s->nr_disks; i++)
		check_device(&s->disks[i], d);
	return d->count ? 0 : check_image(s, d, err);
}
