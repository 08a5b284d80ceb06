/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EBS direct: StartSnapshot – parameters, the key, parents, and the rule that a
 * repeated ClientToken gets the first answer again.
 */
#include "uploader/region/ebs_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/access.h"
#include "uploader/region/encryption.h"
#include "uploader/region/keys.h"
#include "uploader/region/settings.h"

enum { MAX_TAGS = 50, MAX_TAG_KEY = 127, MAX_TAG_VALUE = 255, DEFAULT_TIMEOUT = 60 };

/* Parameters of the call. Texts are borrowed from the parsed body. */
struct start {
	struct json *body; /* owned */
	int64_t size, timeout;
	const char *description, *token, *parent, *key_arn;
	const struct json *encrypted; /* NULL when it was not sent */
	struct json *tags;            /* borrowed; NULL without */
	char request[SHA256_HEX_SIZE];
};

static void start_release(struct start *s)
{
	json_free(s->body);
}

static bool bad_value(struct ebs_ctx *c, const char *fmt, const char *what)
{
	ebs_invalid(c, "INVALID_PARAMETER_VALUE", "%s %s", what, fmt);
	return true;
}

static bool length_is(const char *text, size_t min, size_t max)
{
	size_t len = strlen(text);

	return len >= min && len <= max;
}

static bool check_tags(struct ebs_ctx *c, const struct start *s)
{
	const char *fault = NULL;

	if (s->tags && (!json_is_array(s->tags) || json_length(s->tags) > MAX_TAGS))
		fault = "Tags must be a list of at most 50";
	for (size_t i = 0; !fault && i < json_length(s->tags); i++) {
		const char *key = json_get_str(json_at(s->tags, i), "Key", NULL);
		const char *value = json_get_str(json_at(s->tags, i), "Value", NULL);

		if (!key || !value || !length_is(key, 1, MAX_TAG_KEY) ||
		    !length_is(value, 0, MAX_TAG_VALUE))
			fault = "A tag needs a Key of 1 to 127 and a Value of at most 255 characters";
		else if (strncmp(key, "aws:", 4) == 0)
			fault = "Tag keys must not begin with 'aws:'";
	}
	if (fault)
		ebs_invalid(c, "INVALID_TAG", "%s", fault);
	return fault != NULL;
}

/* Each by itself; true with a reply when one is out of bounds. */
static bool check_values(struct ebs_ctx *c, const struct start *s)
{
	if (s->size < 1 || s->size > STORE_MAX_GIB) {
		ebs_invalid(c, "INVALID_VOLUME_SIZE", "The volume size must be from 1 to %d GiB",
			STORE_MAX_GIB);
		return true;
	}
	if (s->timeout < 10 || s->timeout > 4320)
		return bad_value(c, "must be from 10 to 4320 minutes", "Timeout");
	if (s->description && !length_is(s->description, 1, 255))
		return bad_value(c, "must have 1 to 255 characters", "Description");
	if (s->token && (!length_is(s->token, 1, 255) || strpbrk(s->token, " \t\r\n\v\f")))
		return bad_value(c, "must have 1 to 255 characters and no spaces", "ClientToken");
	if (s->key_arn && (strncmp(s->key_arn, "arn:aws", 7) != 0 || !strstr(s->key_arn, ":kms:") ||
				  !strstr(s->key_arn, ":key/") || strlen(s->key_arn) > 2048))
		return bad_value(c, "must be the full ARN of a key", "KmsKeyArn");
	if (s->encrypted && json_get_bool(s->body, "Encrypted", true) !=
				    json_get_bool(s->body, "Encrypted", false))
		return bad_value(c, "must be true or false", "Encrypted");
	if (s->parent && !ebs_snapshot_id_ok(s->parent)) {
		ebs_invalid(c, "INVALID_SNAPSHOT_ID", "The snapshot id '%s' is not valid.",
			s->parent);
		return true;
	}
	return check_tags(c, s);
}

/* What must be equal for a repeat with the same token. */
static int digest_request(struct start *s, struct error *err)
{
	static const char *const keys[] = {"VolumeSize", "ParentSnapshotId", "Description",
		"Encrypted", "KmsKeyArn", "Timeout", "Tags"};
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	uint8_t digest[SHA256_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct json *value = json_get(s->body, keys[i]);

		if (buf_add_str(&text, keys[i], err) < 0 ||
		    (value && json_write(value, false, &text, err) < 0) ||
		    buf_add_char(&text, '\n', err) < 0)
			return -1;
	}
	if (sha256(text.data, text.len, digest, err) < 0)
		return -1;
	hex_encode(s->request, digest, sizeof(digest));
	return 0;
}

static bool start_parse(struct ebs_ctx *c, struct start *s)
{
	struct error err = ERROR_INIT;

	s->body = json_parse(c->req->body ? c->req->body : "", c->req->body_len, "request body",
		&err);
	if (!s->body || !json_is_object(s->body)) {
		reply_ebs_error(c->reply, 400, "SerializationException", NULL,
			"The body is not a JSON object.");
		return true;
	}
	s->size = json_get_int(s->body, "VolumeSize", 0);
	s->timeout = json_get_int(s->body, "Timeout", DEFAULT_TIMEOUT);
	s->description = json_get_str(s->body, "Description", NULL);
	s->token = json_get_str(s->body, "ClientToken", NULL);
	s->parent = json_get_str(s->body, "ParentSnapshotId", NULL);
	s->key_arn = json_get_str(s->body, "KmsKeyArn", NULL);
	s->encrypted = json_get(s->body, "Encrypted");
	s->tags = json_get(s->body, "Tags");
	if (digest_request(s, &err) < 0) {
		ebs_internal(c, &err);
		return true;
	}
	return check_values(c, s);
}

/* With store->lock held. True with a reply when the parent cannot be one. */
static bool check_parent(struct ebs_ctx *c, const struct start *s, struct snapshot **parent)
{
	struct error err = ERROR_INIT;
	struct snapshot *p;

	*parent = NULL;
	if (!s->parent)
		return false;
	p = store_find_snapshot(c->store, s->parent);
	if (p && !access_owns_snapshot(p, c->account))
		p = NULL;
	if (p && snapshot_settle(p, region_now(c->region), region_monotonic_ms(), &err) < 0)
		return ebs_internal(c, &err), true;
	if (!p || atomic_load(&p->status) == SNAPSHOT_ERROR)
		return ebs_not_found(c, s->parent), true;
	if (atomic_load(&p->status) == SNAPSHOT_PENDING)
		return ebs_invalid(c, "INVALID_SNAPSHOT_ID",
			       "Source snapshot (%s) is not complete.", s->parent),
		       true;
	if ((uint64_t)s->size < p->size_gib)
		return ebs_invalid(c, "INVALID_VOLUME_SIZE",
			       "The volume size must be at least that of the parent snapshot, %llu GiB",
			       (unsigned long long)p->size_gib),
		       true;
	*parent = p;
	return false;
}

/* The words of a refusal of the matrix. */
static bool refuse_choice(struct ebs_ctx *c, enum start_choice choice)
{
	static const char *const texts[] = {
		[START_NOT_WITH_PARENT] = "Encrypted and KmsKeyArn must not be given with ParentSnapshotId",
		[START_KEY_WITHOUT_ENCRYPTION] = "KmsKeyArn must not be given when Encrypted is false",
		[START_DEFAULT_IS_ON] = "Encryption by default is on in this account and Region: the "
					"snapshot cannot be unencrypted",
	};

	ebs_invalid(c, "INVALID_PARAMETER_VALUE", "%s", texts[choice]);
	return true;
}

/*
 * Which key, with store->lock held; "" for none. True with a reply when that is refused, or the key
 * is not to be used.
 */
static bool choose_key(struct ebs_ctx *c, const struct start *s, const struct snapshot *parent,
	char key[KEY_ARN_SIZE])
{
	enum start_choice choice = encryption_of_start(&(struct start_encryption){
		.has_parent = parent != NULL,
		.parent_encrypted = parent && json_get_bool(parent->doc, "encrypted", false),
		.has_flag = s->encrypted != NULL,
		.flag = json_get_bool(s->body, "Encrypted", false),
		.has_key = s->key_arn != NULL,
		.default_on = settings_get(c->store, c->account, SETTING_ENCRYPTION) != NULL,
	});

	key[0] = '\0';
	switch (choice) {
	case START_PLAIN:
		return false;
	case START_DEFAULT_KEY:
		keys_default_arn(c->store, c->account, key);
		break;
	case START_GIVEN_KEY:
		(void)snprintf(key, KEY_ARN_SIZE, "%s", s->key_arn);
		break;
	case START_PARENT_KEY:
		(void)snprintf(key, KEY_ARN_SIZE, "%s", json_get_str(parent->doc, "kmsKey", ""));
		break;
	default:
		return refuse_choice(c, choice);
	}
	if (keys_usable(c->store, c->account, key))
		return false;
	ebs_invalid(c, "INVALID_CUSTOMER_KEY", "The key '%.160s' is not accessible",
		choice == START_GIVEN_KEY ? s->key_arn : key);
	return true;
}

static void write_answer(struct ebs_ctx *c, const struct start *s, const char *id, const char *key)
{
	char number[EBS_NUMBER_SIZE];
	const char *comma = "";

	reply_addf(c->reply, "{\"SnapshotId\":\"%s\",\"OwnerId\":\"%s\",\"Status\":\"pending\"", id,
		c->account);
	reply_addf(c->reply, ",\"StartTime\":%s,\"VolumeSize\":%lld,\"BlockSize\":%d",
		ebs_number(region_now(c->region), number), (long long)s->size, STORE_BLOCK_SIZE);
	reply_addf(c->reply, ",\"Description\":");
	reply_json_str(c->reply, s->description);
	reply_addf(c->reply, ",\"ParentSnapshotId\":");
	reply_json_str(c->reply, s->parent);
	reply_addf(c->reply, ",\"KmsKeyArn\":");
	reply_json_str(c->reply, key);
	reply_addf(c->reply, ",\"SseType\":\"%s\",\"Tags\":%s", key ? "sse-kms" : "none",
		s->tags ? "[" : "null");
	for (size_t i = 0; i < json_length(s->tags); i++, comma = ",") {
		reply_addf(c->reply, "%s{\"Key\":", comma);
		reply_json_str(c->reply, json_get_str(json_at(s->tags, i), "Key", ""));
		reply_addf(c->reply, ",\"Value\":");
		reply_json_str(c->reply, json_get_str(json_at(s->tags, i), "Value", ""));
		reply_addf(c->reply, "}");
	}
	reply_addf(c->reply, s->tags ? "]}" : "}");
}

static int copy_tags(struct json *doc, const struct json *tags, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	for (size_t i = 0; list && i < json_length(tags); i++) {
		struct json *tag = json_new_object(err);

		if (!tag || json_append(list, tag, err) < 0 ||
		    json_set_str(tag, "Key", json_get_str(json_at(tags, i), "Key", ""), err) < 0 ||
		    json_set_str(tag, "Value", json_get_str(json_at(tags, i), "Value", ""), err) < 0)
			return -1;
	}
	return list ? json_set(doc, "tags", steal_ptr(&list), err) : -1;
}

/* The record of a new snapshot. */
static struct json *make_doc(struct ebs_ctx *c, const struct start *s, const char *key,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if (!doc || json_set_str(doc, "owner", c->account, err) < 0 ||
	    json_set_str(doc, "status", "pending", err) < 0 ||
	    json_set_int(doc, "size", s->size, err) < 0 ||
	    json_set_int(doc, "start", region_now(c->region), err) < 0 ||
	    json_set_int(doc, "timeout", s->timeout, err) < 0 ||
	    json_set_bool(doc, "encrypted", key != NULL, err) < 0 ||
	    json_set_str(doc, "request", s->request, err) < 0 ||
	    json_set_str(doc, "answer", buf_str(&c->reply->body), err) < 0 ||
	    copy_tags(doc, s->tags, err) < 0 ||
	    (s->description && json_set_str(doc, "description", s->description, err) < 0) ||
	    (s->parent && json_set_str(doc, "parent", s->parent, err) < 0) ||
	    (key && json_set_str(doc, "kmsKey", key, err) < 0) ||
	    (s->token && json_set_str(doc, "clientToken", s->token, err) < 0))
		return NULL;
	return steal_ptr(&doc);
}

/* With store->lock held. */
static void start_new(struct ebs_ctx *c, const struct start *s)
{
	char id[STORE_ID_SIZE], arn[KEY_ARN_SIZE];
	struct error err = ERROR_INIT;
	struct snapshot *parent;
	const char *key;
	struct json *doc;

	if (check_parent(c, s, &parent) || choose_key(c, s, parent, arn))
		return;
	key = *arn ? arn : NULL;
	if (store_new_id(c->store, "snap-", id, &err) < 0) {
		ebs_internal(c, &err);
		return;
	}
	c->reply->status = 201;
	write_answer(c, s, id, key);
	doc = make_doc(c, s, key, &err);
	if (!doc || !store_add_snapshot(c->store, id, doc, &err))
		ebs_internal(c, &err);
}

static void start_again(struct ebs_ctx *c, const struct start *s, const struct snapshot *snap)
{
	const char *answer = json_get_str(snap->doc, "answer", "");

	if (strcmp(json_get_str(snap->doc, "request", ""), s->request) != 0) {
		reply_ebs_error(c->reply, 409, "ConflictException", NULL,
			"Current request does not match request stored with this token.");
		return;
	}
	c->reply->status = 201;
	if (buf_add_str(&c->reply->body, answer, NULL) < 0)
		c->reply->failed = true;
}

void ebs_start(struct ebs_ctx *c)
{
	CLEANUP(start_release) struct start s = {.body = NULL};
	struct store *store = c->store;
	struct snapshot *earlier;

	if (start_parse(c, &s))
		return;
	pthread_mutex_lock(&store->lock);
	earlier = s.token ? store_find_token(store, c->account, s.token) : NULL;
	if (earlier)
		start_again(c, &s, earlier);
	else
		start_new(c, &s);
	pthread_mutex_unlock(&store->lock);
}
