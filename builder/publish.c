/* SPDX-License-Identifier: Apache-2.0 */
/* Find, upload, register. Nothing in AWS is changed before all that can be found is found. */
#include "builder/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/content.h"
#include "builder/plan_internal.h"
#include "builder/upload_state.h"

int publish_begin(struct publish *p, struct build *b, struct context *ctx, struct error *err)
{
	struct ec2_filter by_name = {"name", p->name};
	struct aws *aws;

	memset(p, 0, sizeof(*p));
	p->build = b;
	p->ctx = ctx;
	p->disks = calloc(b->spec.nr_disks + 1, sizeof(*p->disks));
	if (!p->disks)
		return error_nomem(err, "the publication");
	if (plan_ami_name(&b->spec, b->spec.epoch, p->name, err) < 0)
		return -1;
	aws = context_aws(ctx, err);
	if (!aws)
		return -1;
	return ec2_describe_images(aws, NULL, &by_name, 1, &p->same_name, err);
}

/* The spec's tags and the one that says what it is. */
static int make_tags(struct publish *p, const char *content, struct error *err)
{
	const struct spec *s = &p->build->spec;

	free(p->tags);
	p->tags = calloc(s->ami.nr_tags + 2, sizeof(*p->tags)); /* one for add_upload_tag() */
	if (!p->tags)
		return error_nomem(err, "tags");
	for (size_t i = 0; i < s->ami.nr_tags; i++)
		p->tags[i] = (struct aws_tag){s->ami.tags[i].key, s->ami.tags[i].value};
	p->tags[s->ami.nr_tags] = (struct aws_tag){PUBLISH_TAG, content};
	p->nr_tags = s->ami.nr_tags + 1;
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

	if (make_tags(p, "", err) < 0)
		return -1;
	qsort(p->tags, nr, sizeof(*p->tags), compare_tags);
	for (size_t i = 0; i < nr; i++)
		if (buf_addf(text, err, "\ntag %zu %s %zu %s", strlen(p->tags[i].key), p->tags[i].key,
			    strlen(p->tags[i].value), p->tags[i].value) < 0)
			return -1;
	return 0;
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
		add_tags(p, &text, err) < 0 ||
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

/* Sets p->ami when the image of this name is the one that would be made. */
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
	snprintf(p->ami, sizeof(p->ami), "%s", image->id);
	for (size_t i = 0; i < p->build->spec.nr_disks; i++)
		take_snapshot_of(image, p->mappings[i].device, &p->disks[i]);
	p->existing = true;
	return 0;
}

static int hash_disk(struct publish *p, size_t index, struct error *err)
{
	struct content_opts opts = {
		.workers = context_workers(p->ctx),
		.progress = &p->ctx->progress,
		.cancelled = context_cancelled,
	};
	struct publish_disk *disk = &p->disks[index];
	uint64_t start;
	int ret;

	disk->dev = build_disk(p->build, index, err);
	if (!disk->dev)
		return -1;
	start = context_now_ms();
	ret = content_digest(disk->dev, &opts, disk->content, err);
	report_time(&p->build->times, "hash", context_now_ms() - start);
	return ret;
}

/* A completed snapshot of ours with this content. */
static int find_snapshot(struct publish *p, size_t index, struct error *err)
{
	struct publish_disk *disk = &p->disks[index];
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	struct aws *aws = context_aws(p->ctx, err);
	size_t nr = 0;

	if (!aws || ec2_find_snapshots(aws, PUBLISH_TAG, disk->content, &list, &nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr && !disk->snapshot[0]; i++) {
		if (strcmp(list[i].state, "completed") || list[i].encrypted)
			continue;
		snprintf(disk->snapshot, sizeof(disk->snapshot), "%s", list[i].id);
		disk->reused = true;
		log_info("%s: %s holds this content already", p->build->spec.disks[index].device,
			disk->snapshot);
	}
	return 0;
}

/* The AMI's tags, and what an interrupted upload is found by. */
static int add_upload_tag(struct publish *p, char name[UPLOAD_NAME_SIZE], const char *content,
	struct error *err)
{
	enum { MAX_TAGS = 50 };

	snprintf(name, UPLOAD_NAME_SIZE, "%.40s", content);
	if (make_tags(p, content, err) < 0)
		return -1;
	if (p->nr_tags < MAX_TAGS)
		p->tags[p->nr_tags++] = (struct aws_tag){SNAPSHOT_TAG, name};
	return 0;
}

/*
 * StartSnapshot answers a token that it has seen with the snapshot of then, even when that is
 * deleted by now. So the token is of this run: what makes a repeat find its snapshot is the tag, or
 * the journal when it was not completed.
 */
static int send(struct publish *p, size_t index, struct error *err)
{
	struct publish_disk *disk = &p->disks[index];
	const char *device = p->build->spec.disks[index].device;
	struct aws *aws = context_aws(p->ctx, err);
	struct error why = ERROR_INIT;
	CLEANUP_FREE char *journal = upload_journal_of_content(p->ctx, disk->content, &why);
	char description[256], token[UPLOAD_TOKEN_SIZE], name[UPLOAD_NAME_SIZE];
	struct snapshot_upload_opts opts = {
		.description = description,
		.client_token = token,
		.workers = context_workers(p->ctx),
		.cancelled = context_cancelled,
		.progress = &p->ctx->progress,
		.spool_dir = context_tmpdir(p->ctx),
		.journal = journal,
		.source = disk->content,
	};

	if (!aws || upload_make_token(token, err) < 0 ||
		add_upload_tag(p, name, disk->content, err) < 0)
		return -1;
	if (!journal)
		log_warn("what is interrupted will begin anew: %s", why.text);
	if (!journal || access(journal, F_OK) < 0)
		upload_warn_of_lost(aws, name);
	opts.tags = p->tags;
	opts.nr_tags = p->nr_tags;
	snprintf(description, sizeof(description), "%s %s", p->name, device);
	if (snapshot_upload(aws, disk->dev, &opts, &disk->sent, err) < 0)
		return error_wrap(err, "%s", device);
	snprintf(disk->snapshot, sizeof(disk->snapshot), "%s", disk->sent.snapshot);
	log_info("%s: %s, %llu blocks sent (%llu of them zeros), %llu unused ones left out", device,
		disk->snapshot, (unsigned long long)disk->sent.blocks_sent,
		(unsigned long long)disk->sent.blocks_zero,
		(unsigned long long)disk->sent.blocks_unused);
	return 0;
}

static int upload_disk(struct publish *p, size_t index, struct error *err)
{
	uint64_t start = context_now_ms();
	int ret = send(p, index, err);

	report_time(&p->build->times, "upload", context_now_ms() - start);
	return ret;
}

static int upload_all(struct publish *p, struct error *err)
{
	for (size_t i = 0; i < p->build->plan.nr_disks; i++) {
		if (!plan_has_content(&p->build->plan.disks[i]))
			continue;
		if (find_snapshot(p, i, err) < 0)
			return -1;
		if (!p->disks[i].snapshot[0] && upload_disk(p, i, err) < 0)
			return -1;
	}
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

static int register_image(struct publish *p, struct error *err)
{
	struct ec2_image_opts opts;
	struct aws *aws = context_aws(p->ctx, err);
	uint64_t start = context_now_ms();

	if (!aws || set_mappings(p, err) < 0 || make_tags(p, p->content, err) < 0)
		return -1;
	plan_image(&p->build->plan, p->mappings, p->tags, p->nr_tags, &opts);
	if (ec2_register_image(aws, &opts, p->ami, err) < 0)
		return error_wrap(err, "the snapshots are complete and stay (rerun the same command to "
				       "resume)");
	report_time(&p->build->times, "register", context_now_ms() - start);
	return 0;
}

int publish_run(struct publish *p, struct error *err)
{
	for (size_t i = 0; i < p->build->plan.nr_disks; i++)
		if (plan_has_content(&p->build->plan.disks[i]) && hash_disk(p, i, err) < 0)
			return -1;
	if (set_mappings(p, err) < 0 || image_digest(p, err) < 0 || check_same_name(p, err) < 0)
		return -1;
	if (p->existing)
		return set_mappings(p, err);
	if (upload_all(p, err) < 0)
		return -1;
	return register_image(p, err);
}

void publish_release(struct publish *p)
{
	for (size_t i = 0; p->disks && i < p->build->spec.nr_disks; i++)
		dev_close(p->disks[i].dev, NULL);
	free(p->disks);
	free(p->mappings);
	free(p->tags);
	ec2_image_list_release(&p->same_name);
	memset(p, 0, sizeof(*p));
}
