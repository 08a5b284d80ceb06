/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2: CopyImage. The source's record and snapshots are taken under the lock of their Region, which
 * is let go before that of the destination is taken.
 */
#include "uploader/region/ec2_copy.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum { VOLUMES_MAX = 64, COPIES_MAX = 100, TOKEN_MAX = 128, DESCRIPTION_SIZE = 200 };

struct copy_image {
	struct ec2_copy copy;
	const char *source_id, *name, *token;
	bool copy_tags;
	struct json *image_tags, *snapshot_tags; /* of TagSpecification; owned */
	struct json *doc;                        /* the new record; owned */
	struct copy_source sources[VOLUMES_MAX];
	size_t nr_sources;
	char request[SHA256_HEX_SIZE]; /* what must be equal for a repeat with the same token */
};

static void copy_image_release(struct copy_image *ci)
{
	for (size_t i = 0; i < ci->nr_sources; i++)
		copy_source_release(&ci->sources[i]);
	json_free(ci->image_tags);
	json_free(ci->snapshot_tags);
	json_free(ci->doc);
}

static struct json *clone_json(const struct json *doc, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4 * 1024 * 1024);

	if (json_write(doc, false, &text, err) < 0)
		return NULL;
	return json_parse(buf_str(&text), text.len, "record", err);
}

static int digest_request(struct ec2_ctx *c, struct copy_image *ci, struct error *err)
{
	static const char *const names[] = {"SourceImageId", "SourceRegion", "Name", "Description",
		"Encrypted", "KmsKeyId", "CopyImageTags"};
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	uint8_t digest[SHA256_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = form_get(&c->form, names[i]);

		if (buf_addf(&text, err, "%s=%s\n", names[i], value ? value : "") < 0)
			return -1;
	}
	if (sha256(text.data, text.len, digest, err) < 0)
		return -1;
	hex_encode(ci->request, digest, sizeof(digest));
	return 0;
}

static bool parse(struct ec2_ctx *c, struct copy_image *ci)
{
	struct error err = ERROR_INIT;

	if (ec2_get_required(c, "SourceImageId", &ci->source_id) ||
	    ec2_check_id(c, "ami-", "InvalidAMIID.Malformed", ci->source_id) ||
	    ec2_get_required(c, "Name", &ci->name) || ec2_check_image_name(c, ci->name) ||
	    ec2_get_copy(c, &ci->copy, "SnapshotCopyCompletionDurationMinutes") ||
	    ec2_get_bool(c, "CopyImageTags", &ci->copy_tags) ||
	    ec2_get_tag_specifications(c, "image", &ci->image_tags, "snapshot", &ci->snapshot_tags))
		return true;
	ci->token = form_get(&c->form, "ClientToken");
	if (ci->token && strlen(ci->token) > TOKEN_MAX)
		return ec2_refuse(c, "InvalidParameterValue",
			"The client token is longer than %d characters", TOKEN_MAX);
	return digest_request(c, ci, &err) < 0 && ec2_internal(c, &err);
}

/* One snapshot of the source image; with its store->lock held. */
static bool take_snapshot(struct ec2_ctx *c, struct copy_image *ci, const char *id)
{
	struct snapshot *snap = store_find_snapshot(ci->copy.source, id);

	if (!snap || !access_snapshot(snap, c->account))
		return ec2_refuse(c, "InvalidRequest",
			"You do not have permission to access the storage of this ami");
	if (ci->nr_sources == VOLUMES_MAX)
		return ec2_refuse(c, "InvalidRequest", "The image has more than %d snapshots",
			VOLUMES_MAX);
	if (!ec2_source_key_usable(ci->copy.source, snap, c->account))
		ci->copy.fault = COPY_BAD_KEY;
	copy_source_init(&ci->sources[ci->nr_sources++], snap, c->account);
	return false;
}

/* With the source's store->lock held. */
static bool take_source(struct ec2_ctx *c, struct copy_image *ci)
{
	struct error err = ERROR_INIT;
	const struct json *mappings;
	struct image *image;

	if (copy_settle_images(ci->copy.source, region_now(c->region), region_monotonic_ms(), &err) < 0)
		return ec2_internal(c, &err);
	image = store_find_image(ci->copy.source, ci->source_id);
	if (!image || !access_image(&c->region->accounts, image, c->account))
		return ec2_refuse(c, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist",
			ci->source_id);
	if (strcmp(json_get_str(image->doc, "imageState", ""), "available") != 0)
		return ec2_refuse(c, "InvalidAMIID.Unavailable",
			"The image ID '%s' is not available", ci->source_id);
	if (strcmp(json_get_str(image->doc, "rootDeviceType", ""), "instance-store") == 0)
		return ec2_refuse(c, "UnsupportedOperation",
			"This region copies EBS-backed images only: a bundle's copy would be a bucket of its own");
	mappings = json_get(image->doc, "blockDeviceMapping");
	for (size_t i = 0; i < json_length(mappings); i++) {
		const char *id = json_get_str(json_get(json_at(mappings, i), "ebs"), "snapshotId", NULL);

		if (id && take_snapshot(c, ci, id))
			return true;
	}
	ci->doc = clone_json(image->doc, &err);
	if (!ci->doc)
		return ec2_internal(c, &err);
	/* Tags are the owner's, also here. */
	if ((!ci->copy_tags || !access_owns_image(image, c->account)) &&
	    json_set(ci->doc, "tags", json_new_array(&err), &err) < 0)
		return ec2_internal(c, &err);
	return false;
}

/* A copy is not shared, not deprecated, not protected, whatever its source is. */
static int set_fields(struct ec2_ctx *c, struct copy_image *ci, const char *id, struct error *err)
{
	static const char *const gone[] = {"deprecationTime", "protectedUntil", "stateReason",
		"clientToken", "launchPermission", "description"};

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		if (json_set_str(ci->doc, gone[i], NULL, err) < 0)
			return -1;
	if (ec2_set_new_image(c, ci->doc, ci->name, err) < 0 ||
	    json_set_str(ci->doc, "imageId", id, err) < 0 ||
	    json_set_str(ci->doc, "imageState", "pending", err) < 0 ||
	    json_set_str(ci->doc, "description", ci->copy.description, err) < 0 ||
	    json_set_str(ci->doc, "sourceImageId", ci->source_id, err) < 0 ||
	    json_set_str(ci->doc, "sourceImageRegion", ci->copy.region, err) < 0 ||
	    json_set_str(ci->doc, "clientToken", ci->token, err) < 0 ||
	    json_set_str(ci->doc, "request", ci->request, err) < 0)
		return -1;
	return ec2_add_tags(ci->doc, ci->image_tags, err);
}

/* The i-th snapshot's copy; its id and encryption go into the mapping. */
static bool add_snapshot(struct ec2_ctx *c, struct copy_image *ci, size_t i, const char *image_id,
	struct json *ebs)
{
	const struct copy_source *source = &ci->sources[i];
	char id[STORE_ID_SIZE], description[DESCRIPTION_SIZE];
	struct copy_plan plan = {.source = source, .owner = c->account, .of_image = true,
		.now = region_now(c->region), .seconds = c->region->copy_seconds};
	struct error err = ERROR_INIT;
	struct ec2_copy_key key;

	if (ec2_choose_copy_key(c, &ci->copy, source, true, &key))
		return true;
	(void)snprintf(description, sizeof(description),
		"Copied for DestinationAmi %s from SourceAmi %s for SourceSnapshot %s. Task created on "
		"%lld.", image_id, ci->source_id, source->snap->id, (long long)plan.now * 1000);
	plan.description = description;
	plan.key = key.arn[0] ? key.arn : NULL;
	plan.fault = key.fault;
	if ((ci->snapshot_tags && !(plan.tags = clone_json(ci->snapshot_tags, &err))) ||
	    store_new_id(c->store, "snap-", id, &err) < 0 || !copy_add(c->store, id, &plan, &err)) {
		json_free(plan.tags);
		return ec2_internal(c, &err);
	}
	if (json_set_str(ebs, "snapshotId", id, &err) < 0 ||
	    json_set_bool(ebs, "encrypted", plan.key != NULL, &err) < 0)
		return ec2_internal(c, &err);
	return false;
}

/* What was begun for an image that will not be. */
static void drop_snapshots(struct ec2_ctx *c, const struct copy_image *ci)
{
	const struct json *mappings = json_get(ci->doc, "blockDeviceMapping");
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < json_length(mappings); i++) {
		const char *id = json_get_str(json_get(json_at(mappings, i), "ebs"), "snapshotId", "");
		struct snapshot *snap = store_find_snapshot(c->store, id);

		if (snap && atomic_load(&snap->status) == SNAPSHOT_PENDING &&
		    store_delete_snapshot(c->store, snap, &err) < 0)
			return;
	}
}

/* With the destination's store->lock held. */
static bool make_copy(struct ec2_ctx *c, struct copy_image *ci, const char *id)
{
	const struct json *mappings = json_get(ci->doc, "blockDeviceMapping");
	struct error err = ERROR_INIT;
	size_t next = 0;

	for (size_t i = 0; i < json_length(mappings); i++) {
		struct json *ebs = json_get(json_at(mappings, i), "ebs");

		if (json_get_str(ebs, "snapshotId", NULL) && add_snapshot(c, ci, next++, id, ebs))
			return true;
	}
	if (set_fields(c, ci, id, &err) < 0 ||
	    !store_add_image(c->store, id, steal_ptr(&ci->doc), &err))
		return ec2_internal(c, &err);
	return false;
}

/* An image that the caller made with this token before: answered again. */
static bool repeated(struct ec2_ctx *c, const struct copy_image *ci)
{
	for (size_t i = 0; ci->token && i < c->store->nr_images; i++) {
		const struct image *image = c->store->images[i];

		if (!access_owns_image(image, c->account) ||
		    strcmp(json_get_str(image->doc, "imageState", ""), "deregistered") == 0 ||
		    strcmp(json_get_str(image->doc, "clientToken", ""), ci->token) != 0)
			continue;
		if (strcmp(json_get_str(image->doc, "request", ""), ci->request) != 0)
			return ec2_refuse(c, "IdempotentParameterMismatch",
				"The client token was used with other parameters");
		ec2_begin(c);
		xml_str(&c->xml, "imageId", image->id);
		ec2_end(c);
		return true;
	}
	return false;
}

static bool check_limit(struct ec2_ctx *c)
{
	size_t pending = 0;

	for (size_t i = 0; i < c->store->nr_images; i++)
		pending += strcmp(json_get_str(c->store->images[i]->doc, "imageState", ""),
				   "pending") == 0 &&
			   access_owns_image(c->store->images[i], c->account);
	return pending >= COPIES_MAX &&
	       ec2_refuse(c, "ResourceLimitExceeded",
		       "Too many image copies in progress. The limit is %d for this destination region.",
		       COPIES_MAX);
}

/* The matrix may refuse: found out for all snapshots before the first is copied. */
static bool check_keys(struct ec2_ctx *c, struct copy_image *ci)
{
	struct ec2_copy_key key;

	for (size_t i = 0; i < ci->nr_sources; i++)
		if (ec2_choose_copy_key(c, &ci->copy, &ci->sources[i], true, &key))
			return true;
	return false;
}

/* With the destination's store->lock held. */
static void copy_image(struct ec2_ctx *c, struct copy_image *ci)
{
	struct error err = ERROR_INIT;
	char id[STORE_ID_SIZE];

	if (repeated(c, ci) || check_keys(c, ci) || ec2_check_name_free(c, ci->name) || check_limit(c) ||
	    ec2_ready(c))
		return;
	if (store_new_id(c->store, "ami-", id, &err) < 0) {
		ec2_internal(c, &err);
		return;
	}
	if (make_copy(c, ci, id)) {
		if (ci->doc)
			drop_snapshots(c, ci);
		return;
	}
	ec2_begin(c);
	xml_str(&c->xml, "imageId", id);
	ec2_end(c);
}

void ec2_call_copy_image(struct ec2_ctx *c)
{
	struct copy_image ci = {.doc = NULL};
	bool over = parse(c, &ci);

	if (!over) {
		pthread_mutex_lock(&ci.copy.source->lock);
		over = take_source(c, &ci);
		pthread_mutex_unlock(&ci.copy.source->lock);
	}
	if (!over) {
		pthread_mutex_lock(&c->store->lock);
		copy_image(c, &ci);
		pthread_mutex_unlock(&c->store->lock);
	}
	copy_image_release(&ci);
}
