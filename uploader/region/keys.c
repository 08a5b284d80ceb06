/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: records without key material, for nothing here is encrypted in truth. keys.json is
 * {"keys": {id: record}, "aliases": {account: {"alias/…": ARN}}}.
 */
#include "uploader/region/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "uploader/region/record.h"
#include "base/hash.h"
#include "base/num.h"

enum {
	KEYS_FILE_MAX = 4 * 1024 * 1024,
	POLICY_NESTING = 16, /* the grammar needs 6, down to a condition's list */
};

static const char managed_alias[] = "alias/aws/ebs";
static const char managed_id[] = "00000000-0000-4000-8000-"; /* and the account */

static void make_arn(const struct store *s, const char *account, const char *id, char out[KEY_ARN_SIZE])
{
	(void)snprintf(out, KEY_ARN_SIZE, "arn:%s:kms:%s:%s:key/%s", region_name_partition(s->name),
		s->name, account, id);
}

void keys_managed_arn(const struct store *s, const char *account, char out[KEY_ARN_SIZE])
{
	char id[sizeof(managed_id) + ACCOUNT_SIZE];

	(void)snprintf(id, sizeof(id), "%s%s", managed_id, account);
	make_arn(s, account, id, out);
}

void keys_default_arn(const struct store *s, const char *account, char out[KEY_ARN_SIZE])
{
	const char *chosen = json_get_str(json_get(s->settings, account), "ebsDefaultKmsKeyId", "");

	if (*chosen && strlen(chosen) < KEY_ARN_SIZE)
		memcpy(out, chosen, strlen(chosen) + 1);
	else
		keys_managed_arn(s, account, out);
}

/* "arn:P:kms:R:A:key/ID" in parts; true when it is no ARN of this Region's KMS. */
static bool split_arn(const struct store *s, const char *arn, char account[ACCOUNT_SIZE],
	const char **resource)
{
	char head[64];
	size_t len;

	(void)snprintf(head, sizeof(head), "arn:%s:kms:%s:", region_name_partition(s->name), s->name);
	len = strlen(head);
	if (strncmp(arn, head, len) != 0 || strlen(arn) < len + ACCOUNT_SIZE ||
	    arn[len + ACCOUNT_SIZE - 1] != ':')
		return true;
	memcpy(account, arn + len, ACCOUNT_SIZE - 1);
	account[ACCOUNT_SIZE - 1] = '\0';
	*resource = arn + len + ACCOUNT_SIZE;
	return false;
}

bool keys_is_managed(const struct store *s, const char *arn)
{
	char account[ACCOUNT_SIZE], managed[KEY_ARN_SIZE];
	const char *resource;

	if (split_arn(s, arn, account, &resource))
		return false;
	keys_managed_arn(s, account, managed);
	return strcmp(managed, arn) == 0;
}

struct json *keys_all(const struct store *s)
{
	return json_get(s->keys, "keys");
}

struct json *keys_find(const struct store *s, const char *arn)
{
	char account[ACCOUNT_SIZE];
	const char *resource;
	struct json *record;

	if (split_arn(s, arn, account, &resource) || strncmp(resource, "key/", 4) != 0)
		return NULL;
	record = json_get(keys_all(s), resource + 4);
	return record && strcmp(json_get_str(record, "account", ""), account) == 0 ? record : NULL;
}

struct json *keys_aliases(const struct store *s, const char *account)
{
	return json_get(json_get(s->keys, "aliases"), account);
}

/* An alias of an account; "alias/aws/ebs" is everybody's. */
static bool resolve_alias(const struct store *s, const char *account, const char *alias,
	char out[KEY_ARN_SIZE])
{
	const char *arn;

	if (strcmp(alias, managed_alias) == 0) {
		keys_managed_arn(s, account, out);
		return false;
	}
	arn = json_get_str(keys_aliases(s, account), alias, NULL);
	if (arn)
		(void)snprintf(out, KEY_ARN_SIZE, "%s", arn);
	return !arn;
}

bool keys_resolve(const struct store *s, const char *account, const char *text, char out[KEY_ARN_SIZE])
{
	char owner[ACCOUNT_SIZE];
	const char *resource;

	(void)snprintf(out, KEY_ARN_SIZE, "%s", text);
	if (strncmp(text, "alias/", 6) == 0)
		return resolve_alias(s, account, text, out);
	if (strncmp(text, "arn:", 4) != 0)
		make_arn(s, account, text, out);
	else if (!split_arn(s, text, owner, &resource) && strncmp(resource, "alias/", 6) == 0)
		return resolve_alias(s, owner, resource, out);
	return !keys_find(s, out) && !keys_is_managed(s, out);
}

/* The deepest place of brackets in a text of JSON. */
static size_t nesting(const char *text)
{
	size_t depth = 0, deepest = 0;
	bool quoted = false;

	for (; *text; text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (quoted)
			text += *text == '\\' && text[1] != '\0';
		else if (*text == '{' || *text == '[')
			deepest = MAX(deepest, ++depth);
		else if ((*text == '}' || *text == ']') && depth > 0)
			depth--;
	}
	return deepest;
}

enum keys_policy keys_policy_check(const char *policy)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (strlen(policy) > KEYS_POLICY_MAX)
		return KEYS_POLICY_LONG;
	if (nesting(policy) > POLICY_NESTING)
		return KEYS_POLICY_MALFORMED;
	doc = json_parse(policy, strlen(policy), "policy", NULL);
	return json_is_object(doc) ? KEYS_POLICY_OK : KEYS_POLICY_MALFORMED;
}

static bool names_account(const char *text, const char *account)
{
	return strcmp(text, "*") == 0 || strstr(text, account) != NULL;
}

/* Whether a principal (a text or a list of texts) is the account, its root or everybody. */
static bool principal_is(const struct json *principal, const char *account)
{
	const char *text = json_text(principal, NULL);

	if (text)
		return names_account(text, account);
	for (size_t i = 0; json_is_array(principal) && i < json_length(principal); i++)
		if (names_account(json_text(json_at(principal, i), ""), account))
			return true;
	return false;
}

/*
 * A policy's actions and conditions are not judged: an Allow for the account is taken for all that
 * EBS needs of a key.
 */
static bool policy_allows(const char *policy, const char *account)
{
	CLEANUP(json_cleanup) struct json *doc = json_parse(policy, strlen(policy), "key policy", NULL);
	const struct json *statements = json_get(doc, "Statement");
	size_t nr = json_is_array(statements) ? json_length(statements) : 1;

	for (size_t i = 0; statements && i < nr; i++) {
		const struct json *one = json_is_array(statements) ? json_at(statements, i) : statements;
		const struct json *principal = json_get(one, "Principal");
		const struct json *aws = json_get(principal, "AWS");

		if (strcmp(json_get_str(one, "Effect", ""), "Allow") == 0 &&
		    principal_is(aws ? aws : principal, account))
			return true;
	}
	return false;
}

bool keys_usable(const struct store *s, const char *account, const char *arn)
{
	const struct json *record = keys_find(s, arn);
	char managed[KEY_ARN_SIZE];

	if (!record) {
		keys_managed_arn(s, account, managed);
		return strcmp(managed, arn) == 0;
	}
	return strcmp(json_get_str(record, "state", ""), "Enabled") == 0 &&
	       (strcmp(json_get_str(record, "account", ""), account) == 0 ||
		       policy_allows(json_get_str(record, "policy", ""), account));
}

int keys_save(struct store *s, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/keys.json", s->dir);

	if (!path)
		return -1;
	return record_save(path, &s->keys, KEYS_FILE_MAX, "{\"keys\": {}, \"aliases\": {}}", err);
}

int keys_create(struct store *s, const char *account, const char *description, const char *policy,
	int64_t now, char arn[KEY_ARN_SIZE], struct error *err)
{
	CLEANUP(json_cleanup) struct json *record = json_new_object(err);
	char id[KEY_ID_SIZE];
	uint8_t raw[16];

	if (!record)
		return -1;
	if (s->random(raw, sizeof(raw)) != 0)
		return error_set(err, ERROR_IO, 0, "no random bytes for a key's id");
	raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
	raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
	make_arn(s, account, uuid_format(id, raw), arn);
	if (json_set_str(record, "account", account, err) < 0 ||
	    json_set_str(record, "state", "Enabled", err) < 0 ||
	    json_set_str(record, "description", description, err) < 0 ||
	    json_set_str(record, "policy", policy, err) < 0 ||
	    json_set_int(record, "created", now, err) < 0 ||
	    json_set(keys_all(s), id, steal_ptr(&record), err) < 0)
		return -1;
	return keys_save(s, err);
}

int keys_set_alias(struct store *s, const char *account, const char *alias, const char *arn,
	struct error *err)
{
	struct json *all = json_get(s->keys, "aliases");

	if (!keys_aliases(s, account) && json_set(all, account, json_new_object(err), err) < 0)
		return -1;
	if (json_set_str(keys_aliases(s, account), alias, arn, err) < 0)
		return -1;
	return keys_save(s, err);
}

int keys_load(struct store *s, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/keys.json", s->dir);
	CLEANUP_BUF struct buf text = BUF_INIT(KEYS_FILE_MAX);

	if (!path)
		return -1;
	if (access(path, F_OK) < 0) {
		s->keys = json_new_object(err);
		if (!s->keys || json_set(s->keys, "keys", json_new_object(err), err) < 0)
			return -1;
		return json_set(s->keys, "aliases", json_new_object(err), err);
	}
	if (file_read(path, &text, err) < 0)
		return -1;
	s->keys = json_parse(buf_str(&text), text.len, path, err);
	if (s->keys && (!json_is_object(json_get(s->keys, "keys")) ||
			       !json_is_object(json_get(s->keys, "aliases"))))
		return error_set(err, ERROR_INPUT, 0, "'%s' lacks \"keys\" or \"aliases\"", path);
	return s->keys ? 0 : -1;
}
