/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2's snapshot calls and tags. DescribeSnapshots is the only judge of a snapshot:
 * CompleteSnapshot's 202 says that the check has begun, no more.
 */
#include "uploader/ec2.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "uploader/ec2_internal.h"

enum { POLL_MS = 2000, POLL_MAX_MS = 15000, LOCAL_POLL_MS = 20, DEFAULT_WAIT_S = 3600 };

struct snapshot_list {
	struct ec2_snapshot *items;
	size_t nr;
};

static void read_snapshot(const struct xmldoc_node *item, struct ec2_snapshot *out)
{
	memset(out, 0, sizeof(*out));
	xmldoc_child_text(item, "snapshotId", out->id, sizeof(out->id));
	xmldoc_child_text(item, "status", out->state, sizeof(out->state));
	xmldoc_child_text(item, "statusMessage", out->message, sizeof(out->message));
	xmldoc_child_text(item, "progress", out->progress, sizeof(out->progress));
	xmldoc_child_text(item, "description", out->description, sizeof(out->description));
	xmldoc_child_text(item, "ownerId", out->owner, sizeof(out->owner));
	xmldoc_child_text(item, "startTime", out->start_time, sizeof(out->start_time));
	xmldoc_child_text(item, "kmsKeyId", out->kms_key, sizeof(out->kms_key));
	out->size_gib = xmldoc_child_number(item, "volumeSize", 0);
	out->encrypted = xmldoc_child_bool(item, "encrypted", false);
}

static int add_page(void *arg, const struct xmldoc_node *root, struct error *err)
{
	const struct xmldoc_node *item = xmldoc_child(xmldoc_child(root, "snapshotSet"), "item");
	struct snapshot_list *list = arg;

	for (; item; item = xmldoc_next(item)) {
		struct ec2_snapshot *items;

		items = realloc(list->items, (list->nr + 1) * sizeof(*items));
		if (!items)
			return error_nomem(err, "the list of snapshots");
		list->items = items;
		read_snapshot(item, &items[list->nr++]);
	}
	return 0;
}

static int describe(struct aws *a, const char *id, bool fresh, struct ec2_snapshot *out,
	struct error *err)
{
	struct ec2_request req = {.action = "DescribeSnapshots", .subject = id,
		.fresh_snapshot = fresh};
	CLEANUP_BUF struct buf q = BUF_INIT(0);
	struct snapshot_list list = {NULL, 0};
	int ret;

	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, id, "SnapshotId.1") < 0)
		return -1;
	ret = ec2_pages(a, &req, &q, add_page, &list, err);
	if (ret == 0 && (list.nr == 0 || strcmp(list.items[0].id, id) != 0)) {
		ret = error_set(err, ERROR_SERVICE, 0,
			"DescribeSnapshots answered without snapshot '%s'", id);
		if (err)
			memcpy(err->code, "InvalidSnapshot.NotFound", sizeof("InvalidSnapshot.NotFound"));
	} else if (ret == 0) {
		*out = list.items[0];
	}
	free(list.items);
	return ret;
}

int ec2_describe_snapshot(struct aws *a, const char *id, struct ec2_snapshot *out, struct error *err)
{
	return describe(a, id, false, out, err);
}

int ec2_find_snapshots(struct aws *a, const char *tag_key, const char *tag_value,
	struct ec2_snapshot **out, size_t *nr, struct error *err)
{
	struct ec2_request req = {.action = "DescribeSnapshots", .subject = "by tag"};
	CLEANUP_BUF struct buf q = BUF_INIT(0);
	CLEANUP_FREE char *filter = buf_strf(err, "tag:%s", tag_key);
	struct snapshot_list list = {NULL, 0};

	*out = NULL;
	*nr = 0;
	if (!filter || ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, "self", "Owner.1") < 0 ||
	    ec2_query_add(&q, err, filter, "Filter.1.Name") < 0 ||
	    ec2_query_add(&q, err, tag_value, "Filter.1.Value.1") < 0 ||
	    ec2_query_add(&q, err, "1000", "MaxResults") < 0)
		return -1;
	if (ec2_pages(a, &req, &q, add_page, &list, err) < 0) {
		free(list.items);
		return -1;
	}
	*out = list.items;
	*nr = list.nr;
	return 0;
}

static int tag_page(void *arg, const struct xmldoc_node *root, struct error *err)
{
	const struct xmldoc_node *item = xmldoc_child(xmldoc_child(root, "snapshotSet"), "item");
	struct ec2_tag_list *out = arg;

	if (!item || out->items)
		return 0;
	return ec2_read_tags(item, out, err);
}

int ec2_snapshot_tags(struct aws *a, const char *id, struct ec2_tag_list *out, struct error *err)
{
	struct ec2_request req = {.action = "DescribeSnapshots", .subject = id};
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	memset(out, 0, sizeof(*out));
	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, id, "SnapshotId.1") < 0)
		return -1;
	if (ec2_pages(a, &req, &q, tag_page, out, err) < 0) {
		ec2_tag_list_release(out);
		return -1;
	}
	return 0;
}

static uint64_t now_ms(const struct aws *a)
{
	const struct aws_clock *c = aws_clock(a);

	return c->monotonic_ms(c->arg);
}

int ec2_wait_snapshot(struct aws *a, const char *id, unsigned timeout_s,
	void (*tick)(void *arg, const struct ec2_snapshot *s), void *arg, struct error *err)
{
	uint64_t end = now_ms(a) + (timeout_s ? timeout_s : DEFAULT_WAIT_S) * UINT64_C(1000);
	unsigned pause = aws_is_loopback(a, AWS_EC2) ? LOCAL_POLL_MS : POLL_MS;
	struct ec2_snapshot s;

	for (;;) {
		if (describe(a, id, true, &s, err) < 0)
			return -1;
		if (tick)
			tick(arg, &s);
		if (strcmp(s.state, "completed") == 0)
			return 0;
		if (strcmp(s.state, "error") == 0)
			return error_set(err, ERROR_SERVICE, 0, "snapshot %s failed: %s", id,
				s.message[0] ? s.message : "EC2 gives no reason");
		if (now_ms(a) + pause >= end)
			return error_set(err, ERROR_NETWORK, 0,
				"snapshot %s is still %s (%s) after %u s", id, s.state,
				s.progress[0] ? s.progress : "0%", timeout_s ? timeout_s : DEFAULT_WAIT_S);
		if (aws_sleep(a, pause, err) < 0)
			return -1;
		pause = MIN(pause + pause / 2, POLL_MAX_MS);
	}
}

int ec2_delete_snapshot(struct aws *a, const char *id, struct error *err)
{
	struct ec2_request req = {.action = "DeleteSnapshot", .subject = id};
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, id, "SnapshotId") < 0)
		return -1;
	doc = ec2_perform(a, &req, &q, err);
	return doc ? 0 : -1;
}

int ec2_create_tags(struct aws *a, const char *id, const struct aws_tag *tags, size_t nr,
	struct error *err)
{
	struct ec2_request req = {.action = "CreateTags", .subject = id};
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	if (nr == 0)
		return 0;
	if (ec2_query_begin(&q, req.action, err) < 0 ||
	    ec2_query_add(&q, err, id, "ResourceId.1") < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		if (ec2_query_add(&q, err, tags[i].key, "Tag.%zu.Key", i + 1) < 0 ||
		    ec2_query_add(&q, err, tags[i].value, "Tag.%zu.Value", i + 1) < 0)
			return -1;
	}
	doc = ec2_perform(a, &req, &q, err);
	return doc ? 0 : -1;
}
