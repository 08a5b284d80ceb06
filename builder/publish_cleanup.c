/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a publication that nobody wants to finish: pending uploads, then images, then the
 * snapshots that they used. Each is looked at first: only what carries our tag goes.
 */
#include "builder/publish_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "builder/upload_state.h"
#include "uploader/ec2_retire.h"

enum { POLL_MS = 5000 };

struct cleanup {
	struct publish *p;
	struct buf *out; /* ids that are removed, a line each */
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

/* An image that is not to be removed itself has it: then it is no orphan. */
static int is_kept(struct cleanup *c, struct aws *aws, const char *snapshot, bool *kept,
	struct error *err)
{
	struct ec2_filter filter = {"block-device-mapping.snapshot-id", snapshot};
	struct ec2_image_list list = {0};
	int ret = ec2_describe_images(aws, NULL, &filter, 1, &list, err);

	*kept = false;
	for (size_t i = 0; i < list.nr && !ret; i++)
		*kept |= !strstr(buf_str(c->out), list.items[i].id);
	ec2_image_list_release(&list);
	return ret;
}

static int drop_snapshot(struct cleanup *c, struct aws *aws, const char *id, struct error *err)
{
	bool kept;

	if (strstr(buf_str(c->out), id))
		return 0;
	if (is_kept(c, aws, id, &kept, err) < 0)
		return -1;
	if (!kept && !c->dry_run && ec2_remove_snapshot(aws, id, false, err) < 0) {
		if (is_gone(err)) {
			error_clear(err);
			return 0;
		}
		kept = strstr(err->code, "InUse") != NULL;
		if (!kept)
			return -1;
		error_clear(err);
	}
	if (!kept)
		return say(c, id, err);
	log_info("%s stays: an AMI uses it", id);
	return 0;
}

/* Only what says that a publication made it. */
static int remove_snapshot(struct cleanup *c, struct aws *aws, const char *id, struct error *err)
{
	struct ec2_tag_list tags = {0};
	int ret = ec2_snapshot_tags(aws, id, &tags, err);
	bool ours = !ret && ec2_tag_value(&tags, PUBLISH_TAG);

	ec2_tag_list_release(&tags);
	if (ret < 0 && !is_gone(err))
		return -1;
	error_clear(err);
	return ours ? drop_snapshot(c, aws, id, err) : 0;
}

/*
 * The image itself, by its id, or by its name when its making was begun and not seen to end; the list
 * is empty when it is not there or not ours.
 */
static int find_image(struct cleanup *c, struct aws *aws, const struct publish_made *made,
	struct ec2_image_list *list, struct error *err)
{
	const char *ids[] = {made->id, NULL};
	struct ec2_filter by_name = {"name", c->p->name};
	int ret = made->id[0] ? ec2_describe_images(aws, ids, NULL, 0, list, err) :
				ec2_describe_images(aws, NULL, &by_name, 1, list, err);

	if (ret < 0 && is_gone(err)) {
		error_clear(err);
		ret = 0;
	}
	if (!ret && list->nr && !ec2_tag_value(&list->items[0].tags, PUBLISH_TAG))
		ec2_image_list_release(list);
	return ret;
}

/* The snapshots of a copy that is still being made are not all there to be removed with it. */
static int await_copy(struct cleanup *c, struct aws *aws, const struct publish_made *made,
	struct ec2_image_list *list, struct error *err)
{
	struct publish_made found = *made;
	char id[EC2_ID_SIZE];

	if (c->dry_run || !list->nr || strcmp(list->items[0].state, "pending"))
		return 0;
	snprintf(id, sizeof(id), "%s", list->items[0].id);
	found.id = id;
	log_info("waiting for %s in %s to be whole, so that its snapshots can go with it", id, made->region);
	while (list->nr && !strcmp(list->items[0].state, "pending")) {
		ec2_image_list_release(list);
		if (aws_sleep(aws, POLL_MS, err) < 0 || find_image(c, aws, &found, list, err) < 0)
			return -1;
	}
	return 0;
}

static int drop_image(struct cleanup *c, struct aws *aws, const struct ec2_image *image, bool copy,
	struct error *err)
{
	bool protected = !strncmp(image->protection, "enabled", 7);

	if (!c->dry_run && ((protected &&
				    ec2_protect_image(aws, image->id, false, false, false, err) < 0) ||
				   ec2_deregister_image(aws, image->id, false, err) < 0))
		return -1;
	if (say(c, image->id, err) < 0)
		return -1;
	/* A copy's snapshots are known by the image alone. */
	for (size_t i = 0; i < image->nr_mappings && copy; i++)
		if (image->mappings[i].snapshot[0] &&
			drop_snapshot(c, aws, image->mappings[i].snapshot, err) < 0)
			return -1;
	return 0;
}

static int remove_image(struct cleanup *c, struct aws *aws, const struct publish_made *made,
	struct error *err)
{
	bool copy = strcmp(made->region, c->p->regions[0].name) != 0;
	struct ec2_image_list list = {0};
	int ret = find_image(c, aws, made, &list, err);

	if (!ret && copy)
		ret = await_copy(c, aws, made, &list, err);
	if (!ret && list.nr)
		ret = drop_image(c, aws, &list.items[0], copy, err);
	ec2_image_list_release(&list);
	return ret;
}

static int remove_made(struct cleanup *c, const struct publish_made *made, struct error *err)
{
	struct aws *aws = context_aws_in(c->p->ctx, made->region, err);

	if (!aws)
		return -1;
	if (made->kind == PUBLISH_IMAGE)
		return remove_image(c, aws, made, err);
	return made->id[0] ? remove_snapshot(c, aws, made->id, err) : 0;
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
			return error_wrap(err, "removing %s in %s", made.id[0] ? made.id : c->p->name,
				made.region);
		if (!c->dry_run && publish_journal_gone(&c->p->journal, &made, err) < 0)
			return -1;
		nr--;
	}
	return 0;
}

/* Uploads of this AMI that ended and were not noted; those that are used by an AMI stay. */
static int remove_unnoted(struct cleanup *c, struct error *err)
{
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	struct aws *aws = context_aws(c->p->ctx, err);
	char name[UPLOAD_NAME_SIZE];
	size_t nr = 0;

	if (!aws || publish_upload_name(c->p, name, err) < 0 ||
		ec2_find_snapshots(aws, SNAPSHOT_TAG, name, &list, &nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(list[i].state, "completed") && drop_snapshot(c, aws, list[i].id, err) < 0)
			return -1;
	return 0;
}

/* A journal that cannot be read is of no use: its snapshot is found by its tag. */
static int abandon(struct cleanup *c, struct aws *aws, const char *journal, struct error *err)
{
	char snapshot[EBS_ID_SIZE];

	if (!snapshot_abandon(aws, journal, snapshot, err))
		return snapshot[0] ? say(c, snapshot, err) : 0;
	if (err->kind != ERROR_INPUT)
		return -1;
	log_warn("%s; it is removed", err->text);
	error_clear(err);
	return unlink(journal) < 0 ? error_set(err, ERROR_IO, errno, "cannot remove '%s'", journal) : 0;
}

/* Uploads that were begun here, by their journals; then those whose journal is elsewhere or lost. */
static int remove_uploads(struct cleanup *c, struct error *err)
{
	struct publish *p = c->p;
	struct aws *aws = context_aws(p->ctx, err);
	char name[UPLOAD_NAME_SIZE];

	for (size_t i = 0; aws && i < p->build->spec.nr_disks; i++) {
		CLEANUP_FREE char *journal = NULL;

		if (publish_upload_journal(p, i, &journal, err) < 0)
			return -1;
		if (journal && !c->dry_run && !access(journal, F_OK) &&
			abandon(c, aws, journal, err) < 0)
			return -1;
	}
	if (!aws || publish_upload_name(p, name, err) < 0)
		return -1;
	return upload_clean_up(p->ctx, name, c->dry_run, c->out, err);
}

int publish_clean_up(struct publish *p, bool dry_run, struct buf *out, struct error *err)
{
	struct cleanup c = {p, out, dry_run};

	if (remove_uploads(&c, err) < 0 || remove_all(&c, err) < 0 ||
		(p->journal.found && remove_unnoted(&c, err) < 0))
		return -1;
	return dry_run ? 0 : publish_journal_finish(&p->journal, err);
}
