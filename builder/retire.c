/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and deeds, one image at a time. */
#include "builder/retire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2_retire.h"
#include "uploader/ec2_share.h"

/* A deregistered AMI may hold its snapshots for some seconds more. */
enum { DELETE_TRIES = 8, DELETE_PAUSE_MS = 2000, LOCAL_PAUSE_MS = 20 };

void retire_result_release(struct retire_result *r)
{
	free(r->snapshots);
	memset(r, 0, sizeof(*r));
}

static int check_shared(struct aws *aws, const struct ec2_image *image, char why[RETIRE_WHY_SIZE],
	struct error *err)
{
	struct ec2_permission_list list = {0};

	if (image->is_public) {
		snprintf(why, RETIRE_WHY_SIZE, "is public");
		return 0;
	}
	if (ec2_image_permissions(aws, image->id, &list, err) < 0)
		return -1;
	if (list.nr)
		snprintf(why, RETIRE_WHY_SIZE, "is shared with %s%s", list.items[0].value,
			list.nr > 1 ? " and others" : "");
	free(list.items);
	for (size_t i = 0; i < image->nr_mappings && !why[0]; i++) {
		const char *snapshot = image->mappings[i].snapshot;

		if (!snapshot[0])
			continue;
		if (ec2_snapshot_permissions(aws, snapshot, &list, err) < 0)
			return -1;
		if (list.nr)
			snprintf(why, RETIRE_WHY_SIZE, "has snapshot %s, which is shared with %s%s",
				snapshot, list.items[0].value, list.nr > 1 ? " and others" : "");
		free(list.items);
	}
	return 0;
}

static int check_used(struct aws *aws, const struct ec2_image *image, int64_t since,
	char why[RETIRE_WHY_SIZE], struct error *err)
{
	char first[EC2_ID_SIZE];
	int64_t launched;
	size_t nr;

	if (since && image->last_launched[0] &&
		num_parse_time(image->last_launched, &launched, NULL) == 0 && launched > since) {
		snprintf(why, RETIRE_WHY_SIZE, "was launched %.10s", image->last_launched);
		return 0;
	}
	if (ec2_instances_of(aws, image->id, &nr, first, err) < 0)
		return error_wrap(err, "whether instances of %s are there cannot be found out "
				       "(--include-used does not ask)", image->id);
	if (nr == 1)
		snprintf(why, RETIRE_WHY_SIZE, "is used by instance %s", first);
	else if (nr)
		snprintf(why, RETIRE_WHY_SIZE, "is used by %zu instances, %s among them", nr, first);
	return 0;
}

int retire_check(struct aws *aws, const struct ec2_image *image, const struct retire_opts *o,
	char why[RETIRE_WHY_SIZE], struct error *err)
{
	why[0] = '\0';
	if (image->protection[0] && strcmp(image->protection, "disabled")) {
		snprintf(why, RETIRE_WHY_SIZE,
			"is protected against deregistration (%s): see 'amiwright protect --off'",
			image->protection);
		return 0;
	}
	if (!o->shared && check_shared(aws, image, why, err) < 0)
		return -1;
	if (!why[0] && !o->used)
		return check_used(aws, image, o->used_since, why, err);
	return 0;
}

/* Another own image that has the snapshot: its id into other, "" when there is none. */
static int other_user(struct aws *aws, const char *snapshot, const char *ami,
	char other[EC2_ID_SIZE], struct error *err)
{
	struct ec2_filter by_snapshot = {"block-device-mapping.snapshot-id", snapshot};
	struct ec2_image_list list = {0};

	other[0] = '\0';
	if (ec2_describe_images(aws, NULL, &by_snapshot, 1, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.nr && !other[0]; i++)
		if (strcmp(list.items[i].id, ami))
			snprintf(other, EC2_ID_SIZE, "%s", list.items[i].id);
	ec2_image_list_release(&list);
	return 0;
}

static bool is_listed(const struct retire_result *r, const char *snapshot)
{
	for (size_t i = 0; i < r->nr_snapshots; i++)
		if (!strcmp(r->snapshots[i].id, snapshot))
			return true;
	return false;
}

/* Which of its snapshots go, and why the others stay; before anything is changed. */
static int plan_snapshots(struct aws *aws, const struct ec2_image *image, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	char other[EC2_ID_SIZE];

	r->snapshots = calloc(image->nr_mappings + 1, sizeof(*r->snapshots));
	if (!r->snapshots)
		return error_nomem(err, "the snapshots of an image");
	for (size_t i = 0; i < image->nr_mappings; i++) {
		const char *id = image->mappings[i].snapshot;
		struct retire_snapshot *s = &r->snapshots[r->nr_snapshots];

		if (!id[0] || is_listed(r, id))
			continue;
		snprintf(s->id, sizeof(s->id), "%s", id);
		r->nr_snapshots++;
		if (!o->snapshots)
			snprintf(s->why, sizeof(s->why), "snapshots stay without --delete-snapshots");
		else if (other_user(aws, id, image->id, other, err) < 0)
			return -1;
		else if (other[0])
			snprintf(s->why, sizeof(s->why), "%s has it too", other);
	}
	return 0;
}

static int delete_snapshot(struct aws *aws, struct retire_snapshot *s, const char *ami, bool dry_run,
	struct error *err)
{
	bool local = aws_is_loopback(aws, AWS_EC2);

	for (int i = 1;; i++) {
		if (!ec2_remove_snapshot(aws, s->id, dry_run, err)) {
			s->deleted = true;
			return 0;
		}
		if (!strcmp(err->code, "InvalidSnapshot.NotFound")) {
			error_clear(err);
			s->deleted = true;
			return 0;
		}
		/* Held by another than ours: it stays, and that is no failure. */
		if (!strcmp(err->code, "InvalidSnapshot.InUse") && (!strstr(err->text, ami) || dry_run)) {
			snprintf(s->why, sizeof(s->why), "%.*s", RETIRE_WHY_SIZE - 1, err->text);
			error_clear(err);
			return 0;
		}
		if (strcmp(err->code, "InvalidSnapshot.InUse") || i == DELETE_TRIES ||
			aws_sleep(aws, local ? LOCAL_PAUSE_MS : DELETE_PAUSE_MS, err) < 0)
			break;
	}
	snprintf(s->why, sizeof(s->why), "%.*s", RETIRE_WHY_SIZE - 1, err->text);
	return -1;
}

static int delete_snapshots(struct aws *aws, const char *ami, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	struct error first = ERROR_INIT;
	size_t failed = 0;

	for (size_t i = 0; i < r->nr_snapshots; i++) {
		struct retire_snapshot *s = &r->snapshots[i];

		if (!s->why[0] && delete_snapshot(aws, s, ami, o->dry_run, err) < 0) {
			if (!failed++)
				first = *err;
			if (err->kind == ERROR_INTERRUPTED)
				break;
		}
	}
	if (!failed)
		return 0;
	*err = first;
	return o->dry_run ? -1 : error_wrap(err, "%s is deregistered, but %zu of its snapshots stay", ami,
					  failed);
}

int retire_image(struct aws *aws, const struct ec2_image *image, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	memset(r, 0, sizeof(*r));
	if (plan_snapshots(aws, image, o, r, err) < 0 ||
		ec2_deregister_image(aws, image->id, o->dry_run, err) < 0)
		return -1;
	r->deregistered = !o->dry_run;
	return delete_snapshots(aws, image->id, o, r, err);
}

struct json *retire_result_json(const struct retire_result *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_array(err);

	for (size_t i = 0; out && i < r->nr_snapshots; i++) {
		const struct retire_snapshot *s = &r->snapshots[i];
		CLEANUP(json_cleanup) struct json *item = json_new_object(err);

		if (!item || json_set_str(item, "snapshot", s->id, err) < 0 ||
			json_set_bool(item, "deleted", s->deleted, err) < 0 ||
			(s->why[0] && json_set_str(item, "why", s->why, err) < 0) ||
			json_append(out, steal_ptr(&item), err) < 0)
			return NULL;
	}
	return steal_ptr(&out);
}
