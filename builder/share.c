/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First the judgement, by reading calls; then the AMI; then each snapshot. What has the wanted
 * permissions already costs no changing call.
 */
#include "builder/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "builder/own_image.h"
#include "builder/share_internal.h"

static bool has(const struct ec2_permission_list *l, const struct ec2_permission *p)
{
	for (size_t i = 0; i < l->nr; i++)
		if (l->items[i].kind == p->kind && !strcmp(l->items[i].value, p->value))
			return true;
	return false;
}

static bool is_image(const struct share_item *item)
{
	return !strncmp(item->id, "ami-", 4);
}

static int read_permissions(struct aws *aws, struct share_item *item, struct error *err)
{
	free(item->now.items);
	return is_image(item) ? ec2_image_permissions(aws, item->id, &item->now, err) :
				ec2_snapshot_permissions(aws, item->id, &item->now, err);
}

/* Who of the wanted ones is to be added to, or removed from, an item. */
static int pick(const struct share_opts *o, const struct share_item *item, struct ec2_permission **out,
	size_t *nr, struct error *err)
{
	const struct ec2_permission *from = o->all ? item->now.items : o->with;
	size_t nr_from = o->all ? item->now.nr : o->nr;

	*nr = 0;
	*out = calloc(nr_from + 1, sizeof(**out));
	if (!*out)
		return error_nomem(err, "permissions");
	for (size_t i = 0; i < nr_from; i++) {
		/* Snapshots know neither organizations nor their units. */
		if (!is_image(item) && from[i].kind != EC2_ACCOUNT && from[i].kind != EC2_GROUP)
			continue;
		if (has(&item->now, &from[i]) == o->remove)
			(*out)[(*nr)++] = from[i];
	}
	return 0;
}

/* Takes out of the list who may still use another AMI of ours that has this snapshot. */
static int keep_needed(struct aws *aws, const char *ami, const char *snapshot,
	struct ec2_permission *list, size_t *nr, struct error *err)
{
	struct ec2_filter by_snapshot = {"block-device-mapping.snapshot-id", snapshot};
	struct ec2_image_list others = {0};
	int ret = ec2_describe_images(aws, NULL, &by_snapshot, 1, &others, err);

	for (size_t i = 0; i < others.nr && !ret; i++) {
		struct ec2_permission_list theirs = {0};
		size_t kept = 0;

		if (!strcmp(others.items[i].id, ami))
			continue;
		ret = ec2_image_permissions(aws, others.items[i].id, &theirs, err);
		for (size_t k = 0; k < *nr && !ret; k++) {
			if (has(&theirs, &list[k]))
				log_info("%s stays shared with %s: %s has it too", snapshot, list[k].value,
					others.items[i].id);
			else
				list[kept++] = list[k];
		}
		if (!ret)
			*nr = kept;
		free(theirs.items);
	}
	ec2_image_list_release(&others);
	return ret;
}

static int change_item(struct aws *aws, const struct share_opts *o, struct share_item *item,
	struct error *err)
{
	CLEANUP_FREE struct ec2_permission *who = NULL;
	struct ec2_permission_change change = {.id = item->id, .remove = o->remove,
		.dry_run = o->dry_run};
	size_t done = 0;
	int ret;

	if (pick(o, item, &who, &change.nr, err) < 0 ||
		(o->remove && !is_image(item) &&
			keep_needed(aws, o->ami, item->id, who, &change.nr, err) < 0))
		return -1;
	change.items = who;
	ret = ec2_change_permissions(aws, &change, &done, err);
	item->changed = done;
	if (ret || !done || o->dry_run)
		return ret;
	if (read_permissions(aws, item, err) < 0)
		return -1;
	for (size_t i = 0; i < change.nr; i++)
		if (has(&item->now, &who[i]) == o->remove)
			log_warn("%s: EC2 took the change for %s and does not show it yet", item->id,
				who[i].value);
	return 0;
}

static int stopped(const struct share *s, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	for (size_t i = 0; i < s->nr; i++)
		if (s->items[i].changed &&
			buf_addf(&text, NULL, "%s%s", text.len ? ", " : "", s->items[i].id) < 0)
			return -1;
	if (!text.len)
		return -1;
	if (err->kind == ERROR_POLICY)
		err->kind = ERROR_SERVICE;
	return error_wrap(err, "%s changed already, the rest was not (rerun the same command to go on)",
		buf_str(&text));
}

static int change_all(struct share *s, struct aws *aws, const struct share_opts *o, struct error *err)
{
	for (size_t i = 0; i < s->nr; i++)
		if (change_item(aws, o, &s->items[i], err) < 0)
			return o->dry_run ? -1 : stopped(s, err);
	return 0;
}

static int make_items(struct share *s, struct aws *aws, const struct ec2_image *image,
	bool image_only, struct error *err)
{
	s->items = calloc(image->nr_mappings + 1, sizeof(*s->items));
	if (!s->items)
		return error_nomem(err, "the snapshots of an image");
	snprintf(s->items[s->nr++].id, EC2_ID_SIZE, "%s", image->id);
	for (size_t i = 0; i < image->nr_mappings && !image_only; i++)
		if (image->mappings[i].snapshot[0])
			snprintf(s->items[s->nr++].id, EC2_ID_SIZE, "%s", image->mappings[i].snapshot);
	for (size_t i = 0; i < s->nr; i++)
		if (read_permissions(aws, &s->items[i], err) < 0)
			return -1;
	return 0;
}

static void say_what_snapshots_lack(const struct share_opts *o)
{
	for (size_t i = 0; i < o->nr && !o->remove && !o->image_only; i++) {
		if (o->with[i].kind != EC2_ORGANIZATION && o->with[i].kind != EC2_UNIT)
			continue;
		log_warn("snapshots cannot be shared with organizations: their accounts can launch %s, but "
			 "to copy it an account needs --account", o->ami);
		return;
	}
}

int share_run(struct share *s, struct aws *aws, const struct share_opts *o, struct error *err)
{
	struct ec2_image_list list = {0};
	int ret;

	memset(s, 0, sizeof(*s));
	ret = own_image(aws, o->ami, &list, err);
	if (!ret && !o->remove)
		ret = share_judge(aws, &list.items[0], o, err);
	if (!ret)
		ret = make_items(s, aws, &list.items[0], o->image_only, err);
	ec2_image_list_release(&list);
	if (ret)
		return ret;
	say_what_snapshots_lack(o);
	return change_all(s, aws, o, err);
}

void share_release(struct share *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->items[i].now.items);
	free(s->items);
	memset(s, 0, sizeof(*s));
}
