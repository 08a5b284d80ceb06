/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: RegisterImage and DeregisterImage. An image's record has EC2's element names as its keys. */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum { NAME_MIN = 3, NAME_MAX = 128, DESCRIPTION_MAX = 255, UEFI_DATA_MAX = 64000 };

/* Parameters with a short list of values. */
static const struct choice {
	const char *param, *key, *fallback;
	const char *values[6];
} choices[] = {
	{"Architecture", "architecture", "i386", {"i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"}},
	{"VirtualizationType", "virtualizationType", "paravirtual", {"hvm", "paravirtual"}},
	{"BootMode", "bootMode", NULL, {"legacy-bios", "uefi", "uefi-preferred"}},
	{"TpmSupport", "tpmSupport", NULL, {"v2.0"}},
	{"ImdsSupport", "imdsSupport", NULL, {"v2.0"}},
	{"SriovNetSupport", "sriovNetSupport", NULL, {"simple"}},
};

static bool get_choices(struct ec2_ctx *c, struct json *doc)
{
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		const char *text = form_get(&c->form, choices[i].param);
		bool known = !text;

		for (size_t v = 0; text && v < ARRAY_SIZE(choices[i].values); v++)
			known |= choices[i].values[v] && strcmp(text, choices[i].values[v]) == 0;
		if (!known)
			return ec2_refuse(c, "InvalidParameterValue",
				"Value (%.60s) for parameter %s is invalid.", text, choices[i].key);
		if (!text)
			text = choices[i].fallback;
		if (text && json_set_str(doc, choices[i].key, text, &err) < 0)
			return ec2_internal(c, &err);
	}
	return false;
}

/*
 * Length as documented; characters as the service's own message lists them, and those documented
 * beside.
 */
bool ec2_check_image_name(struct ec2_ctx *c, const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				      "()[] ./-'@_";
	size_t len = strlen(name);

	if (len >= NAME_MIN && len <= NAME_MAX && strspn(name, allowed) == len)
		return false;
	return ec2_refuse(c, "InvalidAMIName.Malformed",
		"AMI names must be between 3 and 128 characters long, and may contain letters, "
		"numbers, '(', ')', '.', '-', '/' and '_'");
}

/* With store->lock held. */
bool ec2_check_name_free(struct ec2_ctx *c, const char *name)
{
	const struct image *other = store_find_image_name(c->store, c->account, name);

	return other && ec2_refuse(c, "InvalidAMIName.Duplicate",
				"AMI name %s is already in use by AMI %s", name, other->id);
}

static bool check_combinations(struct ec2_ctx *c, const struct json *doc)
{
	bool hvm = strcmp(json_get_str(doc, "virtualizationType", ""), "hvm") == 0;

	if (!hvm && (json_get_bool(doc, "enaSupport", false) || json_get(doc, "sriovNetSupport")))
		return ec2_refuse(c, "InvalidParameterCombination",
			"enaSupport and sriovNetSupport are for hvm images only");
	if (hvm && (json_get(doc, "kernelId") || json_get(doc, "ramdiskId")))
		return ec2_refuse(c, "InvalidParameterCombination",
			"kernelId and ramdiskId are for paravirtual images only");
	if (json_get(doc, "tpmSupport") && strcmp(json_get_str(doc, "bootMode", ""), "uefi") != 0)
		return ec2_refuse(c, "InvalidParameterCombination",
			"tpmSupport needs the boot mode 'uefi'");
	return false;
}

/* Parameters that go to the record as they are. */
static bool get_texts(struct ec2_ctx *c, struct json *doc)
{
	static const struct {
		const char *param, *key;
		size_t max;
	} texts[] = {
		{"Description", "description", DESCRIPTION_MAX},
		{"UefiData", "uefiData", UEFI_DATA_MAX},
		{"KernelId", "kernelId", 64},
		{"RamdiskId", "ramdiskId", 64},
	};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = form_get(&c->form, texts[i].param);

		if (text && strlen(text) > texts[i].max)
			return ec2_refuse(c, "InvalidParameterValue",
				"Value for parameter %s is longer than %zu characters", texts[i].key,
				texts[i].max);
		if (text && *text && json_set_str(doc, texts[i].key, text, &err) < 0)
			return ec2_internal(c, &err);
	}
	return false;
}

static bool get_flags(struct ec2_ctx *c, struct json *doc)
{
	struct error err = ERROR_INIT;
	bool ena = false;

	if (ec2_get_bool(c, "EnaSupport", &ena))
		return true;
	return ena && json_set_bool(doc, "enaSupport", true, &err) < 0 && ec2_internal(c, &err);
}

int ec2_set_new_image(struct ec2_ctx *c, struct json *doc, const char *name, struct error *err)
{
	CLEANUP_FREE char *location = buf_strf(err, "%s/%s", c->account, name);
	char created[NUM_TIME_TEXT + 8];

	num_format_time(created, region_now(c->region));
	memcpy(created + strlen(created) - 1, ".000Z", sizeof(".000Z"));
	if (!location || json_set_str(doc, "name", name, err) < 0 ||
	    json_set_str(doc, "imageLocation", location, err) < 0 ||
	    json_set_str(doc, "imageState", "available", err) < 0 ||
	    json_set_str(doc, "imageOwnerId", c->account, err) < 0 ||
	    json_set_str(doc, "deregistrationProtection", "disabled", err) < 0 ||
	    json_set_bool(doc, "isPublic", false, err) < 0 ||
	    json_set_str(doc, "creationDate", created, err) < 0)
		return -1;
	return 0;
}

/* What every image that is registered in this region has. */
static int set_fixed(struct ec2_ctx *c, struct json *doc, const char *name, const char *root_device,
	struct error *err)
{
	if ((root_device && json_set_str(doc, "rootDeviceName", root_device, err) < 0) ||
	    json_set_str(doc, "rootDeviceType", "ebs", err) < 0 ||
	    json_set_str(doc, "imageType", "machine", err) < 0 ||
	    json_set_str(doc, "hypervisor", "xen", err) < 0 ||
	    json_set_str(doc, "platformDetails", "Linux/UNIX", err) < 0 ||
	    json_set_str(doc, "usageOperation", "RunInstances", err) < 0)
		return -1;
	return ec2_set_new_image(c, doc, name, err);
}

/* With store->lock held: mapping (snapshots are looked up), name, and the new record. */
static void register_image(struct ec2_ctx *c, struct json **doc, const char *name,
	const char *root_device)
{
	struct error err = ERROR_INIT;
	struct json *mappings, *tags;
	char id[STORE_ID_SIZE];

	if (ec2_get_mappings(c, root_device, &mappings))
		return;
	if (json_set(*doc, "blockDeviceMapping", mappings, &err) < 0) {
		ec2_internal(c, &err);
		return;
	}
	if (ec2_get_tag_specification(c, "image", &tags)) {
		json_free(tags);
		return;
	}
	if (tags && json_set(*doc, "tags", tags, &err) < 0) {
		ec2_internal(c, &err);
		return;
	}
	if (ec2_check_name_free(c, name) || ec2_ready(c))
		return;
	if (store_new_id(c->store, "ami-", id, &err) < 0 ||
	    json_set_str(*doc, "imageId", id, &err) < 0 ||
	    !store_add_image(c->store, id, steal_ptr(doc), &err)) {
		ec2_internal(c, &err);
		return;
	}
	ec2_begin(c);
	xml_str(&c->xml, "imageId", id);
	ec2_end(c);
}

void ec2_call_register_image(struct ec2_ctx *c)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *doc = json_new_object(&err);
	const char *name, *root_device = NULL, *location = form_get(&c->form, "ImageLocation");

	if (!doc) {
		ec2_internal(c, &err);
		return;
	}
	if (ec2_get_required(c, "Name", &name) || ec2_check_image_name(c, name) ||
	    (!location && ec2_get_required(c, "RootDeviceName", &root_device)))
		return;
	if (set_fixed(c, doc, name, root_device, &err) < 0) {
		ec2_internal(c, &err);
		return;
	}
	if (get_choices(c, doc) || get_texts(c, doc) || get_flags(c, doc) ||
	    check_combinations(c, doc) || (location && ec2_take_bundle(c, location, doc)))
		return;
	pthread_mutex_lock(&c->store->lock);
	register_image(c, &doc, name, root_device);
	pthread_mutex_unlock(&c->store->lock);
}

/* With store->lock held: each snapshot of a gone image that nothing else uses goes, and is told. */
static void delete_snapshots_of(struct ec2_ctx *c, const struct image *image)
{
	const struct json *mappings = json_get(image->doc, "blockDeviceMapping");
	struct store *store = c->store;

	xml_open(&c->xml, "deleteSnapshotResultSet");
	for (size_t i = 0; i < json_length(mappings); i++) {
		const char *id =
			json_get_str(json_get(json_at(mappings, i), "ebs"), "snapshotId", NULL);
		struct snapshot *snap = id ? store_find_snapshot(store, id) : NULL;
		const char *code = "success";

		if (!snap)
			continue;
		if (store_snapshot_user(store, id))
			code = "skipped";
		else if (store_delete_snapshot(store, snap, NULL) < 0)
			code = "internal-error";
		xml_open(&c->xml, "item");
		xml_str(&c->xml, "snapshotId", id);
		xml_str(&c->xml, "returnCode", code);
		xml_close(&c->xml, "item");
	}
	xml_close(&c->xml, "deleteSnapshotResultSet");
}

/* With store->lock held. */
static void deregister(struct ec2_ctx *c, const char *id, bool delete_snapshots)
{
	struct image *image = ec2_own_image(c, id);
	struct error err = ERROR_INIT;

	if (!image || ec2_ready(c))
		return;
	if (ec2_image_is_protected(c, image)) {
		ec2_refuse(c, "OperationNotPermitted",
			"The image '%s' is protected against deregistration: %s", id,
			json_get_str(image->doc, "deregistrationProtection", ""));
		return;
	}
	if (json_set_str(image->doc, "imageState", "deregistered", &err) < 0 ||
	    store_save_image(c->store, image, &err) < 0) {
		ec2_internal(c, &err);
		return;
	}
	ec2_begin(c);
	xml_bool(&c->xml, "return", true);
	if (delete_snapshots)
		delete_snapshots_of(c, image);
	ec2_end(c);
}

void ec2_call_deregister_image(struct ec2_ctx *c)
{
	bool delete_snapshots = false;
	const char *id;

	if (ec2_get_image_id(c, &id) ||
	    ec2_get_bool(c, "DeleteAssociatedSnapshots", &delete_snapshots))
		return;
	pthread_mutex_lock(&c->store->lock);
	deregister(c, id, delete_snapshots);
	pthread_mutex_unlock(&c->store->lock);
}
