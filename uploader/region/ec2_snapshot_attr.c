/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: Modify-, Describe- and ResetSnapshotAttribute: who may make volumes of a snapshot. */
#include "uploader/region/ec2_internal.h"

#include <string.h>

#include "base/num.h"
#include "uploader/region/keys.h"
#include "uploader/region/settings.h"

enum { CHANGES_MAX = 500 };

static const struct ec2_permission_kind volume_permission = {
	.structure = "CreateVolumePermission",
	.bad_value = "InvalidAttributeItemValue",
};

bool ec2_refuse_shared_key(struct ec2_ctx *c, const struct snapshot *snap, bool public)
{
	if (!json_get_bool(snap->doc, "encrypted", false))
		return false;
	if (public)
		return ec2_refuse(c, "OperationNotPermitted",
			"Encrypted snapshots cannot be shared publicly.");
	return keys_is_managed(c->store, json_get_str(snap->doc, "kmsKey", "")) &&
	       ec2_refuse(c, "OperationNotPermitted",
		       "Encrypted snapshots with EBS default key cannot be shared");
}

struct snapshot *ec2_own_snapshot(struct ec2_ctx *c, const char *id)
{
	struct snapshot *snap = store_find_snapshot(c->store, id);

	if (snap && access_owns_snapshot(snap, c->account))
		return snap;
	if (snap && access_snapshot(snap, c->account))
		ec2_refuse_owner(c);
	else
		ec2_refuse(c, "InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id);
	return NULL;
}

/* SnapshotId, and Attribute where it has to be given. */
static bool get_target(struct ec2_ctx *c, const char **id, bool attribute_required)
{
	const char *attribute = form_get(&c->form, "Attribute");

	if (ec2_get_required(c, "SnapshotId", id) ||
	    ec2_check_id(c, "snap-", "InvalidSnapshotID.Malformed", *id))
		return true;
	if (!attribute && attribute_required)
		return ec2_refuse(c, "MissingParameter", "The request must contain the parameter Attribute");
	if (!attribute || strcmp(attribute, "createVolumePermission") == 0)
		return false;
	if (strcmp(attribute, "productCodes") == 0)
		return ec2_refuse(c, "UnsupportedOperation", "This region has no product codes");
	return ec2_refuse(c, "InvalidParameterValue",
		"Value (%.60s) for parameter attribute is invalid. Unknown attribute.", attribute);
}

static bool check_changes(struct ec2_ctx *c, const struct ec2_permission_changes *changes)
{
	size_t add = json_length(changes->add), remove = json_length(changes->remove);

	if (add + remove == 0)
		return ec2_refuse(c, "InvalidParameterCombination", "No attributes specified.");
	if (add && remove)
		return ec2_refuse(c, "InvalidParameterCombination",
			"Permissions cannot be added and removed in one call");
	return add + remove > CHANGES_MAX &&
	       ec2_refuse(c, "InvalidParameterValue", "At most %d permissions change in one call",
		       CHANGES_MAX);
}

/* With store->lock held. */
static void modify(struct ec2_ctx *c, const char *id, const struct ec2_permission_changes *changes)
{
	struct snapshot *snap = ec2_own_snapshot(c, id);
	bool adds = json_length(changes->add) > 0, public = ec2_permissions_name_all(changes->add);
	struct error err = ERROR_INIT;
	struct json *list;

	if (!snap || ec2_ready(c) || (adds && ec2_refuse_shared_key(c, snap, public)))
		return;
	if (public && settings_get(c->store, c->account, SETTING_SNAPSHOT_BLOCK)) {
		ec2_refuse(c, "OperationNotPermitted",
			"You can't publicly share this snapshot because block public access for snapshots "
			"is enabled");
		return;
	}
	list = ec2_permissions_apply(json_get(snap->doc, "createVolumePermission"), changes, &err);
	if (!list || json_set(snap->doc, "createVolumePermission", list, &err) < 0 ||
	    store_save_snapshot(snap, &err) < 0)
		ec2_internal(c, &err);
	else
		ec2_answer_true(c);
}

void ec2_call_modify_snapshot_attribute(struct ec2_ctx *c)
{
	struct ec2_permission_changes changes = {.add = NULL};
	const char *id;

	if (!get_target(c, &id, false) && !ec2_get_permissions(c, &volume_permission, &changes) &&
	    !check_changes(c, &changes)) {
		pthread_mutex_lock(&c->store->lock);
		modify(c, id, &changes);
		pthread_mutex_unlock(&c->store->lock);
	}
	ec2_permissions_release(&changes);
}

void ec2_call_describe_snapshot_attribute(struct ec2_ctx *c)
{
	const struct snapshot *snap;
	const char *id;

	if (get_target(c, &id, true))
		return;
	pthread_mutex_lock(&c->store->lock);
	snap = ec2_own_snapshot(c, id);
	if (snap && !ec2_ready(c)) {
		ec2_begin(c);
		xml_str(&c->xml, "snapshotId", id);
		ec2_write_permissions(c, "createVolumePermission",
			json_get(snap->doc, "createVolumePermission"));
		ec2_end(c);
	}
	pthread_mutex_unlock(&c->store->lock);
}

void ec2_call_reset_snapshot_attribute(struct ec2_ctx *c)
{
	struct error err = ERROR_INIT;
	struct snapshot *snap;
	const char *id;

	if (get_target(c, &id, true))
		return;
	pthread_mutex_lock(&c->store->lock);
	snap = ec2_own_snapshot(c, id);
	if (snap && !ec2_ready(c)) {
		if (json_set(snap->doc, "createVolumePermission", json_new_array(&err), &err) < 0 ||
		    store_save_snapshot(snap, &err) < 0)
			ec2_internal(c, &err);
		else
			ec2_answer_true(c);
	}
	pthread_mutex_unlock(&c->store->lock);
}
