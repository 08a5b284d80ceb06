/* SPDX-License-Identifier: Apache-2.0 */
/* One disk of a publication into a snapshot, unless one holds the same already. */
#include "builder/publish_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/content.h"
#include "builder/upload_state.h"
#include "uploader/ec2_copy.h"
#include "uploader/snapshot_plan.h"

int publish_hash(struct publish *p, size_t index, struct error *err)
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

int publish_count_blocks(const struct publish *p, size_t index, uint64_t *blocks, struct error *err)
{
	const struct publish_disk *disk = &p->disks[index];
	struct snapshot_plan plan = {
		.dev = disk->dev,
		.nr_blocks = (disk->dev->size + EBS_BLOCK_SIZE - 1) / EBS_BLOCK_SIZE,
	};

	return snapshot_plan_count(&plan, blocks, err);
}

/* Whether a snapshot is encrypted as the spec asks. */
static int fits(struct publish *p, struct aws *aws, const struct ec2_snapshot *s, bool *yes,
	struct error *err)
{
	const struct publish_region *home = &p->regions[0];
	const struct spec *spec = &p->build->spec;
	bool by_default = false;

	*yes = false;
	if (strcmp(s->state, "completed"))
		return 0;
	if (!spec->ami.encrypt && !spec->ami.kms_key) {
		/* Unasked, an account may encrypt everything: then such a one is what an upload gives. */
		if (ec2_encryption_by_default(aws, &by_default, err) < 0)
			return -1;
		*yes = s->encrypted == by_default;
		return 0;
	}
	*yes = s->encrypted && (!home->kms_key[0] || !strcmp(home->kms_key, s->kms_key));
	return 0;
}

int publish_find_snapshot(struct publish *p, size_t index, struct error *err)
{
	struct publish_disk *disk = &p->disks[index];
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	struct aws *aws = context_aws(p->ctx, err);
	size_t nr = 0;

	if (!aws || ec2_find_snapshots(aws, PUBLISH_TAG, disk->content, &list, &nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr && !disk->snapshot[0]; i++) {
		bool yes;

		if (fits(p, aws, &list[i], &yes, err) < 0)
			return -1;
		if (!yes)
			continue;
		snprintf(disk->snapshot, sizeof(disk->snapshot), "%s", list[i].id);
		disk->reused = true;
		log_info("%s: %s holds this content already", p->build->spec.disks[index].device,
			disk->snapshot);
	}
	return 0;
}

int publish_upload_name(const struct publish *p, char out[41], struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (sha256(p->name, strlen(p->name), digest, err) < 0)
		return -1;
	snprintf(out, 41, "%.32s", hex_encode(hex, digest, sizeof(digest)));
	return 0;
}

int publish_upload_journal(const struct publish *p, size_t index, char **path, struct error *err)
{
	size_t len;

	*path = NULL;
	if (!p->journal.path)
		return 0;
	len = strlen(p->journal.path) - strlen(".json");
	*path = buf_strf(err, "%.*s.%zu.upload", (int)len, p->journal.path, index);
	return *path ? 0 : -1;
}

/*
 * StartSnapshot answers a token that it has seen with the snapshot of then, even when that is
 * deleted by now. So the token is the content's digest and a number of this run: what makes a
 * repeat find its snapshot is the journal and the tag, what makes a lost answer harmless the token.
 */
static int make_token(const char *content, char token[UPLOAD_TOKEN_SIZE], struct error *err)
{
	uint8_t bytes[8];
	char hex[17];

	if (context_random(bytes, sizeof(bytes)) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for a client token");
	snprintf(token, UPLOAD_TOKEN_SIZE, "%.40s-%s", content, hex_encode(hex, bytes, sizeof(bytes)));
	return 0;
}

/*
 * What an interrupted run began with other tags or another key cannot be gone on with: it is dropped
 * and the upload begins anew.
 */
static int begin_anew(struct aws *aws, const char *journal, const struct error *why, struct error *err)
{
	char snapshot[EBS_ID_SIZE];

	log_info("an earlier upload cannot be gone on with: %s", why->text);
	return snapshot_abandon(aws, journal, snapshot, err);
}

static int send(struct publish *p, size_t index, const struct snapshot_upload_opts *opts,
	struct error *err)
{
	struct publish_disk *disk = &p->disks[index];
	struct aws *aws = context_aws(p->ctx, err);
	bool resumes = opts->journal && !access(opts->journal, F_OK);
	struct error why;

	if (!aws)
		return -1;
	if (!snapshot_upload(aws, disk->dev, opts, &disk->sent, err))
		return 0;
	if (resumes && err->kind == ERROR_INPUT)
		return error_wrap(err, "an earlier upload (publish --cleanup drops it)");
	if (!resumes || err->kind != ERROR_USAGE)
		return -1;
	why = *err;
	error_clear(err);
	if (begin_anew(aws, opts->journal, &why, err) < 0)
		return -1;
	return snapshot_upload(aws, disk->dev, opts, &disk->sent, err);
}

static int upload(struct publish *p, size_t index, struct error *err)
{
	struct publish_disk *disk = &p->disks[index];
	const char *device = p->build->spec.disks[index].device;
	const struct publish_region *home = &p->regions[0];
	CLEANUP_FREE char *journal = NULL;
	char description[256], token[UPLOAD_TOKEN_SIZE], name[UPLOAD_NAME_SIZE];
	struct snapshot_upload_opts opts = {
		.description = description,
		.client_token = token,
		.encrypted = p->build->spec.ami.encrypt || p->build->spec.ami.kms_key,
		.kms_key = home->kms_key[0] ? home->kms_key : NULL,
		.workers = context_workers(p->ctx),
		.spool_dir = p->build->spool_dir,
		.cancelled = context_cancelled,
		.progress = &p->ctx->progress,
		.source = disk->content,
	};

	if (publish_upload_journal(p, index, &journal, err) < 0 || make_token(disk->content, token, err) < 0 ||
		publish_upload_name(p, name, err) < 0 ||
		publish_make_tags(p, disk->content, name, err) < 0)
		return -1;
	opts.journal = journal;
	opts.tags = p->tags;
	opts.nr_tags = p->nr_tags;
	snprintf(description, sizeof(description), "%s %s", p->name, device);
	if (send(p, index, &opts, err) < 0)
		return error_wrap(err, "%s", device);
	snprintf(disk->snapshot, sizeof(disk->snapshot), "%s", disk->sent.snapshot);
	log_info("%s: %s, %llu blocks sent (%llu of them zeros), %llu unused ones left out", device,
		disk->snapshot, (unsigned long long)disk->sent.blocks_sent,
		(unsigned long long)disk->sent.blocks_zero,
		(unsigned long long)disk->sent.blocks_unused);
	return 0;
}

int publish_upload(struct publish *p, size_t index, struct error *err)
{
	uint64_t start = context_now_ms();
	struct publish_made made = {PUBLISH_SNAPSHOT, p->regions[0].name, p->disks[index].snapshot,
		p->build->spec.disks[index].device};
	int ret = publish_journal_intend(&p->journal, PUBLISH_SNAPSHOT, p->regions[0].name, err);

	if (!ret)
		ret = upload(p, index, err);
	report_time(&p->build->times, "upload", context_now_ms() - start);
	return ret < 0 ? ret : publish_journal_made(&p->journal, &made, err);
}
