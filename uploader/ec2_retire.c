/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeregisterImage, DeleteSnapshot, Enable/Disable of deprecation and protection; DescribeInstances,
 * DescribeLaunchTemplateVersions.
 */
#include "uploader/ec2_retire.h"

#include <string.h>

#include "base/num.h"
#include "uploader/ec2_internal.h"

/* A call with an id and at most one more parameter. */
static int change(struct aws *a, const char *action, const char *id_name, const char *id,
	const char *name, const char *value, bool dry_run, struct error *err)
{
	struct ec2_request req = {.action = action, .subject = id};
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	if (ec2_query_begin(&q, action, err) < 0 || ec2_query_add(&q, err, id, "%s", id_name) < 0 ||
	    ec2_query_add(&q, err, value, "%s", name) < 0)
		return -1;
	return ec2_change(a, &req, &q, dry_run, NULL, err);
}

int ec2_deregister_image(struct aws *a, const char *ami, bool dry_run, struct error *err)
{
	return change(a, "DeregisterImage", "ImageId", ami, "", NULL, dry_run, err);
}

int ec2_remove_snapshot(struct aws *a, const char *snapshot, bool dry_run, struct error *err)
{
	return change(a, "DeleteSnapshot", "SnapshotId", snapshot, "", NULL, dry_run, err);
}

int ec2_deprecate_image(struct aws *a, const char *ami, int64_t at, bool dry_run, struct error *err)
{
	char text[NUM_TIME_TEXT];

	if (!at)
		return change(a, "DisableImageDeprecation", "ImageId", ami, "", NULL, dry_run, err);
	return change(a, "EnableImageDeprecation", "ImageId", ami, "DeprecateAt",
		num_format_time(text, at), dry_run, err);
}

int ec2_protect_image(struct aws *a, const char *ami, bool on, bool cooldown, bool dry_run,
	struct error *err)
{
	if (!on)
		return change(a, "DisableImageDeregistrationProtection", "ImageId", ami, "", NULL,
			dry_run, err);
	return change(a, "EnableImageDeregistrationProtection", "ImageId", ami, "WithCooldown",
		cooldown ? "true" : NULL, dry_run, err);
}

struct instances {
	size_t nr;
	char *first;
};

static int count_page(void *arg, const struct xmldoc_node *root, struct error *err)
{
	const struct xmldoc_node *group = xmldoc_child(xmldoc_child(root, "reservationSet"), "item");
	struct instances *found = arg;

	(void)err;
	for (; group; group = xmldoc_next(group)) {
		const struct xmldoc_node *item = xmldoc_child(xmldoc_child(group, "instancesSet"), "item");

		for (; item; item = xmldoc_next(item)) {
			char state[20];

			xmldoc_child_text(xmldoc_child(item, "instanceState"), "name", state, sizeof(state));
			if (strcmp(state, "terminated") == 0)
				continue;
			if (!found->nr++)
				xmldoc_child_text(item, "instanceId", found->first, EC2_ID_SIZE);
		}
	}
	return 0;
}

int ec2_instances_of(struct aws *a, const char *ami, size_t *nr, char first[EC2_ID_SIZE],
	struct error *err)
{
	struct ec2_request req = {.action = "DescribeInstances", .subject = ami};
	CLEANUP_BUF struct buf q = BUF_INIT(0);
	struct instances found = {0, first};

	*nr = 0;
	first[0] = '\0';
	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, "image-id", "Filter.1.Name") < 0 ||
	    ec2_query_add(&q, err, ami, "Filter.1.Value.1") < 0 ||
	    ec2_pages(a, &req, &q, count_page, &found, err) < 0)
		return -1;
	*nr = found.nr;
	return 0;
}

struct templates {
	const char *ami;
	struct ec2_template *out;
};

static int template_page(void *arg, const struct xmldoc_node *root, struct error *err)
{
	const struct xmldoc_node *item =
		xmldoc_child(xmldoc_child(root, "launchTemplateVersionSet"), "item");
	const struct templates *t = arg;

	(void)err;
	for (; item; item = xmldoc_next(item)) {
		char id[EC2_ID_SIZE], image[EC2_ID_SIZE];

		xmldoc_child_text(item, "launchTemplateId", id, sizeof(id));
		xmldoc_child_text(xmldoc_child(item, "launchTemplateData"), "imageId", image, sizeof(image));
		/* A service that does not know the filter. */
		if (strncmp(image, "ami-", 4) == 0 && strcmp(image, t->ami) != 0)
			continue;
		if (t->out->id[0]) {
			t->out->others = t->out->others || strcmp(t->out->id, id) != 0;
			continue;
		}
		memcpy(t->out->id, id, sizeof(id));
		xmldoc_child_text(item, "launchTemplateName", t->out->name, sizeof(t->out->name));
		t->out->version = xmldoc_child_number(item, "versionNumber", 0);
	}
	return 0;
}

/* Without a template's id, "$Latest" and "$Default" are those of all templates (EC2 API Reference). */
int ec2_template_of(struct aws *a, const char *ami, struct ec2_template *out, struct error *err)
{
	struct ec2_request req = {.action = "DescribeLaunchTemplateVersions", .subject = ami};
	CLEANUP_BUF struct buf q = BUF_INIT(0);
	struct templates t = {ami, out};

	memset(out, 0, sizeof(*out));
	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, "$Latest", "LaunchTemplateVersion.1") < 0 ||
	    ec2_query_add(&q, err, "$Default", "LaunchTemplateVersion.2") < 0 ||
	    ec2_query_add(&q, err, "image-id", "Filter.1.Name") < 0 ||
	    ec2_query_add(&q, err, ami, "Filter.1.Value.1") < 0)
		return -1;
	return ec2_pages(a, &req, &q, template_page, &t, err);
}
