/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: CopySnapshot, and what it shares with CopyImage. */
#include "uploader/region/ec2_copy.h"

#include <string.h>

#include "base/num.h"
#include "uploader/region/encryption.h"
#include "uploader/region/keys.h"
#include "uploader/region/presigned.h"
#include "uploader/region/settings.h"

enum { COPIES_MAX = 20, DURATION_MAX = 2880 };

bool ec2_get_copy(struct ec2_ctx *c, struct ec2_copy *copy, const char *duration)
{
	struct error err = ERROR_INIT;
	uint64_t minutes = 0;

	if (ec2_get_required(c, "SourceRegion", &copy->region))
		return true;
	if (!region_name_known(copy->region))
		return ec2_refuse(c, "InvalidParameterValue", "Invalid value '%.60s' for sourceRegion",
			copy->region);
	copy->source = stores_get(&c->region->stores, copy->region, &err);
	if (!copy->source)
		return ec2_internal(c, &err);
	copy->description = form_get(&c->form, "Description");
	copy->key = form_get(&c->form, "KmsKeyId");
	copy->has_flag = form_get(&c->form, "Encrypted") != NULL;
	if (ec2_get_bool(c, "Encrypted", &copy->flag) || ec2_get_number(c, duration, &minutes))
		return true;
	if (minutes > DURATION_MAX || minutes % 15 != 0)
		return ec2_refuse(c, "InvalidParameterValue", "%s must be a multiple of 15 up to %d",
			duration, DURATION_MAX);
	if (form_get(&c->form, "DestinationOutpostArn"))
		return ec2_refuse(c, "UnsupportedOperation", "This region has no Outposts");
	return false;
}

bool ec2_choose_copy_key(struct ec2_ctx *c, const struct ec2_copy *copy,
	const struct copy_source *source, bool of_image, struct ec2_copy_key *out)
{
	struct copy_encryption e = {
		.of_image = of_image,
		.encrypted = source->encrypted,
		.own = source->own,
		.same_region = copy->source == c->store,
		.has_flag = copy->has_flag,
		.flag = copy->flag,
		.has_key = copy->key != NULL,
		.default_on = settings_get(c->store, c->account, SETTING_ENCRYPTION) != NULL,
	};

	*out = (struct ec2_copy_key){.fault = copy->fault};
	switch (encryption_of_copy(&e)) {
	case COPY_PLAIN:
		return false;
	case COPY_DEFAULT_KEY:
		keys_default_arn(c->store, c->account, out->arn);
		break;
	case COPY_GIVEN_KEY:
		(void)keys_resolve(c->store, c->account, copy->key, out->arn);
		break;
	case COPY_SAME_KEY:
		memcpy(out->arn, source->key, strnlen(source->key, sizeof(out->arn) - 1));
		break;
	case COPY_KEY_WITHOUT_ENCRYPTION:
		return ec2_refuse(c, "InvalidParameterDependency",
			"The parameter KmsKeyId requires the parameter Encrypted to be set.");
	case COPY_CANNOT_DECRYPT:
		return ec2_refuse(c, "InvalidParameterValue",
			"The copy of an encrypted snapshot is encrypted: Encrypted cannot be false");
	}
	if (!out->fault && !keys_usable(c->store, c->account, out->arn))
		out->fault = COPY_BAD_KEY;
	return false;
}

bool ec2_source_key_usable(const struct store *source, const struct snapshot *snap,
	const char *account)
{
	return !json_get_bool(snap->doc, "encrypted", false) ||
	       keys_usable(source, account, json_get_str(snap->doc, "kmsKey", ""));
}

/* With the source's store->lock held: the snapshot, if it can be copied by the caller. */
static bool take_source(struct ec2_ctx *c, struct ec2_copy *copy, const char *id,
	struct copy_source *source)
{
	struct snapshot *snap = store_find_snapshot(copy->source, id);
	struct error err = ERROR_INIT;

	if (!snap || !access_snapshot(snap, c->account))
		return ec2_refuse(c, "InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id);
	if (snapshot_settle(snap, region_now(c->region), region_monotonic_ms(), &err) < 0)
		return ec2_internal(c, &err);
	if (atomic_load(&snap->status) != SNAPSHOT_COMPLETED)
		return ec2_refuse(c, "IncorrectState",
			"The snapshot '%s' is not completed; its status is '%s'", id,
			snapshot_status_name((enum snapshot_status)atomic_load(&snap->status)));
	if (!ec2_source_key_usable(copy->source, snap, c->account))
		copy->fault = COPY_BAD_KEY;
	copy_source_init(source, snap, c->account);
	return false;
}

/* Between Regions an encrypted source needs the caller's URL; one that is given must be right. */
static bool check_presigned(struct ec2_ctx *c, struct ec2_copy *copy, const char *id, bool encrypted)
{
	const char *url = form_get(&c->form, "PresignedUrl");
	const char *destination = form_get(&c->form, "DestinationRegion");

	if (destination && strcmp(destination, c->store->name) != 0)
		return ec2_refuse(c, "InvalidParameterValue",
			"Value (%.60s) for parameter destinationRegion is invalid: the call was sent to %s",
			destination, c->store->name);
	if (!url)
		return encrypted && copy->source != c->store &&
		       ec2_refuse(c, "MissingParameter",
			       "The request must contain the parameter PresignedUrl: the source is "
			       "encrypted and in another Region");
	switch (presigned_check(c->region, url, c->account, copy->region, id, c->store->name)) {
	case PRESIGNED_OK:
		break;
	case PRESIGNED_OTHER:
		return ec2_refuse(c, "InvalidParameterValue",
			"The presigned URL is not for this copy: Action, SourceRegion, SourceSnapshotId "
			"or DestinationRegion differ");
	case PRESIGNED_BAD:
		copy->fault = "The presigned URL of the request is not valid";
		break;
	}
	return false;
}

/* With store->lock held. */
static void copy_snapshot(struct ec2_ctx *c, const struct ec2_copy *copy,
	const struct copy_source *source, struct json **tags)
{
	struct error err = ERROR_INIT;
	struct ec2_copy_key key;
	struct snapshot *made;
	char id[STORE_ID_SIZE];

	if (ec2_choose_copy_key(c, copy, source, false, &key) || ec2_ready(c))
		return;
	if (copy_count_pending(c->store, c->account) >= COPIES_MAX) {
		ec2_refuse(c, "ResourceLimitExceeded",
			"Too many snapshot copies in progress. The limit is %d for this destination "
			"region.", COPIES_MAX);
		return;
	}
	struct copy_plan plan = {
		.source = source,
		.owner = c->account,
		.description = copy->description,
		.key = key.arn[0] ? key.arn : NULL,
		.fault = key.fault,
		.tags = steal_ptr(tags),
		.now = region_now(c->region),
		.seconds = c->region->copy_seconds,
	};
	if (store_new_id(c->store, "snap-", id, &err) < 0 ||
	    !(made = copy_add(c->store, id, &plan, &err))) {
		json_free(plan.tags);
		ec2_internal(c, &err);
		return;
	}
	ec2_begin(c);
	xml_str(&c->xml, "snapshotId", id);
	ec2_write_tags(c, made->doc);
	ec2_end(c);
}

void ec2_call_copy_snapshot(struct ec2_ctx *c)
{
	struct copy_source source = {.snap = NULL};
	CLEANUP(json_cleanup) struct json *tags = NULL;
	struct ec2_copy copy = {.region = NULL};
	const char *id;
	bool over;

	if (ec2_get_required(c, "SourceSnapshotId", &id) ||
	    ec2_check_id(c, "snap-", "InvalidSnapshotID.Malformed", id) ||
	    ec2_get_copy(c, &copy, "CompletionDurationMinutes") ||
	    ec2_get_tag_specification(c, "snapshot", &tags))
		return;
	pthread_mutex_lock(&copy.source->lock);
	over = take_source(c, &copy, id, &source);
	pthread_mutex_unlock(&copy.source->lock);
	if (!over && !check_presigned(c, &copy, id, source.encrypted)) {
		pthread_mutex_lock(&c->store->lock);
		copy_snapshot(c, &copy, &source, &tags);
		pthread_mutex_unlock(&c->store->lock);
	}
	copy_source_release(&source);
}
