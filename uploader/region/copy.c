/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies. A record's "copy" holds {seconds, fault, ofImage}; snapshot_settle() ends it. The copy
 * needs nothing of its source after it was begun, so the source may go, and a killed server goes on.
 */
#include "uploader/region/copy.h"

#include <string.h>

#include "uploader/region/store_internal.h"

void copy_source_init(struct copy_source *source, struct snapshot *snap, const char *account)
{
	const char *key = json_get_str(snap->doc, "kmsKey", "");

	*source = (struct copy_source){
		.snap = snapshot_get(snap),
		.encrypted = json_get_bool(snap->doc, "encrypted", false),
		.own = strcmp(snapshot_owner(snap), account) == 0,
		.blocks = json_get_int(snap->doc, "blocks", 0),
	};
	memcpy(source->key, key, strnlen(key, sizeof(source->key) - 1));
	memcpy(source->owner, snapshot_owner(snap), strnlen(snapshot_owner(snap), ACCOUNT_SIZE - 1));
}

void copy_source_release(struct copy_source *source)
{
	if (source->snap)
		snapshot_put(source->snap);
	source->snap = NULL;
}

static struct json *copy_state(const struct copy_plan *plan, struct error *err)
{
	CLEANUP(json_cleanup) struct json *state = json_new_object(err);

	if (!state || json_set_int(state, "seconds", plan->seconds, err) < 0 ||
	    json_set_str(state, "fault", plan->fault, err) < 0 ||
	    json_set_bool(state, "ofImage", plan->of_image, err) < 0)
		return NULL;
	return steal_ptr(&state);
}

static struct json *make_doc(const struct copy_plan *plan, struct json *tags, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if ((tags ? json_set(doc, "tags", tags, err) : 0) < 0 || !doc ||
	    json_set_str(doc, "owner", plan->owner, err) < 0 ||
	    json_set_str(doc, "status", "pending", err) < 0 ||
	    json_set_int(doc, "size", (int64_t)plan->source->snap->size_gib, err) < 0 ||
	    json_set_int(doc, "start", plan->now, err) < 0 ||
	    json_set_int(doc, "blocks", plan->source->blocks, err) < 0 ||
	    json_set_str(doc, "description", plan->description, err) < 0 ||
	    json_set_bool(doc, "encrypted", plan->key != NULL, err) < 0 ||
	    json_set_str(doc, "kmsKey", plan->key, err) < 0 ||
	    json_set(doc, "copy", copy_state(plan, err), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

struct snapshot *copy_add(struct store *s, const char *id, struct copy_plan *plan, struct error *err)
{
	struct json *doc = make_doc(plan, steal_ptr(&plan->tags), err);

	return doc ? store_add_copy(s, id, doc, plan->source->snap, err) : NULL;
}

size_t copy_count_pending(const struct store *s, const char *account)
{
	size_t nr = 0;

	for (size_t i = 0; i < s->nr_snapshots; i++) {
		const struct snapshot *snap = s->snapshots[i];
		const struct json *copy = json_get(snap->doc, "copy");

		nr += copy && !json_get_bool(copy, "ofImage", false) &&
		      atomic_load(&snap->status) == SNAPSHOT_PENDING &&
		      strcmp(snapshot_owner(snap), account) == 0;
	}
	return nr;
}

int copy_progress(const struct snapshot *snap, int64_t now)
{
	int64_t seconds = json_get_int(json_get(snap->doc, "copy"), "seconds", 0);
	int64_t past = now - json_get_int(snap->doc, "start", now);

	if (seconds <= 0 || past >= seconds)
		return 99;
	return past <= 0 ? 0 : (int)(past * 99 / seconds);
}

/* Ends an image whose copies have ended. */
static int settle_image(struct store *s, struct image *image, int64_t now, uint64_t now_ms,
	struct error *err)
{
	const struct json *mappings = json_get(image->doc, "blockDeviceMapping");
	const char *fault = NULL;

	for (size_t i = 0; i < json_length(mappings); i++) {
		const char *id = json_get_str(json_get(json_at(mappings, i), "ebs"), "snapshotId", NULL);
		struct snapshot *snap = id ? store_find_snapshot(s, id) : NULL;

		if (!id)
			continue;
		if (snap && snapshot_settle(snap, now, now_ms, err) < 0)
			return -1;
		if (snap && atomic_load(&snap->status) == SNAPSHOT_PENDING)
			return 0;
		if (!snap || atomic_load(&snap->status) == SNAPSHOT_ERROR)
			fault = snap ? json_get_str(snap->doc, "statusMessage", "") :
				       "A snapshot of the image was deleted";
	}
	if (json_set_str(image->doc, "imageState", fault ? "failed" : "available", err) < 0 ||
	    (fault && json_set_str(image->doc, "stateReason", fault, err) < 0))
		return -1;
	return store_save_image(s, image, err);
}

int copy_settle_images(struct store *s, int64_t now, uint64_t now_ms, struct error *err)
{
	for (size_t i = 0; i < s->nr_images; i++)
		if (strcmp(json_get_str(s->images[i]->doc, "imageState", ""), "pending") == 0 &&
		    settle_image(s, s->images[i], now, now_ms, err) < 0)
			return -1;
	return 0;
}
