/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the AMI: copies in other regions, who may launch it, when it and its
 * predecessors are deprecated; with the rules of encryption that hold among these.
 */
#include "builder/spec_schema.h"

#include <stdlib.h>
#include <string.h>

#include "builder/share.h"

/* EC2: entities that an AMI can be shared with. */
enum { SHARES_MAX = 1000, DAYS_MAX = 3650 };

#define FIELD(name) offsetof(struct spec_copy, name)

static const struct schema_key copy_keys[] = {
	{.name = "region", .type = SCHEMA_TEXT, .offset = FIELD(region), .place = FIELD(region_place),
		.flags = SCHEMA_REQUIRED, .hint = "eu-west-1, for example"},
	{.name = "encrypt", .type = SCHEMA_TRISTATE, .offset = FIELD(encrypt),
		.place = FIELD(encrypt_place)},
	{.name = "kms_key", .type = SCHEMA_TEXT, .offset = FIELD(kms_key), .place = FIELD(key_place)},
	{0},
};

/* A region's name alone is a copy of it. */
static void read_copy(struct schema *s, int node, struct spec_copy *copy)
{
	copy->place = spec_yaml_place(s->yaml, node);
	copy->encrypt = -1;
	if (spec_yaml_kind(s->yaml, node) == SPEC_YAML_SCALAR)
		schema_value(s, &copy_keys[0], node, copy);
	else
		schema_map(s, node, copy_keys, "a copy", copy);
}

void spec_read_copies(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;
	size_t nr;

	if (!schema_is(s, node, SPEC_YAML_LIST, key->name))
		return;
	nr = spec_yaml_length(s->yaml, node);
	spec->ami.copies = schema_array(s, nr, sizeof(*spec->ami.copies));
	if (!spec->ami.copies)
		return;
	spec->ami.nr_copies = nr;
	for (size_t i = 0; i < nr && !s->stopped; i++)
		read_copy(s, spec_yaml_item(s->yaml, node, i), &spec->ami.copies[i]);
}

#undef FIELD
#define FIELD(name) offsetof(struct spec_share, name)

static const struct schema_key share_keys[] = {
	{.name = "accounts", .type = SCHEMA_STRINGS, .offset = FIELD(accounts),
		.place = FIELD(accounts_place)},
	{.name = "organizations", .type = SCHEMA_STRINGS, .offset = FIELD(organizations),
		.place = FIELD(organizations_place)},
	{.name = "organizational_units", .type = SCHEMA_STRINGS, .offset = FIELD(units),
		.place = FIELD(units_place)},
	{.name = "public", .type = SCHEMA_BOOL, .offset = FIELD(everyone),
		.place = FIELD(public_place)},
	{0},
};

void spec_read_share(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;

	(void)key;
	spec->ami.share.place = spec_yaml_place(s->yaml, node);
	schema_map(s, node, share_keys, "'share'", &spec->ami.share);
}

#undef FIELD
#define FIELD(name) offsetof(struct spec, name)

static void read_old_days(struct schema *s, const struct schema_key *key, int node, void *out)
{
	static const struct schema_key days = {.name = "old_after_days", .type = SCHEMA_NUMBER,
		.offset = FIELD(ami.deprecate_old_days), .max = DAYS_MAX};

	(void)key;
	((struct spec *)out)->ami.deprecate_old = true;
	schema_value(s, &days, node, out);
}

static const struct schema_key deprecate_keys[] = {
	{.name = "after_days", .type = SCHEMA_NUMBER, .offset = FIELD(ami.deprecate_days), .min = 1,
		.max = DAYS_MAX},
	{.name = "old_after_days", .type = SCHEMA_CUSTOM, .read = read_old_days},
	{0},
};

void spec_read_deprecate(struct schema *s, const struct schema_key *key, int node, void *out)
{
	(void)key;
	schema_map(s, node, deprecate_keys, "'deprecate'", out);
}

bool spec_is_region(const char *text)
{
	size_t words = 0;

	while (*text >= 'a' && *text <= 'z') {
		text += strspn(text, "abcdefghijklmnopqrstuvwxyz");
		if (*text++ != '-')
			return false;
		words++;
	}
	return words >= 2 && *text && strspn(text, "0123456789") == strlen(text);
}

static void check_key(const char *kms_key, struct diag_place place, const char *region, struct diag *d)
{
	const char *in;

	if (!kms_key || strncmp(kms_key, "arn:", 4))
		return;
	in = strstr(kms_key, ":kms:");
	if (!in || (!strstr(in, ":key/") && !strstr(in, ":alias/"))) {
		diag_add(d, place, "'%s' is no ARN of a KMS key, which looks like "
				   "arn:aws:kms:eu-west-1:111122223333:key/…", kms_key);
		return;
	}
	in += strlen(":kms:");
	if (region && (strncmp(in, region, strlen(region)) || in[strlen(region)] != ':'))
		diag_add(d, place, "KMS keys hold for one region: a copy in %s needs a key of that region, "
				   "not '%s'", region, kms_key);
}

static bool is_encrypted(const struct spec *s)
{
	return s->ami.encrypt || s->ami.kms_key;
}

/* Encrypted as far as the spec says: the copy's own word, else the source's. */
static bool copy_encrypted(const struct spec *s, const struct spec_copy *copy)
{
	return copy->encrypt > 0 || copy->kms_key || is_encrypted(s);
}

static void check_copy(const struct spec *s, size_t index, struct diag *d)
{
	const struct spec_copy *copy = &s->ami.copies[index];

	if (copy->region && !spec_is_region(copy->region))
		diag_add(d, copy->region_place, "'%s' is no AWS region, which looks like eu-west-1",
			copy->region);
	for (size_t i = 0; copy->region && i < index; i++)
		if (s->ami.copies[i].region && !strcmp(s->ami.copies[i].region, copy->region))
			diag_add(d, copy->region_place, "%s gets a copy in line %u already", copy->region,
				s->ami.copies[i].place.line);
	if (copy->encrypt == 0 && copy->kms_key)
		diag_add(d, copy->encrypt_place, "'encrypt: false' does not go with 'kms_key'");
	if (copy->encrypt == 0 && is_encrypted(s))
		diag_add(d, copy->encrypt_place, "a copy of an encrypted snapshot is always encrypted: leave "
						 "'encrypt' out");
	check_key(copy->kms_key, copy->key_place, copy->region, d);
}

static void check_list(const struct spec_strings *list, enum ec2_grantee kind, struct diag_place place,
	struct diag *d)
{
	struct ec2_permission permission;

	for (size_t i = 0; i < list->nr; i++) {
		struct error e = ERROR_INIT;

		if (share_parse(kind, list->items[i], &permission, &e) < 0)
			diag_add(d, place, "%s", e.text);
	}
}

static void check_receivers(const struct spec_share *share, struct diag *d)
{
	check_list(&share->accounts, EC2_ACCOUNT, share->accounts_place, d);
	check_list(&share->organizations, EC2_ORGANIZATION, share->organizations_place, d);
	check_list(&share->units, EC2_UNIT, share->units_place, d);
	if (share->accounts.nr + share->organizations.nr + share->units.nr > SHARES_MAX)
		diag_add(d, share->place, "an AMI is shared with %d accounts and organizations at most",
			SHARES_MAX);
}

/* aws/ebs, the account's default key, lets nobody else in; encrypted snapshots are never public. */
static void check_share(const struct spec *s, struct diag *d)
{
	const struct spec_share *share = &s->ami.share;
	bool some = share->accounts.nr || share->organizations.nr || share->units.nr;

	check_receivers(share, d);
	if (share->everyone && is_encrypted(s))
		diag_add(d, share->public_place, "an AMI with encrypted snapshots cannot be public");
	if (some && is_encrypted(s) && !s->ami.kms_key)
		diag_add(d, share->place, "the account's default key cannot be shared: give 'kms_key', a key of "
					  "your own that lets the others use it");
	for (size_t i = 0; i < s->ami.nr_copies; i++) {
		const struct spec_copy *copy = &s->ami.copies[i];

		if (!copy->region || !copy_encrypted(s, copy))
			continue;
		if (share->everyone && !is_encrypted(s))
			diag_add(d, copy->place, "'share' makes the AMI public, an encrypted copy cannot be");
		if (some && !copy->kms_key)
			diag_add(d, copy->place, "the copy in %s is shared too: it needs a 'kms_key' of that region "
						 "that lets the others use it", copy->region);
	}
}

void spec_check_publish(const struct spec *s, struct diag *d)
{
	if (s->ami.encrypt_place.line && !s->ami.encrypt && s->ami.kms_key)
		diag_add(d, s->ami.encrypt_place, "'encrypt: false' does not go with 'kms_key'");
	check_key(s->ami.kms_key, s->ami.key_place, NULL, d);
	for (size_t i = 0; i < s->ami.nr_copies; i++)
		check_copy(s, i, d);
	check_share(s, d);
	if (s->ami.deprecate_place.line && !s->ami.deprecate_days && !s->ami.deprecate_old)
		diag_add(d, s->ami.deprecate_place, "'deprecate' needs 'after_days' or 'old_after_days'");
	if (s->ami.share.everyone && s->ami.deprecate_days > 730)
		diag_add(d, s->ami.deprecate_place, "a public AMI is deprecated after two years at the latest");
}
