/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this AMI be shared so? The keys of its encrypted snapshots, the account's switches against
 * public ones; and the grantees as text.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "builder/share_internal.h"
#include "uploader/ec2_encryption.h"
#include "uploader/kms.h"

/* Who may not ask about the key can still share; EC2 judges then. */
static void ask_key(struct aws *aws, struct ec2_share_source *source, struct kms_key *key)
{
	struct error why = ERROR_INIT;

	if (kms_describe_key(aws, source->kms_key, key, &why) < 0) {
		log_warn("whether key %s may serve other accounts is not known: %s", source->kms_key,
			why.text);
		return;
	}
	source->manager = key->manager;
	if (key->state[0] && strcmp(key->state, "Enabled"))
		log_warn("key %s is %s: nobody can use what it encrypts", source->kms_key, key->state);
}

static int judge_snapshot(struct aws *aws, const struct ec2_mapping *m, bool is_public,
	struct error *err)
{
	struct ec2_share_source source = {.id = m->snapshot, .encrypted = m->encrypted > 0};
	struct ec2_snapshot s;
	struct kms_key key;

	if (!source.encrypted)
		return 0;
	if (!is_public) {
		if (ec2_describe_snapshot(aws, m->snapshot, &s, err) < 0)
			return -1;
		source.kms_key = s.kms_key[0] ? s.kms_key : "alias/aws/ebs";
		ask_key(aws, &source, &key);
	}
	switch (ec2_share_verdict(&source, is_public, err)) {
	case EC2_SHARE_REFUSED:
		return -1;
	case EC2_SHARE_NEEDS_KEY:
		log_info("%s: the others can use it when the policy of key %s, or a grant, gives them "
			 "kms:DescribeKey, kms:CreateGrant, kms:ReEncrypt*, kms:GenerateDataKey* and "
			 "kms:Decrypt", m->snapshot, source.kms_key);
		return 0;
	default:
		return 0;
	}
}

typedef int (*block_fn)(struct aws *a, char state[EC2_BLOCK_SIZE], struct error *err);

static void ask_block(struct aws *aws, block_fn ask, const char *what, char state[EC2_BLOCK_SIZE])
{
	struct error why = ERROR_INIT;

	if (!ask(aws, state, &why))
		return;
	state[0] = '\0';
	log_warn("whether public access to %s is blocked is not known: %s", what, why.text);
}

static int judge_public(struct aws *aws, const struct ec2_image *image, bool image_only,
	struct error *err)
{
	char image_block[EC2_BLOCK_SIZE], snapshot_block[EC2_BLOCK_SIZE] = "";

	ask_block(aws, ec2_image_public_block, "AMIs", image_block);
	if (!image_only)
		ask_block(aws, ec2_snapshot_public_block, "snapshots", snapshot_block);
	return ec2_public_verdict(image->id, image->product_codes, image_block, snapshot_block,
		!image_only, err);
}

int share_judge(struct aws *aws, const struct ec2_image *image, const struct share_opts *o,
	struct error *err)
{
	bool is_public = false;

	for (size_t i = 0; i < o->nr; i++)
		is_public |= o->with[i].kind == EC2_GROUP;
	for (size_t i = 0; i < image->nr_mappings; i++)
		if (image->mappings[i].snapshot[0] &&
			judge_snapshot(aws, &image->mappings[i], is_public, err) < 0)
			return -1;
	return is_public ? judge_public(aws, image, o->image_only, err) : 0;
}

const char *share_kind_name(enum ec2_grantee kind)
{
	static const char *const names[] = {"account", "public", "organization",
		"organizational unit"};

	return names[kind];
}

static bool is_account(const char *text)
{
	size_t n = 0;

	while (isdigit((unsigned char)text[n]))
		n++;
	return n == 12 && !text[n];
}

/* "arn:aws:organizations::111122223333:organization/o-…" or ":ou/o-…/ou-…" (part is what follows). */
static bool is_organization(const char *text, const char *part)
{
	const char *at = strstr(text, ":organizations::");

	if (strncmp(text, "arn:aws", 7) || !at)
		return false;
	at += strlen(":organizations::");
	return strspn(at, "0123456789") == 12 && !strncmp(at + 12, part, strlen(part)) &&
	       at[12 + strlen(part)];
}

int share_parse(enum ec2_grantee kind, const char *text, struct ec2_permission *out,
	struct error *err)
{
	static const char *const parts[] = {[EC2_ORGANIZATION] = ":organization/o-",
		[EC2_UNIT] = ":ou/o-"};

	if (kind == EC2_ACCOUNT && !is_account(text))
		return error_set(err, ERROR_USAGE, 0, "'%s' is no account: it has 12 digits", text);
	if ((kind == EC2_ORGANIZATION || kind == EC2_UNIT) &&
		(!is_organization(text, parts[kind]) || strlen(text) >= sizeof(out->value)))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is no ARN of an %s: it is like arn:aws:organizations::111122223333%s…", text,
			share_kind_name(kind), parts[kind]);
	out->kind = kind;
	snprintf(out->value, sizeof(out->value), "%s", text);
	return 0;
}

int share_add(enum ec2_grantee kind, const char *text, struct ec2_permission *with, size_t *nr,
	struct error *err)
{
	if (share_parse(kind, text, &with[*nr], err) < 0)
		return -1;
	for (size_t i = 0; i < *nr; i++)
		if (with[i].kind == kind && !strcmp(with[i].value, with[*nr].value))
			return 0;
	++*nr;
	return 0;
}

struct json *share_permissions_json(const struct ec2_permission_list *list, struct error *err)
{
	static const char *const names[] = {[EC2_ACCOUNT] = "accounts",
		[EC2_ORGANIZATION] = "organizations", [EC2_UNIT] = "organizational_units"};
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	bool is_public = false;

	for (size_t i = 0; i < list->nr; i++)
		is_public |= list->items[i].kind == EC2_GROUP;
	if (!out || json_set_bool(out, "public", is_public, err) < 0)
		return NULL;
	for (int kind = EC2_ACCOUNT; kind <= EC2_UNIT; kind++) {
		CLEANUP(json_cleanup) struct json *values = json_new_array(err);

		if (kind == EC2_GROUP)
			continue;
		for (size_t i = 0; values && i < list->nr; i++)
			if ((int)list->items[i].kind == kind &&
				json_append_str(values, list->items[i].value, err) < 0)
				return NULL;
		if (json_set(out, names[kind], steal_ptr(&values), err) < 0)
			return NULL;
	}
	return steal_ptr(&out);
}
