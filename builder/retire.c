/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and deeds, one image at a time. */
#include "builder/retire.h"

#include <inttypes.h>
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

static int check_templates(struct aws *aws, const char *ami, char why[RETIRE_WHY_SIZE],
	struct error *err)
{
	struct ec2_template t;

	if (ec2_template_of(aws, ami, &t, err) < 0)
		return error_wrap(err, "whether launch templates name %s cannot be found out "
				       "(--include-used does not ask)", ami);
	if (t.id[0])
		snprintf(why, RETIRE_WHY_SIZE, "is named by launch template %s%s%.128s%s, version %" PRIu64 "%s",
			t.id, t.name[0] ? " (" : "", t.name, t.name[0] ? ")" : "", t.version,
			t.others ? ", and by others" : "");
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
	return nr ? 0 : check_templates(aws, image->id, why, err);
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

/* Whether a snapshot goes, and why not; r has room for it. */
static int plan_snapshot(struct aws *aws, const char *id, const char *ami, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	struct retire_snapshot *s = &r->snapshots[r->nr_snapshots];
	char other[EC2_ID_SIZE];

	if (!id[0] || is_listed(r, id))
		return 0;
	*s = (struct retire_snapshot){.fate = RETIRE_KEPT};
	snprintf(s->id, sizeof(s->id), "%s", id);
	r->nr_snapshots++;
	if (!o->snapshots) {
		snprintf(s->why, sizeof(s->why), "snapshots stay without --delete-snapshots");
		return 0;
	}
	if (other_user(aws, id, ami, other, err) < 0)
		return -1;
	if (other[0]) {
		snprintf(s->why, sizeof(s->why), "%s has it too", other);
		return 0;
	}
	s->goes = true;
	s->fate = RETIRE_UNTRIED;
	snprintf(s->why, sizeof(s->why), "was not tried");
	return 0;
}

/* Which of its snapshots go, and why the others stay; before anything is changed. */
static int plan_snapshots(struct aws *aws, const struct ec2_image *image, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	r->snapshots = calloc(image->nr_mappings + 1, sizeof(*r->snapshots));
	if (!r->snapshots)
		return error_nomem(err, "the snapshots of an image");
	for (size_t i = 0; i < image->nr_mappings; i++)
		if (plan_snapshot(aws, image->mappings[i].snapshot, image->id, o, r, err) < 0)
			return -1;
	return 0;
}

/* Without the mark only a rerun after an interruption suffers. */
static int mark_snapshots(struct aws *aws, const char *ami, const struct retire_opts *o,
	const struct retire_result *r, struct error *err)
{
	const struct aws_tag marks[] = {{RETIRE_TAG, ami}, o->mark ? *o->mark : (struct aws_tag){0}};

	for (size_t i = 0; i < r->nr_snapshots; i++) {
		struct error why = ERROR_INIT;

		if (!r->snapshots[i].goes || !ec2_create_tags(aws, r->snapshots[i].id, marks, o->mark ? 2 : 1, &why))
			continue;
		if (why.kind == ERROR_INTERRUPTED) {
			*err = why;
			return -1;
		}
		log_warn("%s cannot be marked as one that goes with %s: %s", r->snapshots[i].id, ami,
			why.text);
	}
	return 0;
}

/* An attempt that was made, and whose outcome nobody told. */
static bool is_unknown(const struct error *err)
{
	return err->kind == ERROR_INTERRUPTED || err->kind == ERROR_NETWORK || err->http_status >= 500;
}

static enum retire_fate fate_of(const struct error *err)
{
	return is_unknown(err) ? RETIRE_UNKNOWN : RETIRE_KEPT;
}

static int delete_snapshot(struct aws *aws, struct retire_snapshot *s, const char *ami, bool dry_run,
	struct error *err)
{
	bool local = aws_is_loopback(aws, AWS_EC2);

	for (int i = 1;; i++) {
		if (!ec2_remove_snapshot(aws, s->id, dry_run, err) ||
			!strcmp(err->code, "InvalidSnapshot.NotFound")) {
			error_clear(err);
			s->fate = RETIRE_DONE;
			s->why[0] = '\0';
			return 0;
		}
		s->fate = fate_of(err);
		snprintf(s->why, sizeof(s->why), "%.*s", RETIRE_WHY_SIZE - 1, err->text);
		if (strcmp(err->code, "InvalidSnapshot.InUse"))
			return -1;
		/* Held by another than ours: it stays, and that is no failure. */
		if (!strstr(err->text, ami) || dry_run) {
			s->goes = false;
			error_clear(err);
			return 0;
		}
		if (i == DELETE_TRIES || aws_sleep(aws, local ? LOCAL_PAUSE_MS : DELETE_PAUSE_MS, err) < 0)
			return -1;
	}
}

/* "snap-1, snap-2": those that go by the plan and have this fate; how many there are. */
static size_t list_fate(const struct retire_result *r, enum retire_fate fate, struct buf *out)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nr_snapshots; i++) {
		const struct retire_snapshot *s = &r->snapshots[i];

		if (!s->goes || s->fate != fate)
			continue;
		/* An error text that is short of memory says less. */
		if (buf_addf(out, NULL, "%s%s", out->len ? ", " : "", s->id) < 0)
			return n;
		n++;
	}
	return n;
}

/* Says of an AMI that is gone what is left of it. */
static int say_left(const struct retire_result *r, const char *ami, struct error *err)
{
	CLEANUP_BUF struct buf stay = BUF_INIT(0), may = BUF_INIT(0), text = BUF_INIT(0);
	size_t nr_stay = list_fate(r, RETIRE_KEPT, &stay) + list_fate(r, RETIRE_UNTRIED, &stay);
	size_t nr_may = list_fate(r, RETIRE_UNKNOWN, &may);

	if ((nr_stay && buf_addf(&text, NULL, "%zu of its snapshots stay (%s)", nr_stay,
				buf_str(&stay)) < 0) ||
		(nr_may && buf_addf(&text, NULL, "%s%zu may stay (%s)", nr_stay ? ", and " : "", nr_may,
				   buf_str(&may)) < 0))
		return -1;
	return error_wrap(err,
		"%s is deregistered, but %s: 'amiwright deregister %s --delete-snapshots' goes on", ami,
		buf_str(&text), ami);
}

static int delete_snapshots(struct aws *aws, const char *ami, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	struct error first = ERROR_INIT;

	for (size_t i = 0; i < r->nr_snapshots; i++) {
		struct retire_snapshot *s = &r->snapshots[i];

		if (!s->goes || delete_snapshot(aws, s, ami, o->dry_run, err) == 0)
			continue;
		if (!first.kind)
			first = *err;
		if (err->kind == ERROR_INTERRUPTED)
			break;
	}
	if (!first.kind)
		return 0;
	*err = first;
	return o->dry_run ? -1 : say_left(r, ami, err);
}

bool retire_is_gone(const struct error *err)
{
	return !strcmp(err->code, "InvalidAMIID.NotFound") ||
	       !strcmp(err->code, "InvalidAMIID.Unavailable");
}

/* Whether an AMI whose deregistration got no answer is gone; false when that is not known either. */
static bool turns_out_gone(struct aws *aws, const char *ami)
{
	const char *ids[] = {ami, NULL};
	struct ec2_image_list list = {0};
	struct error why = ERROR_INIT;
	bool gone;

	if (ec2_describe_images(aws, ids, NULL, 0, &list, &why) < 0)
		return retire_is_gone(&why);
	gone = !list.nr || !strcmp(list.items[0].state, "deregistered");
	ec2_image_list_release(&list);
	return gone;
}

/* It was there when it was planned: when it is not now, an earlier attempt did it. */
static int deregister(struct aws *aws, const char *ami, bool dry_run, struct retire_result *r,
	struct error *err)
{
	CLEANUP_BUF struct buf left = BUF_INIT(0);
	size_t nr;

	if (!ec2_deregister_image(aws, ami, dry_run, err) || retire_is_gone(err) ||
		(is_unknown(err) && err->kind != ERROR_INTERRUPTED && turns_out_gone(aws, ami))) {
		error_clear(err);
		r->image = dry_run ? RETIRE_UNTRIED : RETIRE_DONE;
		return 0;
	}
	r->image = fate_of(err);
	if (dry_run || r->image != RETIRE_UNKNOWN)
		return -1;
	nr = list_fate(r, RETIRE_UNTRIED, &left);
	if (!nr)
		return error_wrap(err, "%s may be deregistered or not", ami);
	return error_wrap(err,
		"%s may be deregistered or not, and %zu snapshots that go with it stay (%s): 'amiwright "
		"deregister %s --delete-snapshots' goes on", ami, nr, buf_str(&left), ami);
}

int retire_image(struct aws *aws, const struct ec2_image *image, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	memset(r, 0, sizeof(*r));
	if (plan_snapshots(aws, image, o, r, err) < 0 ||
		(!o->dry_run && mark_snapshots(aws, image->id, o, r, err) < 0) ||
		deregister(aws, image->id, o->dry_run, r, err) < 0)
		return -1;
	return delete_snapshots(aws, image->id, o, r, err);
}

int retire_find_rest(struct aws *aws, const char *ami, const struct retire_opts *o,
	struct retire_result *r, struct error *err)
{
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	size_t nr;

	memset(r, 0, sizeof(*r));
	if (ec2_find_snapshots(aws, RETIRE_TAG, ami, &list, &nr, err) < 0)
		return -1;
	r->image = RETIRE_DONE;
	r->snapshots = calloc(nr + 1, sizeof(*r->snapshots));
	if (!r->snapshots)
		return error_nomem(err, "the snapshots of an image");
	for (size_t i = 0; i < nr; i++)
		if (plan_snapshot(aws, list[i].id, ami, o, r, err) < 0)
			return -1;
	return 0;
}

int retire_rest(struct aws *aws, const char *ami, const struct retire_opts *o, struct retire_result *r,
	struct error *err)
{
	return delete_snapshots(aws, ami, o, r, err);
}

const char *retire_fate_name(enum retire_fate fate)
{
	static const char *const names[] = {"untried", "done", "unknown", "kept"};

	return names[fate];
}

struct json *retire_result_json(const struct retire_result *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_array(err);

	for (size_t i = 0; out && i < r->nr_snapshots; i++) {
		const struct retire_snapshot *s = &r->snapshots[i];
		CLEANUP(json_cleanup) struct json *item = json_new_object(err);

		if (!item || json_set_str(item, "snapshot", s->id, err) < 0 ||
			json_set_bool(item, "deleted", s->fate == RETIRE_DONE, err) < 0 ||
			json_set_str(item, "fate", retire_fate_name(s->fate), err) < 0 ||
			(s->why[0] && json_set_str(item, "why", s->why, err) < 0) ||
			json_append(out, steal_ptr(&item), err) < 0)
			return NULL;
	}
	return steal_ptr(&out);
}
