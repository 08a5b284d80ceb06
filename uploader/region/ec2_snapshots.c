/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: DescribeSnapshots and DeleteSnapshot. */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/copy.h"

/* Filters over the view that snapshot_view() makes. */
static const struct ec2_field fields[] = {
	{"snapshot-id", "snapshotId", EC2_FIELD_TEXT},
	{"status", "status", EC2_FIELD_TEXT},
	{"description", "description", EC2_FIELD_TEXT},
	{"owner-id", "ownerId", EC2_FIELD_TEXT},
	{"progress", "progress", EC2_FIELD_TEXT},
	{"start-time", "startTime", EC2_FIELD_TEXT},
	{"volume-id", "volumeId", EC2_FIELD_TEXT},
	{"volume-size", "volumeSize", EC2_FIELD_INT},
	{"encrypted", "encrypted", EC2_FIELD_BOOL},
	{"storage-tier", "storageTier", EC2_FIELD_TEXT},
	{"owner-alias", "ownerAlias", EC2_FIELD_TEXT},
	{NULL, NULL, EC2_FIELD_TEXT},
};

static const char *start_time(const struct snapshot *snap, char text[NUM_TIME_TEXT + 8])
{
	size_t len;

	num_format_time(text, json_get_int(snap->doc, "start", 0));
	len = strlen(text);
	memcpy(text + len - 1, ".000Z", sizeof(".000Z"));
	return text;
}

/* EC2 shows 0% while blocks come, 99% while they are checked, 100% at the end. */
enum { PROGRESS_SIZE = 8 };
static const char *progress(const struct snapshot *snap, int64_t now, char text[PROGRESS_SIZE])
{
	if (atomic_load(&snap->status) == SNAPSHOT_COMPLETED)
		return "100%";
	if (!json_get(snap->doc, "copy"))
		return atomic_load(&snap->completing) ? "99%" : "0%";
	(void)snprintf(text, PROGRESS_SIZE, "%d%%", copy_progress(snap, now));
	return text;
}

/* EC2's element names and values, for filters and for the answer. Tags stay in the record. */
static struct json *snapshot_view(const struct snapshot *snap, int64_t now, struct error *err)
{
	char percent[PROGRESS_SIZE];
	CLEANUP(json_cleanup) struct json *v = json_new_object(err);
	char time[NUM_TIME_TEXT + 8];

	if (!v || json_set_str(v, "snapshotId", snap->id, err) < 0 ||
	    json_set_str(v, "volumeId", "vol-ffffffff", err) < 0 ||
	    json_set_str(v, "status", json_get_str(snap->doc, "status", ""), err) < 0 ||
	    json_set_str(v, "statusMessage", json_get_str(snap->doc, "statusMessage", NULL), err) < 0 ||
	    json_set_str(v, "startTime", start_time(snap, time), err) < 0 ||
	    json_set_str(v, "progress", progress(snap, now, percent), err) < 0 ||
	    json_set_str(v, "ownerId", snapshot_owner(snap), err) < 0 ||
	    json_set_int(v, "volumeSize", (int64_t)snap->size_gib, err) < 0 ||
	    json_set_str(v, "description", json_get_str(snap->doc, "description", ""), err) < 0 ||
	    json_set_bool(v, "encrypted", json_get_bool(snap->doc, "encrypted", false), err) < 0 ||
	    json_set_str(v, "kmsKeyId", json_get_str(snap->doc, "kmsKey", NULL), err) < 0 ||
	    json_set_str(v, "storageTier", "standard", err) < 0)
		return NULL;
	return steal_ptr(&v);
}

/* Tags are the owner's. */
static const struct json *tags_for(const struct ec2_ctx *c, const struct snapshot *snap)
{
	return access_owns_snapshot(snap, c->account) ? json_get(snap->doc, "tags") : NULL;
}

static void write_snapshot(struct ec2_ctx *c, const struct snapshot *snap, const struct json *view)
{
	static const char *const texts[] = {"snapshotId", "volumeId", "status", "statusMessage",
		"startTime", "progress", "ownerId", "description", "kmsKeyId", "storageTier"};

	xml_open(&c->xml, "item");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		xml_str(&c->xml, texts[i], json_get_str(view, texts[i], NULL));
	xml_int(&c->xml, "volumeSize", json_get_int(view, "volumeSize", 0));
	xml_bool(&c->xml, "encrypted", json_get_bool(view, "encrypted", false));
	xml_str(&c->xml, "sseType", json_get_bool(view, "encrypted", false) ? "sse-kms" : "none");
	if (atomic_load(&snap->status) == SNAPSHOT_COMPLETED)
		xml_int(&c->xml, "fullSnapshotSizeInBytes",
			json_get_int(snap->doc, "blocks", 0) * STORE_BLOCK_SIZE);
	if (access_owns_snapshot(snap, c->account))
		ec2_write_tags(c, snap->doc);
	xml_close(&c->xml, "item");
}

struct describe {
	struct ec2_list ids, owners, restorable;
	struct ec2_filters filters;
	struct ec2_page page;
};

/* RestorableBy: what that account could make a volume of, by its own id. */
static bool restorable_by(const struct ec2_ctx *c, const struct ec2_list *users,
	const struct snapshot *snap)
{
	for (size_t i = 0; i < users->nr; i++) {
		const char *user = strcmp(users->items[i], "self") == 0 ? c->account : users->items[i];

		if (strcmp(user, "all") == 0 ? access_snapshot_is_public(snap) :
					       access_owns_snapshot(snap, user) ||
					       access_snapshot_names(snap, user))
			return true;
	}
	return users->nr == 0;
}

static bool check_ids(struct ec2_ctx *c, const struct ec2_list *ids)
{
	for (size_t i = 0; i < ids->nr; i++) {
		const struct snapshot *snap;

		if (ec2_check_id(c, "snap-", "InvalidSnapshotID.Malformed", ids->items[i]))
			return true;
		snap = store_find_snapshot(c->store, ids->items[i]);
		if (!snap || !access_snapshot(snap, c->account))
			return ec2_refuse(c, "InvalidSnapshot.NotFound",
				"The snapshot '%s' does not exist.", ids->items[i]);
	}
	return false;
}

/* With store->lock held. *last gets the number of the last one on a page that others follow. */
static bool describe_all(struct ec2_ctx *c, const struct describe *d, uint64_t *last)
{
	struct store *store = c->store;
	uint64_t nr = 0, shown = 0;

	for (size_t i = 0; i < store->nr_snapshots; i++) {
		struct snapshot *snap = store->snapshots[i];
		CLEANUP(json_cleanup) struct json *view = NULL;
		struct error err = ERROR_INIT;
		const char *unknown;

		if (!store_find_snapshot(store, snap->id) || !ec2_listed(&d->ids, snap->id) ||
		    ec2_id_number(snap->id) <= d->page.last || !access_snapshot(snap, c->account) ||
		    !ec2_owner_listed(c, &d->owners, snapshot_owner(snap)) ||
		    !restorable_by(c, &d->restorable, snap))
			continue;
		if (snapshot_settle(snap, region_now(c->region), region_monotonic_ms(), &err) < 0 ||
		    !(view = snapshot_view(snap, region_now(c->region), &err)))
			return ec2_internal(c, &err);
		if (!ec2_filters_match(&d->filters, fields, view, tags_for(c, snap), &unknown))
			continue;
		if (nr++ == d->page.max) {
			*last = shown;
			break;
		}
		write_snapshot(c, snap, view);
		shown = ec2_id_number(snap->id);
	}
	return false;
}

/* With store->lock held. */
static void describe(struct ec2_ctx *c, const struct describe *d)
{
	uint64_t last = 0;

	if (check_ids(c, &d->ids))
		return;
	ec2_begin(c);
	xml_open(&c->xml, "snapshotSet");
	if (describe_all(c, d, &last))
		return;
	xml_close(&c->xml, "snapshotSet");
	if (last)
		ec2_next_token(c, "snapshots", last);
	ec2_end(c);
}

void ec2_call_describe_snapshots(struct ec2_ctx *c)
{
	struct store *store = c->store;
	struct describe d;

	ec2_list_get(c, "SnapshotId", &d.ids);
	ec2_list_get(c, "Owner", &d.owners);
	ec2_list_get(c, "RestorableBy", &d.restorable);
	if (ec2_get_filters(c, &d.filters) || ec2_get_page(c, "snapshots", 5, 1000, &d.page) ||
	    ec2_check_filters(c, &d.filters, fields) || ec2_ready(c))
		return;
	pthread_mutex_lock(&store->lock);
	describe(c, &d);
	pthread_mutex_unlock(&store->lock);
}

/* With store->lock held. */
static void delete_snapshot(struct ec2_ctx *c, const char *id)
{
	struct snapshot *snap = ec2_own_snapshot(c, id);
	const struct image *user = snap ? store_snapshot_user(c->store, id) : NULL;
	struct error err = ERROR_INIT;

	if (!snap || ec2_ready(c))
		return;
	if (user)
		ec2_refuse(c, "InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id,
			user->id);
	else if (store_delete_snapshot(c->store, snap, &err) < 0)
		ec2_internal(c, &err);
	else
		ec2_answer_true(c);
}

void ec2_call_delete_snapshot(struct ec2_ctx *c)
{
	const char *id;

	if (ec2_get_required(c, "SnapshotId", &id) ||
	    ec2_check_id(c, "snap-", "InvalidSnapshotID.Malformed", id))
		return;
	pthread_mutex_lock(&c->store->lock);
	delete_snapshot(c, id);
	pthread_mutex_unlock(&c->store->lock);
}
