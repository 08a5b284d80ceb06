/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a publication that nobody wants to finish: pending uploads, then images, then the
 * snapshots that they used. Each is looked at first: only what carries our tag goes.
 */
#include "builder/publish_internal.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "builder/upload_state.h"
#include "uploader/ec2_retire.h"

struct cleanup {
	struct publish *p;
	struct buf *out;
	bool dry_run;
};

static int say(struct cleanup *c, const char *id, struct error *err)
{
	log_info("%s %s", c->dry_run ? "would remove" : "removed", id);
	return buf_addf(c->out, err, "%s\n", id);
}

static bool is_gone(const struct error *err)
{
	return strstr(err->code, ".NotFound") || strstr(err->code, ".Unavailable");
}

static int remove_snapshot(struct cleanup *c, struct aws *aws, const char *id, struct error *err)
{
	struct ec2_tag_list tags = {0};
	int ret = ec2_snapshot_tags(aws, id, &tags, err);
	bool ours = !ret && ec2_tag_value(&tags, PUBLISH_TAG);

	ec2_tag_list_release(&tags);
	if (ret < 0 && !is_gone(err))
		return -1;
	error_clear(err);
	if (!ours)
		return 0;
	if (!c->dry_run && ec2_remove_snapshot(aws, id, false, err) < 0) {
		/* Another AMI has it by now: then it is no orphan. */
		if (strstr(err->code, "InUse")) {
			log_info("%s stays: an AMI uses it", id);
			error_clear(err);
			return 0;
		}
		return -1;
	}
	return say(c, id, err);
}

/* A copy's snapshots are known by the image alone. */
static int remove_copied(struct cleanup *c, struct aws *aws, const struct ec2_image *image,
	struct error *err)
{
	for (size_t i = 0; i < image->nr_mappings; i++)
		if (image->mappings[i].snapshot[0] &&
			remove_snapshot(c, aws, image->mappings[i].snapshot, err) < 0)
			return -1;
	return 0;
}

static int remove_image(struct cleanup *c, struct aws *aws, const struct publish_made *made,
	bool copy, struct error *err)
{
	const char *ids[] = {made->id, NULL};
	struct ec2_image_list list = {0};
	int ret = ec2_describe_images(aws, ids, NULL, 0, &list, err);

	if (ret < 0 && is_gone(err)) {
		error_clear(err);
		ret = 0;
	}
	if (!ret && list.nr && ec2_tag_value(&list.items[0].tags, PUBLISH_TAG)) {
		if (!c->dry_run)
			ret = ec2_deregister_image(aws, made->id, false, err);
		if (!ret)
			ret = say(c, made->id, err);
		if (!ret && copy)
			ret = remove_copied(c, aws, &list.items[0], err);
	}
	ec2_image_list_release(&list);
	return ret;
}

static int remove_made(struct cleanup *c, const struct publish_made *made, struct error *err)
{
	struct aws *aws = context_aws_in(c->p->ctx, made->region, err);

	if (!aws)
		return -1;
	if (made->kind == PUBLISH_SNAPSHOT)
		return remove_snapshot(c, aws, made->id, err);
	return remove_image(c, aws, made, strcmp(made->region, c->p->regions[0].name) != 0, err);
}

/* Backwards: images were made after the snapshots that they use. */
static int remove_all(struct cleanup *c, struct error *err)
{
	struct publish_made made;
	size_t nr = 0;

	while (publish_journal_item(&c->p->journal, nr, &made))
		nr++;
	while (nr && publish_journal_item(&c->p->journal, nr - 1, &made)) {
		if (remove_made(c, &made, err) < 0)
			return error_wrap(err, "removing %s in %s", made.id, made.region);
		if (!c->dry_run && publish_journal_gone(&c->p->journal, made.id, err) < 0)
			return -1;
		nr--;
	}
	return 0;
}

/* Uploads that were begun here, by their journals; then those whose journal is elsewhere or lost. */
static int remove_uploads(struct cleanup *c, struct error *err)
{
	struct publish *p = c->p;
	struct aws *aws = context_aws(p->ctx, err);
	char name[UPLOAD_NAME_SIZE], snapshot[EBS_ID_SIZE];

	for (size_t i = 0; aws && i < p->build->spec.nr_disks; i++) {
		CLEANUP_FREE char *journal = NULL;

		if (publish_upload_journal(p, i, &journal, err) < 0)
			return -1;
		if (!journal || c->dry_run || access(journal, F_OK) < 0)
			continue;
		if (snapshot_abandon(aws, journal, snapshot, err) < 0)
			return -1;
		if (snapshot[0] && say(c, snapshot, err) < 0)
			return -1;
	}
	if (!aws || publish_upload_name(p, name, err) < 0)
		return -1;
	return upload_clean_up(p->ctx, name, c->dry_run, c->out, err);
}

int publish_clean_up(struct publish *p, bool dry_run, struct buf *out, struct error *err)
{
	struct cleanup c = {p, out, dry_run};

	if (remove_uploads(&c, err) < 0 || remove_all(&c, err) < 0)
		return -1;
	return dry_run ? 0 : publish_journal_finish(&p->journal, err);
}
