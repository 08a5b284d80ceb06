/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: DescribeImages. */
#include "uploader/region/ec2_internal.h"

#include <string.h>

#include "base/num.h"

/* Filter, key of the record, kind. Those without a record key in this region match nothing. */
static const struct ec2_field fields[] = {
	{"name", "name", EC2_FIELD_TEXT},
	{"description", "description", EC2_FIELD_TEXT},
	{"state", "imageState", EC2_FIELD_TEXT},
	{"architecture", "architecture", EC2_FIELD_TEXT},
	{"image-id", "imageId", EC2_FIELD_TEXT},
	{"image-type", "imageType", EC2_FIELD_TEXT},
	{"root-device-type", "rootDeviceType", EC2_FIELD_TEXT},
	{"root-device-name", "rootDeviceName", EC2_FIELD_TEXT},
	{"virtualization-type", "virtualizationType", EC2_FIELD_TEXT},
	{"hypervisor", "hypervisor", EC2_FIELD_TEXT},
	{"is-public", "isPublic", EC2_FIELD_BOOL},
	{"manifest-location", "imageLocation", EC2_FIELD_TEXT},
	{"owner-id", "imageOwnerId", EC2_FIELD_TEXT},
	{"owner-alias", "imageOwnerAlias", EC2_FIELD_TEXT},
	{"creation-date", "creationDate", EC2_FIELD_TEXT},
	{"ena-support", "enaSupport", EC2_FIELD_BOOL},
	{"sriov-net-support", "sriovNetSupport", EC2_FIELD_TEXT},
	{"kernel-id", "kernelId", EC2_FIELD_TEXT},
	{"ramdisk-id", "ramdiskId", EC2_FIELD_TEXT},
	{"platform", "platform", EC2_FIELD_TEXT},
	{"product-code", "productCode", EC2_FIELD_TEXT},
	{"source-image-id", "sourceImageId", EC2_FIELD_TEXT},
	{"source-instance-id", "sourceInstanceId", EC2_FIELD_TEXT},
	{"source-image-region", "sourceImageRegion", EC2_FIELD_TEXT},
	{NULL, NULL, EC2_FIELD_TEXT},
};

struct describe {
	struct ec2_list ids, owners, executable_by;
	struct ec2_filters filters;
	struct ec2_page page;
	bool deprecated, disabled; /* show these too */
};

/* An optional boolean: written when the record has it. */
static void write_flag(struct ec2_ctx *c, const struct json *doc, const char *key)
{
	if (json_get(doc, key))
		xml_bool(&c->xml, key, json_get_bool(doc, key, false));
}

static void write_number(struct ec2_ctx *c, const struct json *doc, const char *key)
{
	if (json_get(doc, key))
		xml_int(&c->xml, key, json_get_int(doc, key, 0));
}

static void write_ebs(struct ec2_ctx *c, const struct json *ebs)
{
	if (!ebs)
		return;
	xml_open(&c->xml, "ebs");
	xml_str(&c->xml, "snapshotId", json_get_str(ebs, "snapshotId", NULL));
	write_number(c, ebs, "volumeSize");
	xml_str(&c->xml, "volumeType", json_get_str(ebs, "volumeType", NULL));
	write_number(c, ebs, "iops");
	write_number(c, ebs, "throughput");
	write_flag(c, ebs, "encrypted");
	write_flag(c, ebs, "deleteOnTermination");
	xml_close(&c->xml, "ebs");
}

static void write_mappings(struct ec2_ctx *c, const struct json *mappings)
{
	xml_open(&c->xml, "blockDeviceMapping");
	for (size_t i = 0; i < json_length(mappings); i++) {
		const struct json *one = json_at(mappings, i);

		xml_open(&c->xml, "item");
		xml_str(&c->xml, "deviceName", json_get_str(one, "deviceName", NULL));
		xml_str(&c->xml, "virtualName", json_get_str(one, "virtualName", NULL));
		if (json_get_bool(one, "noDevice", false))
			xml_empty(&c->xml, "noDevice");
		write_ebs(c, json_get(one, "ebs"));
		xml_close(&c->xml, "item");
	}
	xml_close(&c->xml, "blockDeviceMapping");
}

static void write_image(struct ec2_ctx *c, const struct image *image)
{
	static const char *const texts[] = {"imageId", "imageLocation", "imageState",
		"imageOwnerId", "creationDate", "architecture", "imageType", "kernelId", "ramdiskId",
		"platformDetails", "usageOperation", "description", "hypervisor", "name",
		"rootDeviceName", "rootDeviceType", "sriovNetSupport", "virtualizationType",
		"bootMode", "tpmSupport", "imdsSupport", "deregistrationProtection", "deprecationTime",
		"sourceImageId", "sourceImageRegion"};

	xml_open(&c->xml, "item");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		xml_str(&c->xml, texts[i], json_get_str(image->doc, texts[i], NULL));
	write_flag(c, image->doc, "isPublic");
	write_flag(c, image->doc, "enaSupport");
	write_mappings(c, json_get(image->doc, "blockDeviceMapping"));
	if (json_get(image->doc, "stateReason")) {
		xml_open(&c->xml, "stateReason");
		xml_str(&c->xml, "code", "Client.InternalError");
		xml_str(&c->xml, "message", json_get_str(image->doc, "stateReason", ""));
		xml_close(&c->xml, "stateReason");
	}
	if (access_owns_image(image, c->account))
		ec2_write_tags(c, image->doc);
	xml_close(&c->xml, "item");
}

/*
 * Whether the image is executable by one that is named: an account id that is not the caller's
 * counts only when it is named in the permissions itself; "self" also by an organization.
 */
static bool executable_by(const struct ec2_ctx *c, const struct ec2_list *users,
	const struct image *image)
{
	for (size_t i = 0; i < users->nr; i++) {
		const char *user = users->items[i];
		bool self = strcmp(user, "self") == 0 || strcmp(user, c->account) == 0;

		if (strcmp(user, "all") == 0 ? access_image_is_public(image) :
					       access_image_names(image, self ? c->account : user))
			return true;
		if (self && access_image_by_organization(&c->region->accounts, image, c->account))
			return true;
	}
	return users->nr == 0;
}

/* What an account does not see unless it asks for it. */
static bool is_hidden(const struct ec2_ctx *c, const struct describe *d, const struct image *image)
{
	const char *state = json_get_str(image->doc, "imageState", "");
	const char *deprecation = json_get_str(image->doc, "deprecationTime", NULL);
	int64_t when;

	if (strcmp(state, "deregistered") == 0)
		return true;
	if (strcmp(state, "disabled") == 0)
		return !d->disabled && !ec2_list_has(&d->ids, image->id);
	if (!deprecation || d->deprecated || access_owns_image(image, c->account) ||
	    ec2_list_has(&d->ids, image->id))
		return false;
	return num_parse_time(deprecation, &when, NULL) == 0 && when <= region_now(c->region);
}

/* Tags are the owner's. */
static const struct json *tags_for(const struct ec2_ctx *c, const struct image *image)
{
	return access_owns_image(image, c->account) ? json_get(image->doc, "tags") : NULL;
}

static bool selected(const struct ec2_ctx *c, const struct describe *d, const struct image *image)
{
	const char *unknown;

	return access_image(&c->region->accounts, image, c->account) && !is_hidden(c, d, image) &&
	       ec2_listed(&d->ids, image->id) && ec2_id_number(image->id) > d->page.last &&
	       ec2_owner_listed(c, &d->owners, image_owner(image)) &&
	       executable_by(c, &d->executable_by, image) &&
	       ec2_filters_match(&d->filters, fields, image->doc, tags_for(c, image), &unknown);
}

/* With store->lock held. *last gets the number of the last one on a page that others follow. */
static void describe_all(struct ec2_ctx *c, const struct describe *d, uint64_t *last)
{
	struct store *store = c->store;
	uint64_t nr = 0, shown = 0;

	for (size_t i = 0; i < store->nr_images; i++) {
		if (!selected(c, d, store->images[i]))
			continue;
		if (nr++ == d->page.max) {
			*last = shown;
			return;
		}
		write_image(c, store->images[i]);
		shown = ec2_id_number(store->images[i]->id);
	}
}

/* Ids of images that are gone are known and not shown. */
static bool check_ids(struct ec2_ctx *c, const struct ec2_list *ids)
{
	for (size_t i = 0; i < ids->nr; i++) {
		const struct image *image;

		if (ec2_check_id(c, "ami-", "InvalidAMIID.Malformed", ids->items[i]))
			return true;
		image = store_find_image(c->store, ids->items[i]);
		if (!image || !access_image(&c->region->accounts, image, c->account))
			return ec2_refuse(c, "InvalidAMIID.NotFound",
				"The image id '[%s]' does not exist", ids->items[i]);
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
	xml_open(&c->xml, "imagesSet");
	describe_all(c, d, &last);
	xml_close(&c->xml, "imagesSet");
	if (last)
		ec2_next_token(c, "images", last);
	ec2_end(c);
}

void ec2_call_describe_images(struct ec2_ctx *c)
{
	struct store *store = c->store;
	struct describe d = {.deprecated = false};

	ec2_list_get(c, "ImageId", &d.ids);
	ec2_list_get(c, "Owner", &d.owners);
	ec2_list_get(c, "ExecutableBy", &d.executable_by);
	if (ec2_get_bool(c, "IncludeDeprecated", &d.deprecated) ||
	    ec2_get_bool(c, "IncludeDisabled", &d.disabled) || ec2_get_filters(c, &d.filters) ||
	    ec2_get_page(c, "images", 5, 1000, &d.page) ||
	    ec2_check_filters(c, &d.filters, fields) || ec2_ready(c))
		return;
	if (d.ids.nr > 0 && d.page.max != UINT64_MAX) {
		ec2_refuse(c, "InvalidParameterCombination",
			"The parameter ImageIds cannot be used with the parameter MaxResults");
		return;
	}
	pthread_mutex_lock(&store->lock);
	describe(c, &d);
	pthread_mutex_unlock(&store->lock);
}
