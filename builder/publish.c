/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a publication. Nothing in AWS is changed before all that can be found is found. */
#include "builder/publish_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/copy.h"
#include "builder/plan_internal.h"

static int set_regions(struct publish *p, const char *home, struct error *err)
{
	const struct spec *s = &p->build->spec;

	p->regions = calloc(s->ami.nr_copies + 1, sizeof(*p->regions));
	if (!p->regions)
		return error_nomem(err, "the regions");
	p->nr_regions = s->ami.nr_copies + 1;
	p->regions[0].name = home;
	for (size_t i = 0; i < s->ami.nr_copies; i++) {
		const struct spec_copy *copy = &s->ami.copies[i];

		if (!strcmp(copy->region, home))
			return error_set(err, ERROR_USAGE, 0,
				"%s:%u:%u: a copy in %s, where the AMI is registered: leave it out, or "
				"publish with another --region", s->file, copy->place.line,
				copy->place.column, home);
		if (strcmp(ec2_partition_of(copy->region), ec2_partition_of(home)))
			return error_set(err, ERROR_POLICY, 0,
				"%s:%u:%u: nothing is copied from %s (partition %s) to %s (%s)", s->file,
				copy->place.line, copy->place.column, home, ec2_partition_of(home),
				copy->region, ec2_partition_of(copy->region));
		p->regions[i + 1] = (struct publish_region){.name = copy->region, .copy = copy};
	}
	return 0;
}

/* Where nothing can be kept (no home folder, a read-only one) it is NULL, and said. */
static int state_dir(const struct context *ctx, char **dir, struct error *err)
{
	CLEANUP_FREE char *state = context_state_dir(ctx, err);

	*dir = state ? file_join(state, "publish", err) : NULL;
	if (*dir && !file_mkdirs(*dir, 0700, err) && !access(*dir, W_OK | X_OK))
		return 0;
	if (err->kind == ERROR_NOMEM)
		return -1;
	log_warn("an interrupted publication will begin anew, no journal can be kept: %s",
		err->kind != ERROR_NONE ? err->text : *dir);
	error_clear(err);
	free(*dir);
	*dir = NULL;
	return 0;
}

/*
 * The account only names the journal. One that STS does not tell at once (no way to STS from where
 * this runs) is not worth failing for.
 */
int publish_open_journal(struct publish *p, struct error *err)
{
	CLEANUP_FREE char *dir = NULL;
	struct aws *aws = context_aws(p->ctx, err);
	char account[AWS_ACCOUNT_SIZE];
	struct publish_journal_key key = {p->name, p->regions[0].name, account, p->build->spec.file};
	struct error why = ERROR_INIT;

	if (!aws || state_dir(p->ctx, &dir, err) < 0)
		return -1;
	aws_hurry(aws, true);
	if (dir && aws_account(aws, account, &why) < 0) {
		log_debug("the account is not known: %s", why.text);
		key.account = NULL;
	}
	aws_hurry(aws, false);
	return publish_journal_open(&p->journal, dir, &key, err);
}

int publish_begin(struct publish *p, struct build *b, struct context *ctx, bool offline,
	struct error *err)
{
	const char *home = ctx->opts.region ? ctx->opts.region : "the region";

	memset(p, 0, sizeof(*p));
	p->journal = (struct publish_journal)PUBLISH_JOURNAL_INIT;
	p->build = b;
	p->ctx = ctx;
	p->disks = calloc(b->spec.nr_disks + 1, sizeof(*p->disks));
	if (!p->disks)
		return error_nomem(err, "the publication");
	if (plan_ami_name(&b->spec, b->spec.epoch, p->name, err) < 0)
		return -1;
	p->offline = offline;
	if (!offline) {
		struct aws *aws = context_aws(ctx, err);

		if (!aws)
			return -1;
		home = aws_region(aws);
	}
	return set_regions(p, home, err);
}

static bool is_copy_of(const struct ec2_image *image, const char *region, const char *source)
{
	const char *tag = ec2_tag_value(&image->tags, COPY_TAG);
	size_t len = strlen(region);

	if (tag && !strncmp(tag, region, len) && tag[len] == '/' && !strcmp(tag + len + 1, source))
		return true;
	return !strcmp(image->source, source) && !strcmp(image->source_region, region);
}

/* The name must be free there, or be that of a copy of the AMI that is there at home. */
static int check_copy_name(struct publish *p, const struct publish_region *region, struct error *err)
{
	const char *home = p->same_name.nr ? p->same_name.items[0].id : NULL;
	struct ec2_filter by_name = {"name", p->name};
	struct aws *aws = context_aws_in(p->ctx, region->name, err);
	struct ec2_image_list list = {0};
	int ret = aws ? ec2_describe_images(aws, NULL, &by_name, 1, &list, err) : -1;

	for (size_t i = 0; i < list.nr && !ret; i++)
		if (!home || !is_copy_of(&list.items[i], p->regions[0].name, home))
			ret = error_set(err, ERROR_POLICY, 0,
				"the name '%s' is taken in %s by %s, which is no copy of this AMI: raise "
				"'version' in '%s', or deregister that image", p->name, region->name,
				list.items[i].id, p->build->spec.file);
	ec2_image_list_release(&list);
	return ret;
}

int publish_check(struct publish *p, struct error *err)
{
	struct ec2_filter by_name = {"name", p->name};
	struct aws *aws = context_aws(p->ctx, err);

	if (!aws || ec2_describe_images(aws, NULL, &by_name, 1, &p->same_name, err) < 0)
		return -1;
	for (size_t i = 1; i < p->nr_regions; i++)
		if (check_copy_name(p, &p->regions[i], err) < 0)
			return -1;
	return publish_judge(p, err);
}

int publish_make_tags(struct publish *p, const char *content, const char *upload, struct error *err)
{
	const struct spec *s = &p->build->spec;
	size_t nr = s->ami.nr_tags;

	free(p->tags);
	p->tags = calloc(nr + PUBLISH_OWN_TAGS, sizeof(*p->tags));
	if (!p->tags)
		return error_nomem(err, "tags");
	for (size_t i = 0; i < nr; i++)
		p->tags[i] = (struct aws_tag){s->ami.tags[i].key, s->ami.tags[i].value};
	p->tags[nr++] = (struct aws_tag){PUBLISH_TAG, content};
	p->tags[nr++] = (struct aws_tag){PUBLISH_NAME_TAG, s->name};
	if (upload)
		p->tags[nr++] = (struct aws_tag){SNAPSHOT_TAG, upload};
	p->nr_tags = nr;
	return 0;
}

static int compare_tags(const void *a, const void *b)
{
	return strcmp(((const struct aws_tag *)a)->key, ((const struct aws_tag *)b)->key);
}

/* The spec's tags by key: their order in the file says nothing. */
static int add_tags(struct publish *p, struct buf *text, struct error *err)
{
	size_t nr = p->build->spec.ami.nr_tags;

	if (publish_make_tags(p, "", NULL, err) < 0)
		return -1;
	qsort(p->tags, nr, sizeof(*p->tags), compare_tags);
	for (size_t i = 0; i < nr; i++)
		if (buf_addf(text, err, "\ntag %zu %s %zu %s", strlen(p->tags[i].key), p->tags[i].key,
			    strlen(p->tags[i].value), p->tags[i].value) < 0)
			return -1;
	return 0;
}

/* Copies, sharing and deprecation may change without making it another AMI. */
static int add_encryption(const struct spec *s, struct buf *text, struct error *err)
{
	if (!s->ami.encrypt && !s->ami.kms_key)
		return 0;
	return buf_addf(text, err, "\nencrypted %s", s->ami.kms_key ? s->ami.kms_key : "-");
}

/*
 * What distinguishes two AMIs of one name: contents, mapping, attributes; and the tags that the
 * spec gives.
 */
static int image_digest(struct publish *p, struct error *err)
{
	const struct spec *s = &p->build->spec;
	CLEANUP(json_cleanup) struct json *mapping =
		report_mapping_json(p->mappings, s->nr_disks, err);
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	uint8_t digest[SHA256_SIZE];

	if (!mapping || json_write(mapping, false, &text, err) < 0)
		return -1;
	for (size_t i = 0; i < s->nr_disks; i++)
		if (buf_addf(&text, err, "\ndisk %zu %s", i, p->disks[i].content) < 0)
			return -1;
	if (buf_addf(&text, err, "\n%s %s %s %s ena=%d sriov=%d\n%s", s->architecture,
		    p->build->plan.boot_mode ? p->build->plan.boot_mode : "-", s->ami.imds ? s->ami.imds : "-",
		    s->ami.tpm ? s->ami.tpm : "-", s->ami.ena, s->ami.sriov,
		    s->ami.description ? s->ami.description : "") < 0 ||
		add_tags(p, &text, err) < 0 || add_encryption(s, &text, err) < 0 ||
		sha256(text.data, text.len, digest, err) < 0)
		return -1;
	hex_encode(p->content, digest, sizeof(digest));
	return 0;
}

static void take_snapshot_of(const struct ec2_image *image, const char *device,
	struct publish_disk *disk)
{
	for (size_t i = 0; i < image->nr_mappings; i++) {
		const struct ec2_mapping *m = &image->mappings[i];

		if (strcmp(m->device, device) || !m->snapshot[0])
			continue;
		memcpy(disk->snapshot, m->snapshot, sizeof(disk->snapshot));
		disk->reused = true;
	}
}

/* Sets the home region's AMI when the image of this name is the one that would be made. */
static int check_same_name(struct publish *p, struct error *err)
{
	const struct ec2_image *image;
	const char *tag;

	if (!p->same_name.nr)
		return 0;
	image = &p->same_name.items[0];
	tag = ec2_tag_value(&image->tags, PUBLISH_TAG);
	if (!tag || strcmp(tag, p->content))
		return error_set(err, ERROR_POLICY, 0,
			"the name '%s' is taken by %s, which %s: raise 'version' in '%s', or "
			"deregister that image", p->name, image->id,
			tag ? "holds other content" : "does not say what it holds",
			p->build->spec.file);
	snprintf(p->regions[0].ami, sizeof(p->regions[0].ami), "%s", image->id);
	for (size_t i = 0; i < p->build->spec.nr_disks; i++)
		take_snapshot_of(image, p->mappings[i].device, &p->disks[i]);
	p->existing = p->regions[0].existing = true;
	return 0;
}

static int set_mappings(struct publish *p, struct error *err)
{
	CLEANUP_FREE const char **ids = calloc(p->build->spec.nr_disks + 1, sizeof(*ids));

	if (!ids)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < p->build->spec.nr_disks; i++)
		ids[i] = p->disks[i].snapshot;
	free(p->mappings);
	p->mappings = NULL;
	return plan_mappings(&p->build->spec, ids, &p->mappings, err);
}

bool publish_is_refusal(const struct error *err)
{
	return err->kind == ERROR_SERVICE && err->http_status >= 400 && err->http_status < 500;
}

/* One that may have been made all the same stays in the journal. */
static int request(struct publish *p, struct aws *aws, const struct ec2_image_opts *opts,
	struct publish_region *home, struct error *err)
{
	struct publish_made intent = {PUBLISH_IMAGE, home->name, "", NULL};
	struct error why = ERROR_INIT;

	if (publish_journal_intend(&p->journal, PUBLISH_IMAGE, home->name, err) < 0)
		return -1;
	if (!ec2_register_image(aws, opts, home->ami, err))
		return 0;
	if (publish_is_refusal(err) && publish_journal_gone(&p->journal, &intent, &why) < 0)
		log_warn("%s", why.text);
	return -1;
}

static int register_image(struct publish *p, struct error *err)
{
	struct publish_region *home = &p->regions[0];
	struct publish_made made = {PUBLISH_IMAGE, home->name, home->ami, NULL};
	struct ec2_image_opts opts;
	struct aws *aws = context_aws(p->ctx, err);
	uint64_t start = context_now_ms();

	if (!aws || set_mappings(p, err) < 0 || publish_make_tags(p, p->content, NULL, err) < 0)
		return -1;
	plan_image(&p->build->plan, p->mappings, p->tags, p->nr_tags, &opts);
	if (request(p, aws, &opts, home, err) < 0)
		return -1;
	report_time(&p->build->times, "register", context_now_ms() - start);
	return publish_journal_made(&p->journal, &made, err);
}

int publish_look(struct publish *p, struct error *err)
{
	for (size_t i = 0; i < p->build->plan.nr_disks; i++)
		if (plan_has_content(&p->build->plan.disks[i]) && publish_hash(p, i, err) < 0)
			return -1;
	if (set_mappings(p, err) < 0 || image_digest(p, err) < 0 || check_same_name(p, err) < 0)
		return -1;
	for (size_t i = 0; i < p->build->plan.nr_disks && !p->existing && !p->offline; i++)
		if (plan_has_content(&p->build->plan.disks[i]) && publish_find_snapshot(p, i, err) < 0)
			return -1;
	return set_mappings(p, err);
}

static int make_image(struct publish *p, struct error *err)
{
	for (size_t i = 0; i < p->build->plan.nr_disks; i++)
		if (plan_has_content(&p->build->plan.disks[i]) && !p->disks[i].snapshot[0] &&
			publish_upload(p, i, err) < 0)
			return -1;
	return register_image(p, err);
}

static bool is_used(const struct publish *p, const struct publish_made *made)
{
	for (size_t i = 0; i < p->nr_regions; i++)
		if (!strcmp(p->regions[i].ami, made->id))
			return true;
	for (size_t i = 0; i < p->build->spec.nr_disks; i++)
		if (!strcmp(p->disks[i].snapshot, made->id))
			return true;
	return !made->id[0];
}

/* What earlier runs made and this one did not use (the spec changed) is not forgotten. */
static int finish(struct publish *p, struct error *err)
{
	struct publish_made made;
	size_t nr = 0;

	while (publish_journal_item(&p->journal, nr, &made)) {
		if (is_used(p, &made)) {
			if (publish_journal_gone(&p->journal, &made, err) < 0)
				return -1;
			continue;
		}
		log_warn("left by an earlier run of this publication: %s in %s; the same command with "
			 "--cleanup removes it", made.id, made.region);
		nr++;
	}
	return nr ? 0 : publish_journal_finish(&p->journal, err);
}

static int run(struct publish *p, struct error *err)
{
	if (publish_look(p, err) < 0 || (!p->existing && make_image(p, err) < 0) ||
		publish_copies(p, err) < 0 || publish_shares(p, err) < 0 || publish_retire(p, err) < 0)
		return -1;
	return finish(p, err);
}

/* What is there now and was not before, so that nobody has to look for it. */
static void say_left(const struct publish *p)
{
	struct publish_made made;
	size_t nr = 0;

	for (; publish_journal_item(&p->journal, nr, &made); nr++)
		log_info("%s in %s: %s%s%s", made.id[0] ? "exists" : "may exist", made.region,
			made.id[0] ? made.id : p->name, made.device ? " for " : "",
			made.device ? made.device : "");
	if (nr)
		log_info("rerun the same command to resume; to remove what exists: the same with --cleanup");
}

int publish_run(struct publish *p, struct error *err)
{
	int ret = run(p, err);

	if (ret < 0)
		say_left(p);
	return ret;
}

void publish_release(struct publish *p)
{
	for (size_t i = 0; p->disks && i < p->build->spec.nr_disks; i++)
		dev_close(p->disks[i].dev, NULL);
	free(p->disks);
	free(p->regions);
	free(p->mappings);
	free(p->tags);
	ec2_image_list_release(&p->same_name);
	if (p->build)
		publish_journal_close(&p->journal);
	memset(p, 0, sizeof(*p));
}
