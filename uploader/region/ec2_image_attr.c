/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: Modify-, Describe- and ResetImageAttribute. */
#include "uploader/region/ec2_internal.h"

#include <string.h>

#include "base/num.h"
#include "uploader/region/settings.h"

enum { SHARED_MAX = 1000, DESCRIPTION_MAX = 255 };

static const struct ec2_permission_kind launch_permission = {
	.structure = "LaunchPermission",
	.bad_value = "InvalidAMIAttributeItemValue",
	.organizations = true,
};

struct image *ec2_own_image(struct ec2_ctx *c, const char *id)
{
	struct image *image = store_find_image(c->store, id);

	if (image && access_owns_image(image, c->account) &&
	    strcmp(json_get_str(image->doc, "imageState", ""), "deregistered") == 0) {
		ec2_refuse(c, "InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id);
		return NULL;
	}
	if (image && access_owns_image(image, c->account))
		return image;
	if (image && access_image(&c->region->accounts, image, c->account))
		ec2_refuse_owner(c);
	else
		ec2_refuse(c, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id);
	return NULL;
}

bool ec2_get_image_id(struct ec2_ctx *c, const char **id)
{
	return ec2_get_required(c, "ImageId", id) ||
	       ec2_check_id(c, "ami-", "InvalidAMIID.Malformed", *id);
}

/* What a call changes: one of the three. */
struct modify {
	const char *id, *description, *imds;
	struct ec2_permission_changes permissions;
	bool launch; /* launchPermission was named or changed */
};

/* Value by "<Member>.Value", or by Attribute=<name> with Value. */
static const char *scalar(struct ec2_ctx *c, const char *attribute, const char *name, const char *member)
{
	const char *value = form_getf(&c->form, "%s.Value", member);

	if (!value && attribute && strcmp(attribute, name) == 0)
		value = form_get(&c->form, "Value");
	return value;
}

static bool modify_parse(struct ec2_ctx *c, struct modify *m)
{
	const char *attribute = form_get(&c->form, "Attribute");
	unsigned kinds;

	if (ec2_get_image_id(c, &m->id) || ec2_get_permissions(c, &launch_permission, &m->permissions))
		return true;
	m->description = scalar(c, attribute, "description", "Description");
	m->imds = scalar(c, attribute, "imdsSupport", "ImdsSupport");
	m->launch = json_length(m->permissions.add) + json_length(m->permissions.remove) > 0 ||
		    (attribute && strcmp(attribute, "launchPermission") == 0);
	kinds = (m->description != NULL) + (m->imds != NULL) + m->launch;
	if (attribute && strcmp(attribute, "launchPermission") != 0 &&
	    strcmp(attribute, "description") != 0 && strcmp(attribute, "imdsSupport") != 0)
		return ec2_refuse(c, "InvalidParameterValue",
			"Value (%.60s) for parameter attribute is invalid. Unknown attribute.", attribute);
	if (kinds == 0)
		return ec2_refuse(c, "InvalidParameterCombination", "No attributes specified.");
	if (kinds > 1)
		return ec2_refuse(c, "InvalidParameterCombination",
			"Fields for multiple attribute types specified: %s%s%s",
			m->launch ? "launchPermission, " : "", m->description ? "description" : "",
			m->imds ? m->description ? ", imdsSupport" : "imdsSupport" : "");
	if (m->description && *m->description == '\0')
		return ec2_refuse(c, "MissingParameter",
			"The request must contain the parameter description");
	if (m->description && strlen(m->description) > DESCRIPTION_MAX)
		return ec2_refuse(c, "InvalidParameterValue",
			"Value for parameter description is longer than %d characters", DESCRIPTION_MAX);
	if (m->imds && strcmp(m->imds, "v2.0") != 0)
		return ec2_refuse(c, "InvalidParameterValue",
			"Value (%.40s) for parameter imdsSupport is invalid.", m->imds);
	return false;
}

/* With store->lock held: whether the image's snapshots let it be shared so. */
static bool check_encryption(struct ec2_ctx *c, const struct image *image, bool public)
{
	const struct json *mappings = json_get(image->doc, "blockDeviceMapping");

	for (size_t i = 0; i < json_length(mappings); i++) {
		const char *id = json_get_str(json_get(json_at(mappings, i), "ebs"), "snapshotId", "");
		const struct snapshot *snap = store_find_snapshot(c->store, id);

		if (snap && ec2_refuse_shared_key(c, snap, public))
			return true;
	}
	return false;
}

static bool check_sharing(struct ec2_ctx *c, const struct image *image, const struct modify *m)
{
	bool public = ec2_permissions_name_all(m->permissions.add);

	if (json_length(m->permissions.add) == 0)
		return false;
	if (strcmp(json_get_str(image->doc, "imageState", ""), "available") != 0)
		return ec2_refuse(c, "InvalidAMIID.Unavailable", "The image ID '%s' is not available",
			image->id);
	if (public && settings_get(c->store, c->account, SETTING_IMAGE_BLOCK))
		return ec2_refuse(c, "OperationNotPermitted",
			"You can't publicly share this image because block public access for AMIs is "
			"enabled");
	return check_encryption(c, image, public);
}

/* With store->lock held. */
static bool change_launch(struct ec2_ctx *c, struct image *image, const struct modify *m)
{
	struct error err = ERROR_INIT;
	struct json *list;

	if (check_sharing(c, image, m))
		return true;
	list = ec2_permissions_apply(json_get(image->doc, "launchPermission"), &m->permissions, &err);
	if (!list)
		return ec2_internal(c, &err);
	if (json_length(list) > SHARED_MAX) {
		json_free(list);
		return ec2_refuse(c, "ResourceLimitExceeded",
			"An image is shared with at most %d accounts and organizations", SHARED_MAX);
	}
	if (json_set(image->doc, "launchPermission", list, &err) < 0 ||
	    json_set_bool(image->doc, "isPublic", ec2_permissions_name_all(list), &err) < 0)
		return ec2_internal(c, &err);
	return false;
}

/* With store->lock held. */
static void modify(struct ec2_ctx *c, const struct modify *m)
{
	struct image *image = ec2_own_image(c, m->id);
	struct error err = ERROR_INIT;

	if (!image || ec2_ready(c))
		return;
	if (m->launch && change_launch(c, image, m))
		return;
	if ((m->description && json_set_str(image->doc, "description", m->description, &err) < 0) ||
	    (m->imds && json_set_str(image->doc, "imdsSupport", m->imds, &err) < 0) ||
	    store_save_image(c->store, image, &err) < 0)
		ec2_internal(c, &err);
	else
		ec2_answer_true(c);
}

void ec2_call_modify_image_attribute(struct ec2_ctx *c)
{
	struct modify m = {.id = NULL};

	if (!modify_parse(c, &m)) {
		pthread_mutex_lock(&c->store->lock);
		modify(c, &m);
		pthread_mutex_unlock(&c->store->lock);
	}
	ec2_permissions_release(&m.permissions);
}

/* Attributes that are one text of the record. */
static const struct {
	const char *name, *key;
} scalars[] = {
	{"description", "description"},
	{"kernel", "kernelId"},
	{"ramdisk", "ramdiskId"},
	{"sriovNetSupport", "sriovNetSupport"},
	{"bootMode", "bootMode"},
	{"tpmSupport", "tpmSupport"},
	{"uefiData", "uefiData"},
	{"lastLaunchedTime", "lastLaunchedTime"},
	{"imdsSupport", "imdsSupport"},
	{"deregistrationProtection", "deregistrationProtection"},
};

/* With store->lock held. */
static void describe_attribute(struct ec2_ctx *c, const char *id, const char *attribute)
{
	const struct image *image = ec2_own_image(c, id);
	size_t i = 0;

	if (!image || ec2_ready(c))
		return;
	while (i < ARRAY_SIZE(scalars) && strcmp(scalars[i].name, attribute) != 0)
		i++;
	ec2_begin(c);
	xml_str(&c->xml, "imageId", id);
	if (i < ARRAY_SIZE(scalars)) {
		xml_open(&c->xml, attribute);
		xml_str(&c->xml, "value", json_get_str(image->doc, scalars[i].key, NULL));
		xml_close(&c->xml, attribute);
	} else if (strcmp(attribute, "launchPermission") == 0) {
		ec2_write_permissions(c, attribute, json_get(image->doc, attribute));
	} else if (strcmp(attribute, "productCodes") == 0) {
		xml_empty(&c->xml, attribute);
	} else if (strcmp(attribute, "blockDeviceMapping") == 0) {
		ec2_refuse(c, "AuthFailure", "Unauthorized attempt to access restricted resource");
		return;
	} else {
		ec2_refuse(c, "InvalidParameterValue",
			"Value (%.60s) for parameter attribute is invalid. Unknown attribute.", attribute);
		return;
	}
	ec2_end(c);
}

void ec2_call_describe_image_attribute(struct ec2_ctx *c)
{
	const char *id, *attribute;

	if (ec2_get_image_id(c, &id) || ec2_get_required(c, "Attribute", &attribute))
		return;
	pthread_mutex_lock(&c->store->lock);
	describe_attribute(c, id, attribute);
	pthread_mutex_unlock(&c->store->lock);
}

int ec2_forget_sharing(struct image *image, struct error *err)
{
	if (json_set(image->doc, "launchPermission", json_new_array(err), err) < 0)
		return -1;
	return json_set_bool(image->doc, "isPublic", false, err);
}

void ec2_call_reset_image_attribute(struct ec2_ctx *c)
{
	struct error err = ERROR_INIT;
	const char *id, *attribute;
	struct image *image;

	if (ec2_get_image_id(c, &id) || ec2_get_required(c, "Attribute", &attribute))
		return;
	if (strcmp(attribute, "launchPermission") != 0) {
		ec2_refuse(c, "InvalidRequest", "The request received was invalid.");
		return;
	}
	pthread_mutex_lock(&c->store->lock);
	image = ec2_own_image(c, id);
	if (image && !ec2_ready(c)) {
		if (ec2_forget_sharing(image, &err) < 0 || store_save_image(c->store, image, &err) < 0)
			ec2_internal(c, &err);
		else
			ec2_answer_true(c);
	}
	pthread_mutex_unlock(&c->store->lock);
}
