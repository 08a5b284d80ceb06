/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts by two text files. The credentials file is parsed only as far as it is ours: sections
 * without a key (a user's role profiles) are left alone, and what is added goes to its end.
 */
#include "uploader/region/accounts.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/num.h"

enum { SMALL_FILE = 256 * 1024, ACCESS_KEY_LEN = 20, SECRET_KEY_LEN = 40 };

static const char *const profiles[ACCOUNTS_MAX] = {"default", "second", "third", "fourth", "fifth",
	"sixth", "seventh", "eighth", "ninth", "tenth"};

static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char mixed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char digits[] = "1234567812345678"; /* an account does not begin with 0 */

typedef int random_fn(void *buf, size_t len);

/* len characters out of an alphabet of a power of two. */
static int random_text(random_fn *fill, const char *alphabet, size_t letters, char *out,
	size_t len, struct error *err)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte;

		if (fill(&byte, 1) != 0)
			return error_set(err, ERROR_IO, 0, "no random bytes for new credentials");
		out[i] = alphabet[byte % letters];
	}
	out[len] = '\0';
	return 0;
}

void accounts_release(struct accounts *a)
{
	for (size_t i = 0; i < a->nr; i++) {
		struct account *one = &a->items[i];

		if (one->secret_key)
			explicit_bzero(one->secret_key, strlen(one->secret_key));
		free(one->secret_key);
		free(one->access_key);
		free(one->profile);
	}
	json_free(a->organizations);
	*a = (struct accounts){.nr = 0};
}

const struct account *accounts_find(const struct accounts *a, const char *id)
{
	for (size_t i = 0; i < a->nr; i++)
		if (strcmp(a->items[i].id, id) == 0)
			return &a->items[i];
	return NULL;
}

const struct account *accounts_find_key(const struct accounts *a, const char *access_key)
{
	for (size_t i = 0; i < a->nr; i++)
		if (strcmp(a->items[i].access_key, access_key) == 0)
			return &a->items[i];
	return NULL;
}

const struct account *accounts_find_profile(const struct accounts *a, const char *profile)
{
	for (size_t i = 0; i < a->nr; i++)
		if (strcmp(a->items[i].profile, profile) == 0)
			return &a->items[i];
	return NULL;
}

/* Value of "key = value" in the lines from..end; the caller's to free. NULL when it is not there. */
static char *section_value(const char *from, const char *end, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = from; line && line < end;) {
		if (strncmp(line, key, len) == 0) {
			const char *value = line + len + strspn(line + len, " \t");

			if (*value == '=') {
				value += 1 + strspn(value + 1, " \t");
				return strndup(value, strcspn(value, " \t\r\n"));
			}
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return NULL;
}

static bool is_account_id(const char *text)
{
	return strlen(text) == ACCOUNT_SIZE - 1 && strspn(text, "0123456789") == ACCOUNT_SIZE - 1;
}

/* One section: its name and its lines. Without a key it is not an account. */
static int take_section(struct accounts *a, const char *name, size_t name_len, const char *from,
	const char *end, const char *path, struct error *err)
{
	struct account *one = &a->items[a->nr];
	CLEANUP_FREE char *id = section_value(from, end, "aws_account_id");
	CLEANUP_FREE char *key = section_value(from, end, "aws_access_key_id");
	CLEANUP_FREE char *secret = section_value(from, end, "aws_secret_access_key");

	if (!key && !secret)
		return 0;
	if (!key || !secret || !id || !is_account_id(id))
		return error_set(err, ERROR_INPUT, 0,
			"'%s': profile '%.*s' lacks aws_access_key_id, aws_secret_access_key or an "
			"aws_account_id of 12 digits", path, (int)name_len, name);
	if (a->nr == ACCOUNTS_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s' has more than %d accounts", path,
			ACCOUNTS_MAX);
	*one = (struct account){.profile = strndup(name, name_len)};
	one->access_key = steal_ptr(&key);
	one->secret_key = steal_ptr(&secret);
	memcpy(one->id, id, ACCOUNT_SIZE);
	a->nr++;
	return one->profile ? 0 : error_nomem(err, "account");
}

static int parse_credentials(struct accounts *a, const char *text, const char *path,
	struct error *err)
{
	const char *at = *text == '[' ? text : strstr(text, "\n[");

	while (at) {
		const char *name = at + (*at == '\n') + 1, *close = strchr(name, ']');
		const char *next = close ? strstr(close, "\n[") : NULL;

		if (!close)
			return error_set(err, ERROR_INPUT, 0, "'%s': a '[' lacks its ']'", path);
		if (take_section(a, name, (size_t)(close - name), strchr(close, '\n'),
			    next ? next : close + strlen(close), path, err) < 0)
			return -1;
		at = next;
	}
	return 0;
}

static int add_account(struct accounts *a, struct buf *text, random_fn *fill, struct error *err)
{
	char key[ACCESS_KEY_LEN + 1] = "AKIA", secret[SECRET_KEY_LEN + 1], id[ACCOUNT_SIZE];
	const char *profile = NULL;

	for (size_t i = 0; i < ACCOUNTS_MAX && !profile; i++)
		if (!accounts_find_profile(a, profiles[i]))
			profile = profiles[i];
	if (random_text(fill, digits, 16, id, ACCOUNT_SIZE - 1, err) < 0 ||
	    random_text(fill, upper, 32, key + 4, ACCESS_KEY_LEN - 4, err) < 0 ||
	    random_text(fill, mixed, 64, secret, SECRET_KEY_LEN, err) < 0)
		return -1;
	return buf_addf(text, err,
		"%s[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_account_id = %s\n",
		text->len ? "\n" : "", profile, key, secret, id);
}

/* The file's accounts, and new ones until there are as many as wanted. */
static int load_credentials(struct accounts *a, const char *path, bool in_use, size_t wanted,
	random_fn *fill, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(SMALL_FILE);
	int ret = 0;

	if (access(path, F_OK) == 0 && file_read(path, &text, err) < 0)
		return -1;
	ret = parse_credentials(a, buf_str(&text), path, err);
	/* New accounts would own nothing of what is there. */
	if (ret == 0 && a->nr == 0 && in_use)
		ret = error_set(err, ERROR_INPUT, 0,
			"'%s' has no account, but the folder has images and snapshots of one: bring the file back, "
			"or begin with an empty folder", path);
	while (ret == 0 && a->nr < wanted) {
		ret = add_account(a, &text, fill, err);
		if (ret == 0) {
			accounts_release(a);
			ret = parse_credentials(a, buf_str(&text), path, err);
		}
		if (ret == 0 && a->nr >= wanted)
			ret = file_write_atomic(path, text.data, text.len, 0600, true, err);
	}
	if (ret == 0 && !accounts_find_profile(a, "default"))
		return error_set(err, ERROR_INPUT, 0, "'%s' lacks the profile 'default'", path);
	return ret;
}

static int add_members(struct json *all, const char *arn, const struct accounts *a, size_t from,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	for (size_t i = from; list && i < a->nr; i++)
		if (json_append_str(list, a->items[i].id, err) < 0)
			return -1;
	return list ? json_set(all, arn, steal_ptr(&list), err) : -1;
}

/* One organization with all accounts, and a unit of it with all but the first. */
static int make_organizations(const struct accounts *a, const char *path, random_fn *fill,
	struct error *err)
{
	static const char hexlike[] = "0123456789abcdef";
	CLEANUP(json_cleanup) struct json *all = json_new_object(err);
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);
	CLEANUP_FREE char *organization = NULL, *unit = NULL;
	char name[11], root[5], leaf[9];

	if (!all || random_text(fill, hexlike, 16, name, 10, err) < 0 ||
	    random_text(fill, hexlike, 16, root, 4, err) < 0 ||
	    random_text(fill, hexlike, 16, leaf, 8, err) < 0)
		return -1;
	organization = buf_strf(err, "arn:aws:organizations::%s:organization/o-%s", a->items[0].id, name);
	unit = buf_strf(err, "arn:aws:organizations::%s:ou/o-%s/ou-%s-%s", a->items[0].id, name, root,
		leaf);
	if (!organization || !unit || add_members(all, organization, a, 0, err) < 0 ||
	    add_members(all, unit, a, 1, err) < 0 || json_write(all, true, &text, err) < 0)
		return -1;
	return file_write_atomic(path, text.data, text.len, 0644, true, err);
}

static int load_organizations(struct accounts *a, const char *path, random_fn *fill,
	struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);
	struct json *members;

	if (access(path, F_OK) < 0 && make_organizations(a, path, fill, err) < 0)
		return -1;
	if (file_read(path, &text, err) < 0)
		return -1;
	a->organizations = json_parse(buf_str(&text), text.len, path, err);
	if (!a->organizations)
		return -1;
	for (const char *arn = json_next_key(a->organizations, NULL, &members); arn;
		arn = json_next_key(a->organizations, arn, &members))
		if (!accounts_is_organization_arn(arn) || !json_is_array(members))
			return error_set(err, ERROR_INPUT, 0,
				"'%s': '%.120s' must be the ARN of an organization or unit, with a list of "
				"its accounts", path, arn);
	return 0;
}

int accounts_load(struct accounts *a, const char *dir, size_t wanted, random_fn *fill,
	struct error *err)
{
	CLEANUP_FREE char *credentials = buf_strf(err, "%s/credentials", dir);
	CLEANUP_FREE char *organizations = buf_strf(err, "%s/organizations.json", dir);
	CLEANUP_FREE char *regions = buf_strf(err, "%s/regions", dir);

	*a = (struct accounts){.nr = 0};
	if (!credentials || !organizations || !regions || file_mkdirs(dir, 0755, err) < 0)
		return -1;
	wanted = MIN(MAX(wanted, (size_t)1), (size_t)ACCOUNTS_MAX);
	if (load_credentials(a, credentials, access(regions, F_OK) == 0, wanted, fill, err) < 0)
		return -1;
	return load_organizations(a, organizations, fill, err);
}

bool accounts_is_organization_arn(const char *text)
{
	const char *rest = strncmp(text, "arn:aws", 7) == 0 ? strstr(text, ":organizations::") : NULL;

	if (!rest || strlen(text) > 200)
		return false;
	rest += strlen(":organizations::");
	if (strspn(rest, "0123456789") != ACCOUNT_SIZE - 1)
		return false;
	rest += ACCOUNT_SIZE - 1;
	return strncmp(rest, ":organization/o-", 16) == 0 ||
	       (strncmp(rest, ":ou/o-", 6) == 0 && strstr(rest, "/ou-"));
}

bool accounts_in_organization(const struct accounts *a, const char *arn, const char *id)
{
	const struct json *members = json_get(a->organizations, arn);

	for (size_t i = 0; i < json_length(members); i++)
		if (strcmp(json_text(json_at(members, i), ""), id) == 0)
			return true;
	return false;
}
