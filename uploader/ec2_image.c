/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RegisterImage. It has no client token, so an attempt whose answer
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
	    ec2_query_add(q, err, o->location, "ImageLocation") < 0 ||
	    ec2_query_add(q, err, o->architecture, "Architecture") < 0 ||
	    ec2_query_add(q, err, o->virtualization ? o->virtualization : "hvm", "VirtualizationType") < 0 ||
	    ec2_query_add(q, err, o->root_device, "RootDeviceName") < 0 ||
	    ec2_query_add(q, err, o->ena ? "true" : NULL, "EnaSupport") < 0 ||
	    ec2_query_add(q, err, o->sriov ? "simple" : NULL, "SriovNetSupport") < 0 ||
	    ec2_query_add(q, err, o->boot_mode, "BootMode") < 0 ||
	    ec2_query_add(q, err, o->tpm, "TpmSupport") < 0 ||
	    ec2_query_add(q, err, o->imds, "ImdsSupport") < 0 ||
	    ec2_query_add(q, err, o->uefi_data, "UefiData") < 0)
		return -1;
	for (size_t i = 0; i < o->nr_billing_products; i++) {
		if (ec2_query_add(q, err, o->billing_products[i], "BillingProduct.%zu", i + 1) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->nr_mappings; i++) {
		if (add_mapping(q, i + 1, &o->mappings[i], err) < 0)
			return -1;
	}
	return ec2_query_tag_spec(q, "image", o->tags, o->nr_tags, err);
}

/*
 * Whether an image that has the wanted name is the one that a lost answer made: same root snapshot,
 * or same bundle.
 */
static bool is_ours(const struct ec2_image *image, const struct ec2_image_opts *o)
{
	const char *root = NULL;

	if (o->location)
		return strcmp(image->location, o->location) == 0;
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
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = ec2_perform(a, &req, query, err);

	if (!doc)
		return -1;
	xmldoc_child_text(xmldoc_root(doc), "imageId", id, EC2_ID_SIZE);
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

int ec2_try_register(struct aws *a, const struct ec2_image_opts *o, struct error *err)
{
	struct ec2_request req = {.action = "RegisterImage", .subject = o->name, .once = true};
	CLEANUP_BUF struct buf query = BUF_INIT(0);

	if (ec2_check_image(o, err) < 0 || register_query(o, &query, err) < 0)
		return -1;
	return ec2_change(a, &req, &query, true, NULL, err);
}
