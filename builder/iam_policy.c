/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of statements. EBS and EC2 snapshots and images have ARNs without an account; what is
 * changed after its making is held to resources that carry our own tag.
 */
#include "builder/iam_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "builder/copy.h"
#include "builder/publish.h"
#include "builder/retire.h"
#include "uploader/ec2_encryption.h"

enum where {
	HOME = 1,   /* the region of publishing */
	COPIES = 2, /* those of the copies */
};

enum resource {
	ANY = 1, SNAPSHOTS = 2, IMAGES = 4, /* bits; ANY is "*" in the regions */
};

enum condition { NO_CONDITION, OWN_TAGS, MADE_BY_US, RETIRED };

enum { ACTIONS_MAX = 8 };

struct statement {
	const char *sid;
	bool (*when)(const struct spec *s); /* NULL: always */
	bool clean_up;                      /* only for publish --cleanup */
	unsigned where, resources;
	enum condition condition;
	const char *actions[ACTIONS_MAX];   /* ends with NULL */
};

static bool has_copies(const struct spec *s)
{
	return s->ami.nr_copies > 0;
}

static bool has_receivers(const struct spec *s)
{
	const struct spec_share *share = &s->ami.share;

	return share->accounts.nr || share->organizations.nr || share->units.nr || share->everyone;
}

/* Organizations get no permission on snapshots. */
static bool shares_snapshots(const struct spec *s)
{
	return s->ami.share.accounts.nr || s->ami.share.everyone;
}

static bool is_public(const struct spec *s)
{
	return s->ami.share.everyone;
}

static bool deprecates(const struct spec *s)
{
	return s->ami.deprecate_days || s->ami.deprecate_old;
}

static bool protects(const struct spec *s)
{
	return s->ami.protect;
}

static const struct statement statements[] = {
	{"Look", NULL, false, HOME | COPIES, ANY, NO_CONDITION,
		{"ec2:DescribeImages", "ec2:DescribeSnapshots", NULL}},
	{"LookAtEncryption", NULL, false, HOME | COPIES, ANY, NO_CONDITION,
		{"ec2:GetEbsEncryptionByDefault", NULL}},
	{"LookAtBlocks", is_public, false, HOME | COPIES, ANY, NO_CONDITION,
		{"ec2:GetImageBlockPublicAccessState", "ec2:GetSnapshotBlockPublicAccessState", NULL}},
	{"WriteSnapshots", NULL, false, HOME, SNAPSHOTS, NO_CONDITION,
		{"ebs:StartSnapshot", "ebs:PutSnapshotBlock", "ebs:CompleteSnapshot", NULL}},
	{"DropUnfinished", NULL, false, HOME, SNAPSHOTS, MADE_BY_US, {"ec2:DeleteSnapshot", NULL}},
	{"Register", NULL, false, HOME, SNAPSHOTS | IMAGES, NO_CONDITION, {"ec2:RegisterImage", NULL}},
	{"Copy", has_copies, false, HOME | COPIES, SNAPSHOTS | IMAGES, NO_CONDITION, {"ec2:CopyImage", NULL}},
	{"ReplaceFailedCopies", has_copies, false, COPIES, IMAGES, MADE_BY_US,
		{"ec2:DeregisterImage", NULL}},
	{"DropFailedCopies", has_copies, false, COPIES, SNAPSHOTS, RETIRED, {"ec2:DeleteSnapshot", NULL}},
	{"Tag", NULL, false, HOME | COPIES, SNAPSHOTS | IMAGES, OWN_TAGS, {"ec2:CreateTags", NULL}},
	{"ShareImages", has_receivers, false, HOME | COPIES, IMAGES, MADE_BY_US,
		{"ec2:DescribeImageAttribute", "ec2:ModifyImageAttribute", NULL}},
	{"ShareSnapshots", shares_snapshots, false, HOME | COPIES, SNAPSHOTS, MADE_BY_US,
		{"ec2:DescribeSnapshotAttribute", "ec2:ModifySnapshotAttribute", NULL}},
	{"Deprecate", deprecates, false, HOME | COPIES, IMAGES, MADE_BY_US,
		{"ec2:EnableImageDeprecation", NULL}},
	{"Protect", protects, false, HOME | COPIES, IMAGES, MADE_BY_US,
		{"ec2:EnableImageDeregistrationProtection", NULL}},
	{"CleanUpImages", NULL, true, HOME | COPIES, IMAGES, MADE_BY_US,
		{"ec2:DeregisterImage", "ec2:DisableImageDeregistrationProtection", NULL}},
	{"CleanUpSnapshots", has_copies, true, COPIES, SNAPSHOTS, NO_CONDITION, {"ec2:DeleteSnapshot", NULL}},
};

struct regions {
	const char **items; /* the first is home */
	size_t nr;
};

static int add_text(struct json *list, struct error *err, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int add_text(struct json *list, struct error *err, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return json_append_str(list, text, err);
}

/* Regions number from..to of the statement. */
static void range(const struct statement *st, const struct regions *r, size_t *from, size_t *to)
{
	*from = st->where & HOME ? 0 : 1;
	*to = st->where & COPIES ? r->nr : 1;
}

static struct json *resources(const struct statement *st, const struct regions *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	size_t from, to;

	if (!list)
		return NULL;
	range(st, r, &from, &to);
	if (st->resources & ANY && json_append_str(list, "*", err) < 0)
		return NULL;
	for (size_t i = from; i < to; i++) {
		const char *partition = ec2_partition_of(r->items[i]);

		if (st->resources & IMAGES &&
			add_text(list, err, "arn:%s:ec2:%s::image/*", partition, r->items[i]) < 0)
			return NULL;
		if (st->resources & SNAPSHOTS &&
			add_text(list, err, "arn:%s:ec2:%s::snapshot/*", partition, r->items[i]) < 0)
			return NULL;
	}
	return steal_ptr(&list);
}

/* {"operator": {"key": value}}; value is taken. */
static struct json *condition(const char *operator, const char *key, struct json *value,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	CLEANUP(json_cleanup) struct json *inner = json_new_object(err);

	if (!out || !inner) {
		json_free(value);
		return NULL;
	}
	if (json_set(inner, key, value, err) < 0 || json_set(out, operator, steal_ptr(&inner), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

/* "${" begins a variable of the policy language; "${$}" is the character itself. */
static int add_key_name(struct json *list, const char *key, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);

	for (; *key; key++)
		if (*key == '$' ? buf_add_str(&text, "${$}", err) < 0 : buf_add_char(&text, *key, err) < 0)
			return -1;
	return json_append_str(list, buf_str(&text), err);
}

static struct json *tag_keys(const struct spec *s, struct error *err)
{
	static const char *const own[] = {PUBLISH_TAG, PUBLISH_NAME_TAG, SNAPSHOT_TAG, COPY_TAG};
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list)
		return NULL;
	for (size_t i = 0; i < s->ami.nr_tags; i++)
		if (add_key_name(list, s->ami.tags[i].key, err) < 0)
			return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (json_append_str(list, own[i], err) < 0)
			return NULL;
	/* What goes with a failed copy is marked first. */
	if (has_copies(s) && json_append_str(list, RETIRE_TAG, err) < 0)
		return NULL;
	return steal_ptr(&list);
}

static struct json *region_names(const struct statement *st, const struct regions *r,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	size_t from, to;

	if (!list)
		return NULL;
	range(st, r, &from, &to);
	for (size_t i = from; i < to; i++)
		if (json_append_str(list, r->items[i], err) < 0)
			return NULL;
	return steal_ptr(&list);
}

static int set_condition(struct json *out, const struct statement *st, const struct spec *s,
	const struct regions *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *no = NULL;

	if (st->resources & ANY)
		return json_set(out, "Condition", condition("StringEquals", "aws:RequestedRegion",
			region_names(st, r, err), err), err);
	if (st->condition == OWN_TAGS)
		return json_set(out, "Condition", condition("ForAllValues:StringEquals", "aws:TagKeys",
			tag_keys(s, err), err), err);
	if (st->condition == NO_CONDITION)
		return 0;
	no = json_new_array(err);
	if (!no || json_append_str(no, "false", err) < 0)
		return -1;
	return json_set(out, "Condition", condition("Null", st->condition == RETIRED ?
		"aws:ResourceTag/" RETIRE_TAG : "aws:ResourceTag/" PUBLISH_TAG,
		steal_ptr(&no), err), err);
}

static struct json *statement_json(const struct statement *st, const struct spec *s,
	const struct regions *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	CLEANUP(json_cleanup) struct json *actions = json_new_array(err);

	if (!out || !actions)
		return NULL;
	for (const char *const *a = st->actions; *a; a++)
		if (json_append_str(actions, *a, err) < 0)
			return NULL;
	if (json_set_str(out, "Sid", st->sid, err) < 0 ||
		json_set_str(out, "Effect", "Allow", err) < 0 ||
		json_set(out, "Action", steal_ptr(&actions), err) < 0 ||
		json_set(out, "Resource", resources(st, r, err), err) < 0 ||
		set_condition(out, st, s, r, err) < 0)
		return NULL;
	return steal_ptr(&out);
}

/* What EBS does with a key on behalf of the caller ("Permissions to use … KMS keys", EBS guide). */
static struct json *key_actions(struct error *err)
{
	static const char *const actions[] = {"kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt",
		"kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext",
		"kms:ReEncryptFrom", "kms:ReEncryptTo"};
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	for (size_t i = 0; list && i < ARRAY_SIZE(actions); i++)
		if (json_append_str(list, actions[i], err) < 0)
			return NULL;
	return list ? steal_ptr(&list) : NULL;
}

/* An alias is no resource of these actions: the key is then known by its alias. */
static int set_key(struct json *out, const char *key, const char *region, struct error *err)
{
	const char *partition = ec2_partition_of(region);
	const char *alias = strstr(key, "alias/");
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	CLEANUP(json_cleanup) struct json *aliases = json_new_array(err);

	if (!list || !aliases)
		return -1;
	if (!strncmp(key, "arn:", 4) && !alias)
		return json_append_str(list, key, err) < 0 ? -1 :
			json_set(out, "Resource", steal_ptr(&list), err);
	if (!alias)
		return add_text(list, err, "arn:%s:kms:%s:*:key/%s", partition, region, key) < 0 ? -1 :
			json_set(out, "Resource", steal_ptr(&list), err);
	if (add_text(list, err, "arn:%s:kms:%s:*:key/*", partition, region) < 0 ||
		json_append_str(aliases, alias, err) < 0)
		return -1;
	return json_set(out, "Resource", steal_ptr(&list), err) < 0 ? -1 :
		json_set(out, "Condition", condition("ForAnyValue:StringEquals", "kms:ResourceAliases",
			steal_ptr(&aliases), err), err);
}

static int add_key(struct json *list, const char *key, const char *region, size_t number,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	char sid[32];

	snprintf(sid, sizeof(sid), "UseKey%zu", number);
	if (!out || json_set_str(out, "Sid", sid, err) < 0 ||
		json_set_str(out, "Effect", "Allow", err) < 0 ||
		json_set(out, "Action", key_actions(err), err) < 0 || set_key(out, key, region, err) < 0)
		return -1;
	return json_append(list, steal_ptr(&out), err);
}

/* The account's default key has a policy of its own that lets EBS use it. */
static int add_keys(struct json *list, const struct spec *s, const char *region, struct error *err)
{
	size_t number = 0;

	if (s->ami.kms_key && add_key(list, s->ami.kms_key, region, ++number, err) < 0)
		return -1;
	for (size_t i = 0; i < s->ami.nr_copies; i++) {
		const struct spec_copy *copy = &s->ami.copies[i];

		if (copy->kms_key && add_key(list, copy->kms_key, copy->region, ++number, err) < 0)
			return -1;
	}
	return 0;
}

static struct json *all_statements(const struct spec *s, const struct regions *r, bool clean_up,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		const struct statement *st = &statements[i];

		if ((!st->when || st->when(s)) && (clean_up || !st->clean_up) &&
			json_append(list, statement_json(st, s, r, err), err) < 0)
			return NULL;
	}
	return add_keys(list, s, r->items[0], err) < 0 ? NULL : steal_ptr(&list);
}

struct json *iam_policy(const struct spec *s, const char *region, bool clean_up, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_FREE const char **items = calloc(s->ami.nr_copies + 1, sizeof(*items));
	struct regions r = {items, s->ami.nr_copies + 1};

	if (!doc)
		return NULL;
	if (!items)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a policy");
	items[0] = region;
	for (size_t i = 0; i < s->ami.nr_copies; i++)
		items[i + 1] = s->ami.copies[i].region;
	if (json_set_str(doc, "Version", "2012-10-17", err) < 0 ||
		json_set(doc, "Statement", all_statements(s, &r, clean_up, err), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}
