/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RegisterImage and DescribeImages. RegisterImage has no client token, so an attempt whose answer
 * was lost is never just repeated: the image is looked up by its name, which is unique in an
 * account and region.
 */
#include "uploader/ec2.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "uploader/ec2_internal.h"

enum { REGISTER_ATTEMPTS = 5, REGISTER_PAUSE_MS = 1000 };

static int add_ebs(struct buf *q, size_t i, const struct ec2_mapping *m, struct error *err)
{
	const char *on_end = m->delete_on_termination ? "true" : "false";

	if (ec2_query_add(q, err, m->snapshot[0] ? m->snapshot : NULL,
		    "BlockDeviceMapping.%zu.Ebs.SnapshotId", i) < 0 ||
	    (m->size_gib &&
		    ec2_query_number(q, err, m->size_gib, "BlockDeviceMapping.%zu.Ebs.VolumeSize", i) < 0) ||
	    ec2_query_add(q, err, m->type[0] ? m->type : NULL,
		    "BlockDeviceMapping.%zu.Ebs.VolumeType", i) < 0 ||
	    (m->iops && ec2_query_number(q, err, m->iops, "BlockDeviceMapping.%zu.Ebs.Iops", i) < 0) ||
	    (m->throughput && ec2_query_number(q, err, m->throughput,
				      "BlockDeviceMapping.%zu.Ebs.Throughput", i) < 0))
		return -1;
	if (m->encrypted >= 0 && !m->snapshot[0] &&
	    ec2_query_add(q, err, m->encrypted ? "true" : "false",
		    "BlockDeviceMapping.%zu.Ebs.Encrypted", i) < 0)
		return -1;
	return ec2_query_add(q, err, m->delete_on_termination >= 0 ? on_end : NULL,
		"BlockDeviceMapping.%zu.Ebs.DeleteOnTermination", i);
}

static int add_mapping(struct buf *q, size_t i, const struct ec2_mapping *m, struct error *err)
{
	if (ec2_query_add(q, err, m->device, "BlockDeviceMapping.%zu.DeviceName", i) < 0)
		return -1;
	if (m->no_device)
		return ec2_query_add(q, err, "", "BlockDeviceMapping.%zu.NoDevice", i);
	if (m->virtual_name[0])
		return ec2_query_add(q, err, m->virtual_name, "BlockDeviceMapping.%zu.VirtualName", i);
	return add_ebs(q, i, m, err);
}

static int register_query(const struct ec2_image_opts *o, struct buf *q, struct error *err)
{
	const char *text = o->description && o->description[0] ? o->description : NULL;

	if (ec2_query_begin(q, "RegisterImage", err) < 0 ||
	    ec2_query_add(q, err, o->name, "Name") < 0 ||
	    ec2_query_add(q, err, text, "Description") < 0 ||
	    ec2_query_add(q, err, o->architecture, "Architecture") < 0 ||
	    ec2_query_add(q, err, "hvm", "VirtualizationType") < 0 ||
	    ec2_query_add(q, err, o->root_device, "RootDeviceName") < 0 ||
	    ec2_query_add(q, err, o->ena ? "true" : NULL, "EnaSupport") < 0 ||
	    ec2_query_add(q, err, o->sriov ? "simple" : NULL, "SriovNetSupport") < 0 ||
	    ec2_query_add(q, err, o->boot_mode, "BootMode") < 0 ||
	    ec2_query_add(q, err, o->tpm, "TpmSupport") < 0 ||
	    ec2_query_add(q, err, o->imds, "ImdsSupport") < 0)
		return -1;
	for (size_t i = 0; i < o->nr_mappings; i++) {
		if (add_mapping(q, i + 1, &o->mappings[i], err) < 0)
			return -1;
	}
	return ec2_query_tag_spec(q, "image", o->tags, o->nr_tags, err);
}

/*
 * Whether an image that has the wanted name is the one that a lost answer made: same root snapshot.
 */
static bool is_ours(const struct ec2_image *image, const struct ec2_image_opts *o)
{
	const char *root = NULL;

	for (size_t i = 0; i < o->nr_mappings; i++) {
		if (strcmp(o->mappings[i].device, o->root_device) == 0)
			root = o->mappings[i].snapshot;
	}
	for (size_t i = 0; root && i < image->nr_mappings; i++) {
		if (strcmp(image->mappings[i].device, o->root_device) == 0)
			return strcmp(image->mappings[i].snapshot, root) == 0;
	}
	return false;
}

/*
 * The image of that name: 1 when it is ours, 0 when there is none, -1 on error or when it is
 * another.
 */
static int look_up(struct aws *a, const struct ec2_image_opts *o, char id[EC2_ID_SIZE],
	struct error *err)
{
	struct ec2_filter by_name = {"name", o->name};
	struct ec2_image_list list = {NULL, 0};
	int ret = 0;

	if (ec2_describe_images(a, NULL, &by_name, 1, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.nr && ret == 0; i++) {
		const struct ec2_image *image = &list.items[i];

		if (strcmp(image->name, o->name) != 0)
			continue;
		if (is_ours(image, o)) {
			memcpy(id, image->id, EC2_ID_SIZE);
			ret = 1;
		} else {
			ret = error_set(err, ERROR_SERVICE, 0,
				"the name '%s' is already used by AMI %s: choose another name or "
				"deregister that AMI",
				o->name, image->id);
			if (err)
				memcpy(err->code, "InvalidAMIName.Duplicate",
					sizeof("InvalidAMIName.Duplicate"));
		}
	}
	ec2_image_list_release(&list);
	return ret;
}

static int register_once(struct aws *a, const struct ec2_image_opts *o, const struct buf *query,
	char id[EC2_ID_SIZE], struct error *err)
{
	struct ec2_request req = {.action = "RegisterImage", .subject = o->name,
		.once = true};
	CLEANUP(ec2_xml_cleanup) struct ec2_xml *doc = ec2_perform(a, &req, query, err);

	if (!doc)
		return -1;
	ec2_xml_text(ec2_xml_root(doc), "imageId", id, EC2_ID_SIZE);
	if (strncmp(id, "ami-", 4) != 0)
		return error_set(err, ERROR_SERVICE, 0, "RegisterImage answered without an AMI id");
	return 0;
}

int ec2_register_image(struct aws *a, const struct ec2_image_opts *o, char id[EC2_ID_SIZE],
	struct error *err)
{
	CLEANUP_BUF struct buf query = BUF_INIT(0);
	struct error why = ERROR_INIT;
	bool maybe_done = false;

	id[0] = '\0';
	if (ec2_check_image(o, err) < 0 || register_query(o, &query, err) < 0)
		return -1;
	for (int i = 1;; i++) {
		bool unknown, duplicate;
		int found;

		if (register_once(a, o, &query, id, &why) == 0)
			return 0;
		duplicate = strcmp(why.code, "InvalidAMIName.Duplicate") == 0;
		unknown = why.kind == ERROR_NETWORK || why.http_status >= 500;
		maybe_done |= unknown;
		if (why.kind != ERROR_INTERRUPTED && (unknown || (duplicate && maybe_done))) {
			found = look_up(a, o, id, err);
			if (found != 0)
				return found > 0 ? 0 : -1;
		}
		if (duplicate || !unknown || i == REGISTER_ATTEMPTS)
			break;
		if (aws_sleep(a, REGISTER_PAUSE_MS * (unsigned)i, err) < 0)
			return -1;
	}
	/* EC2's message names the AMI that has the name. */
	if (err)
		*err = why;
	return -1;
}

void ec2_image_list_release(struct ec2_image_list *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		free(l->items[i].mappings);
		free(l->items[i].tags);
	}
	free(l->items);
	memset(l, 0, sizeof(*l));
}

static int optional_bool(const struct ec2_node *node, const char *name)
{
	char text[8];

	return ec2_xml_text(node, name, text, sizeof(text)) ? strcmp(text, "true") == 0 : -1;
}

static void read_mapping(const struct ec2_node *item, struct ec2_mapping *m)
{
	const struct ec2_node *ebs = ec2_xml_child(item, "ebs");

	memset(m, 0, sizeof(*m));
	ec2_xml_text(item, "deviceName", m->device, sizeof(m->device));
	ec2_xml_text(item, "virtualName", m->virtual_name, sizeof(m->virtual_name));
	m->no_device = ec2_xml_child(item, "noDevice") != NULL;
	m->encrypted = m->delete_on_termination = -1;
	if (!ebs)
		return;
	m->ebs = true;
	ec2_xml_text(ebs, "snapshotId", m->snapshot, sizeof(m->snapshot));
	ec2_xml_text(ebs, "volumeType", m->type, sizeof(m->type));
	m->size_gib = ec2_xml_number(ebs, "volumeSize", 0);
	m->iops = (uint32_t)ec2_xml_number(ebs, "iops", 0);
	m->throughput = (uint32_t)ec2_xml_number(ebs, "throughput", 0);
	m->encrypted = optional_bool(ebs, "encrypted");
	m->delete_on_termination = optional_bool(ebs, "deleteOnTermination");
}

static size_t count_items(const struct ec2_node *set)
{
	size_t nr = 0;

	for (const struct ec2_node *n = ec2_xml_child(set, "item"); n; n = ec2_xml_next(n))
		nr++;
	return nr;
}

static int read_lists(const struct ec2_node *item, struct ec2_image *out, struct error *err)
{
	const struct ec2_node *maps = ec2_xml_child(item, "blockDeviceMapping");
	const struct ec2_node *tags = ec2_xml_child(item, "tagSet");

	out->mappings = calloc(count_items(maps) + 1, sizeof(*out->mappings));
	out->tags = calloc(count_items(tags) + 1, sizeof(*out->tags));
	if (!out->mappings || !out->tags)
		return error_nomem(err, "the list of images");
	for (const struct ec2_node *n = ec2_xml_child(maps, "item"); n; n = ec2_xml_next(n))
		read_mapping(n, &out->mappings[out->nr_mappings++]);
	for (const struct ec2_node *n = ec2_xml_child(tags, "item"); n; n = ec2_xml_next(n)) {
		ec2_xml_text(n, "key", out->tags[out->nr_tags].key, sizeof(out->tags->key));
		ec2_xml_text(n, "value", out->tags[out->nr_tags].value, sizeof(out->tags->value));
		out->nr_tags++;
	}
	return 0;
}

static int read_image(const struct ec2_node *item, struct ec2_image *out, struct error *err)
{
	memset(out, 0, sizeof(*out));
	ec2_xml_text(item, "imageId", out->id, sizeof(out->id));
	ec2_xml_text(item, "name", out->name, sizeof(out->name));
	ec2_xml_text(item, "imageState", out->state, sizeof(out->state));
	ec2_xml_text(item, "architecture", out->architecture, sizeof(out->architecture));
	ec2_xml_text(item, "rootDeviceName", out->root_device, sizeof(out->root_device));
	ec2_xml_text(item, "creationDate", out->creation_date, sizeof(out->creation_date));
	ec2_xml_text(item, "imageOwnerId", out->owner, sizeof(out->owner));
	ec2_xml_text(item, "bootMode", out->boot_mode, sizeof(out->boot_mode));
	ec2_xml_text(item, "description", out->description, sizeof(out->description));
	ec2_xml_text(item, "imdsSupport", out->imds, sizeof(out->imds));
	out->is_public = ec2_xml_bool(item, "isPublic", false);
	out->ena = ec2_xml_bool(item, "enaSupport", false);
	return read_lists(item, out, err);
}

static int image_page(void *arg, const struct ec2_node *root, struct error *err)
{
	const struct ec2_node *item = ec2_xml_child(ec2_xml_child(root, "imagesSet"), "item");
	struct ec2_image_list *list = arg;

	for (; item; item = ec2_xml_next(item)) {
		struct ec2_image *items = realloc(list->items, (list->nr + 1) * sizeof(*items));

		if (!items)
			return error_nomem(err, "the list of images");
		list->items = items;
		/* Counted first: what a failure leaves in it is released with the list. */
		if (read_image(item, &items[list->nr++], err) < 0)
			return -1;
	}
	return 0;
}

int ec2_describe_images(struct aws *a, const char *const *ids, const struct ec2_filter *filters,
	size_t nr_filters, struct ec2_image_list *out, struct error *err)
{
	struct ec2_request req = {.action = "DescribeImages"};
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	memset(out, 0, sizeof(*out));
	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, "self", "Owner.1") < 0)
		return -1;
	for (size_t i = 0; ids && ids[i]; i++) {
		if (ec2_query_add(&q, err, ids[i], "ImageId.%zu", i + 1) < 0)
			return -1;
	}
	for (size_t i = 0; i < nr_filters; i++) {
		if (ec2_query_add(&q, err, filters[i].name, "Filter.%zu.Name", i + 1) < 0 ||
		    ec2_query_add(&q, err, filters[i].value, "Filter.%zu.Value.1", i + 1) < 0)
			return -1;
	}
	/*
	 * No MaxResults: older service models do not know it here, and without it the answer is
	 * whole. A NextToken that comes nevertheless is followed.
	 */
	if (ec2_pages(a, &req, &q, image_page, out, err) < 0) {
		ec2_image_list_release(out);
		return -1;
	}
	return 0;
}
