/* SPDX-License-Identifier: Apache-2.0 */
/* ModifyImageAttribute, ModifySnapshotAttribute, what they changed, and the switches beside them. */
#include "uploader/ec2_share.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "uploader/ec2_internal.h"

/* EC2 takes 10000 accounts in a call for an image and 500 for a snapshot; bodies stay small. */
enum { BATCH = 500 };

static const struct {
	const char *element, *parameter;
} kinds[] = {
	[EC2_ACCOUNT] = {"userId", "UserId"},
	[EC2_GROUP] = {"group", "Group"},
	[EC2_ORGANIZATION] = {"organizationArn", "OrganizationArn"},
	[EC2_UNIT] = {"organizationalUnitArn", "OrganizationalUnitArn"},
};

static int read_permissions(const struct xmldoc_node *set, struct ec2_permission_list *out,
	struct error *err)
{
	const struct xmldoc_node *item = xmldoc_child(set, "item");

	for (; item; item = xmldoc_next(item)) {
		struct ec2_permission *items = realloc(out->items, (out->nr + 1) * sizeof(*items));

		if (!items)
			return error_nomem(err, "permissions");
		out->items = items;
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			struct ec2_permission *p = &items[out->nr];

			if (!xmldoc_child_text(item, kinds[i].element, p->value, sizeof(p->value)))
				continue;
			p->kind = (enum ec2_grantee)i;
			out->nr++;
			break;
		}
	}
	return 0;
}

static int permissions(struct aws *a, const char *action, const char *id_name, const char *id,
	const char *attribute, struct ec2_permission_list *out, struct error *err)
{
	struct ec2_request req = {.action = action, .subject = id};
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	memset(out, 0, sizeof(*out));
	if (ec2_query_begin(&q, action, err) < 0 || ec2_query_add(&q, err, id, "%s", id_name) < 0 ||
	    ec2_query_add(&q, err, attribute, "Attribute") < 0)
		return -1;
	doc = ec2_perform(a, &req, &q, err);
	if (doc && read_permissions(xmldoc_child(xmldoc_root(doc), attribute), out, err) == 0)
		return 0;
	free(out->items);
	memset(out, 0, sizeof(*out));
	return -1;
}

int ec2_image_permissions(struct aws *a, const char *ami, struct ec2_permission_list *out,
	struct error *err)
{
	return permissions(a, "DescribeImageAttribute", "ImageId", ami, "launchPermission", out, err);
}

int ec2_snapshot_permissions(struct aws *a, const char *snapshot, struct ec2_permission_list *out,
	struct error *err)
{
	return permissions(a, "DescribeSnapshotAttribute", "SnapshotId", snapshot,
		"createVolumePermission", out, err);
}

/* LaunchPermission.Add.1.UserId=…, which says all four kinds. */
static int image_query(const struct ec2_permission_change *c, size_t first, size_t nr, struct buf *q,
	struct error *err)
{
	if (ec2_query_begin(q, "ModifyImageAttribute", err) < 0 ||
	    ec2_query_add(q, err, c->id, "ImageId") < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		const struct ec2_permission *p = &c->items[first + i];

		if (ec2_query_add(q, err, p->value, "LaunchPermission.%s.%zu.%s",
			    c->remove ? "Remove" : "Add", i + 1, kinds[p->kind].parameter) < 0)
			return -1;
	}
	return 0;
}

/* The flat form, which the aws command sends and which more servers than EC2 know. */
static int snapshot_query(const struct ec2_permission_change *c, size_t first, size_t nr,
	struct buf *q, struct error *err)
{
	size_t users = 0, groups = 0;

	if (ec2_query_begin(q, "ModifySnapshotAttribute", err) < 0 ||
	    ec2_query_add(q, err, c->id, "SnapshotId") < 0 ||
	    ec2_query_add(q, err, "createVolumePermission", "Attribute") < 0 ||
	    ec2_query_add(q, err, c->remove ? "remove" : "add", "OperationType") < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		const struct ec2_permission *p = &c->items[first + i];
		bool group = p->kind == EC2_GROUP;

		if (ec2_query_add(q, err, p->value, "%s.%zu", group ? "UserGroup" : "UserId",
			    group ? ++groups : ++users) < 0)
			return -1;
	}
	return 0;
}

int ec2_change_permissions(struct aws *a, const struct ec2_permission_change *c, size_t *done,
	struct error *err)
{
	bool image = strncmp(c->id, "ami-", 4) == 0;
	struct ec2_request req = {
		.action = image ? "ModifyImageAttribute" : "ModifySnapshotAttribute",
		.subject = c->id,
	};
	size_t nr;

	if (done)
		*done = 0;
	for (size_t first = 0; first < c->nr; first += nr) {
		CLEANUP_BUF struct buf q = BUF_INIT(0);

		nr = MIN(c->nr - first, (size_t)BATCH);
		if ((image ? image_query(c, first, nr, &q, err) :
			     snapshot_query(c, first, nr, &q, err)) < 0 ||
		    ec2_change(a, &req, &q, c->dry_run, NULL, err) < 0)
			return -1;
		if (done)
			*done += nr;
	}
	return 0;
}

static int public_block(struct aws *a, const char *action, const char *element,
	char state[EC2_BLOCK_SIZE], struct error *err)
{
	struct ec2_request req = {.action = action, .subject = aws_region(a)};
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	state[0] = '\0';
	if (ec2_query_begin(&q, action, err) < 0)
		return -1;
	doc = ec2_perform(a, &req, &q, err);
	if (!doc)
		return -1;
	xmldoc_child_text(xmldoc_root(doc), element, state, EC2_BLOCK_SIZE);
	return 0;
}

int ec2_image_public_block(struct aws *a, char state[EC2_BLOCK_SIZE], struct error *err)
{
	return public_block(a, "GetImageBlockPublicAccessState", "imageBlockPublicAccessState", state,
		err);
}

int ec2_snapshot_public_block(struct aws *a, char state[EC2_BLOCK_SIZE], struct error *err)
{
	return public_block(a, "GetSnapshotBlockPublicAccessState", "state", state, err);
}
