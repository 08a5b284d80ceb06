/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KMS (JSON 1.1): what a rehearsal needs to have customer keys that work, that do not, and that
 * another account may use. There is no key material and no cryptography behind them.
 */
#include "uploader/region/region_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/keys.h"

/* One call; with store->lock held. */
struct kms_ctx {
	struct store *store;
	const char *account;
	int64_t now;
	struct json *body;
	struct reply *reply;
};

static void failed(struct kms_ctx *c, const struct error *err)
{
	reply_json_error(c->reply, 500, "KMSInternalException", "%s", err->text);
}

/* The key of "KeyId"; true with an answer when there is none that the caller may see. */
static bool get_key(struct kms_ctx *c, const char *member, char arn[KEY_ARN_SIZE])
{
	const char *text = json_get_str(c->body, member, "");

	if (*text == '\0')
		return reply_json_error(c->reply, 400, "ValidationException", "%s is missing", member), true;
	if (!keys_resolve(c->store, c->account, text, arn) &&
	    (keys_usable(c->store, c->account, arn) ||
		    strcmp(json_get_str(keys_find(c->store, arn), "account", ""), c->account) == 0))
		return false;
	return reply_json_error(c->reply, 400, "NotFoundException",
		       "Key '%.120s' does not exist", text), true;
}

/* The same, and a customer key of the caller. */
static struct json *get_own_key(struct kms_ctx *c, char arn[KEY_ARN_SIZE])
{
	struct json *record;

	if (get_key(c, "KeyId", arn))
		return NULL;
	record = keys_find(c->store, arn);
	if (!record || strcmp(json_get_str(record, "account", ""), c->account) != 0) {
		reply_json_error(c->reply, 400, "AccessDeniedException",
			"The caller does not manage this key");
		return NULL;
	}
	return record;
}

static void write_metadata(struct kms_ctx *c, const char *arn)
{
	const struct json *record = keys_find(c->store, arn);
	const char *state = record ? json_get_str(record, "state", "") : "Enabled";
	const char *owner = strstr(arn, ":key/") - (ACCOUNT_SIZE - 1);

	reply_addf(c->reply, "{\"KeyMetadata\":{\"AWSAccountId\":\"%.12s\",\"KeyId\":\"%s\",\"Arn\":\"%s\"",
		owner, strstr(arn, ":key/") + 5, arn);
	reply_addf(c->reply, ",\"CreationDate\":%lld,\"Enabled\":%s,\"KeyState\":\"%s\"",
		(long long)json_get_int(record, "created", 0),
		strcmp(state, "Enabled") == 0 ? "true" : "false", state);
	reply_addf(c->reply, ",\"KeyManager\":\"%s\",\"Description\":", record ? "CUSTOMER" : "AWS");
	reply_json_str(c->reply, record ? json_get_str(record, "description", "") :
					  "Default key that protects my EBS volumes when no other key is "
					  "defined");
	reply_addf(c->reply, ",\"KeyUsage\":\"ENCRYPT_DECRYPT\",\"Origin\":\"AWS_KMS\","
			     "\"CustomerMasterKeySpec\":\"SYMMETRIC_DEFAULT\","
			     "\"KeySpec\":\"SYMMETRIC_DEFAULT\","
			     "\"EncryptionAlgorithms\":[\"SYMMETRIC_DEFAULT\"],\"MultiRegion\":false}}");
}

static void describe_key(struct kms_ctx *c)
{
	char arn[KEY_ARN_SIZE];

	if (!get_key(c, "KeyId", arn))
		write_metadata(c, arn);
}

/* True with an answer when it cannot be a key's policy. */
static bool check_policy(struct kms_ctx *c, const char *policy)
{
	switch (keys_policy_check(policy)) {
	case KEYS_POLICY_OK:
		return false;
	case KEYS_POLICY_LONG:
		return reply_json_error(c->reply, 400, "LimitExceededException",
			       "The policy is longer than %d bytes", KEYS_POLICY_MAX), true;
	default:
		return reply_json_error(c->reply, 400, "MalformedPolicyDocumentException",
			       "The policy is not a JSON object of a few levels"), true;
	}
}

static void create_key(struct kms_ctx *c)
{
	const char *policy = json_get_str(c->body, "Policy", NULL);
	const char *spec = json_get_str(c->body, "KeySpec", "SYMMETRIC_DEFAULT");
	struct error err = ERROR_INIT;
	char arn[KEY_ARN_SIZE];

	if (strcmp(spec, "SYMMETRIC_DEFAULT") != 0)
		reply_json_error(c->reply, 400, "UnsupportedOperationException",
			"KeySpec '%.40s' is not played here", spec);
	else if (policy && check_policy(c, policy))
		return;
	else if (keys_create(c->store, c->account, json_get_str(c->body, "Description", ""), policy,
			 c->now, arn, &err) < 0)
		failed(c, &err);
	else
		write_metadata(c, arn);
}

static void create_alias(struct kms_ctx *c)
{
	const char *alias = json_get_str(c->body, "AliasName", "");
	struct error err = ERROR_INIT;
	char arn[KEY_ARN_SIZE];

	if (strncmp(alias, "alias/", 6) != 0 || strlen(alias) > 256 || strncmp(alias, "alias/aws/", 10) == 0)
		reply_json_error(c->reply, 400, "InvalidAliasNameException", "'%.80s' is no name for an alias", alias);
	else if (json_get_str(keys_aliases(c->store, c->account), alias, NULL))
		reply_json_error(c->reply, 400, "AlreadyExistsException",
			"An alias with the name '%.80s' already exists", alias);
	else if (get_key(c, "TargetKeyId", arn))
		return;
	else if (keys_set_alias(c->store, c->account, alias, arn, &err) < 0)
		failed(c, &err);
}

static void write_alias(struct kms_ctx *c, const char *comma, const char *alias, const char *arn)
{
	reply_addf(c->reply, "%s{\"AliasName\":", comma);
	reply_json_str(c->reply, alias);
	reply_addf(c->reply, ",\"AliasArn\":\"arn:%s:kms:%s:%s:%.256s\",\"TargetKeyId\":\"%s\"}",
		region_name_partition(c->store->name), c->store->name, c->account, alias,
		strstr(arn, ":key/") + 5);
}

static void list_aliases(struct kms_ctx *c)
{
	const struct json *all = keys_aliases(c->store, c->account);
	char managed[KEY_ARN_SIZE];
	struct json *value;

	keys_managed_arn(c->store, c->account, managed);
	reply_addf(c->reply, "{\"Aliases\":[");
	write_alias(c, "", "alias/aws/ebs", managed);
	for (const char *alias = json_next_key(all, NULL, &value); alias;
		alias = json_next_key(all, alias, &value))
		write_alias(c, ",", alias, json_text(value, ":key/"));
	reply_addf(c->reply, "],\"Truncated\":false}");
}

static void list_keys(struct kms_ctx *c)
{
	const struct json *all = keys_all(c->store);
	char managed[KEY_ARN_SIZE];
	struct json *record;

	keys_managed_arn(c->store, c->account, managed);
	reply_addf(c->reply, "{\"Keys\":[{\"KeyId\":\"%s\",\"KeyArn\":\"%s\"}",
		strstr(managed, ":key/") + 5, managed);
	for (const char *id = json_next_key(all, NULL, &record); id; id = json_next_key(all, id, &record))
		if (strcmp(json_get_str(record, "account", ""), c->account) == 0)
			reply_addf(c->reply, ",{\"KeyId\":\"%s\",\"KeyArn\":\"arn:%s:kms:%s:%s:key/%s\"}", id,
				region_name_partition(c->store->name), c->store->name, c->account, id);
	reply_addf(c->reply, "],\"Truncated\":false}");
}

/* A change of one text of a customer key. */
static void change_key(struct kms_ctx *c, const char *key, const char *value)
{
	struct error err = ERROR_INIT;
	char arn[KEY_ARN_SIZE];
	struct json *record = get_own_key(c, arn);

	if (record && (json_set_str(record, key, value, &err) < 0 || keys_save(c->store, &err) < 0))
		failed(c, &err);
}

static void disable_key(struct kms_ctx *c)
{
	change_key(c, "state", "Disabled");
}

static void enable_key(struct kms_ctx *c)
{
	change_key(c, "state", "Enabled");
}

static void put_key_policy(struct kms_ctx *c)
{
	const char *policy = json_get_str(c->body, "Policy", "");

	if (!check_policy(c, policy))
		change_key(c, "policy", policy);
}

static void get_key_policy(struct kms_ctx *c)
{
	char arn[KEY_ARN_SIZE];
	const struct json *record = get_own_key(c, arn);
	CLEANUP_FREE char *fallback = buf_strf(NULL,
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":"
		"\"arn:%s:iam::%s:root\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}]}",
		region_name_partition(c->store->name), c->account);

	if (!record)
		return;
	reply_addf(c->reply, "{\"PolicyName\":\"default\",\"Policy\":");
	reply_json_str(c->reply, json_get_str(record, "policy", fallback));
	reply_addf(c->reply, "}");
}

static const struct {
	const char *target;
	void (*call)(struct kms_ctx *c);
} calls[] = {
	{"TrentService.CreateAlias", create_alias},
	{"TrentService.CreateKey", create_key},
	{"TrentService.DescribeKey", describe_key},
	{"TrentService.DisableKey", disable_key},
	{"TrentService.EnableKey", enable_key},
	{"TrentService.GetKeyPolicy", get_key_policy},
	{"TrentService.ListAliases", list_aliases},
	{"TrentService.ListKeys", list_keys},
	{"TrentService.PutKeyPolicy", put_key_policy},
};

static void dispatch(struct kms_ctx *c, const char *target)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (strcmp(target, calls[i].target) != 0)
			continue;
		pthread_mutex_lock(&c->store->lock);
		calls[i].call(c);
		pthread_mutex_unlock(&c->store->lock);
		return;
	}
	reply_json_error(c->reply, 400, "UnknownOperationException", "'%.80s' is not played here", target);
}

void kms_api_handle(const struct scene *scene, const struct request *req, struct reply *reply)
{
	const char *target = request_header(req, "x-amz-target");
	CLEANUP(json_cleanup) struct json *body =
		json_parse(req->body ? req->body : "", req->body_len, "request body", NULL);
	struct kms_ctx c = {.store = scene->store, .account = scene->caller->account,
		.now = region_now(scene->region), .body = body, .reply = reply};

	reply->content_type = "application/x-amz-json-1.1";
	if (!json_is_object(body))
		reply_json_error(reply, 400, "SerializationException", "The body is not a JSON object.");
	else
		dispatch(&c, target ? target : "");
}
