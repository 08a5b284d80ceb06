/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STS: who a caller is, and sessions of roles. Every role of the folder's accounts is there and
 * trusts everybody, unless DIR/roles.json ({ARN: {"externalId": text}}) asks for an ExternalId; a
 * web identity's token is not looked into.
 */
#include "uploader/region/region_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "uploader/region/form.h"
#include "uploader/region/session.h"
#include "uploader/region/xml.h"

enum {
	DURATION_MIN = 900,
	DURATION_DEFAULT = 3600,
	DURATION_MAX = 43200,
	ROLES_FILE_MAX = 256 * 1024,
	WEB_TOKEN_MIN = 4,
	WEB_TOKEN_MAX = 20000,
};

static const char namespace[] = "https://sts.amazonaws.com/doc/2011-06-15/";

struct sts_ctx {
	struct region *region;
	const struct caller *caller; /* NULL for an unsigned call */
	struct form form;
	struct reply *reply;
	struct xml xml;
};

static bool refuse(struct sts_ctx *c, unsigned status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
static bool refuse(struct sts_ctx *c, unsigned status, const char *code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_sts_error(c->reply, status, code, "%s", text);
	return true;
}

static void begin(struct sts_ctx *c, const char *action)
{
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, action, "Response", namespace);
}

static void end(struct sts_ctx *c, const char *response)
{
	xml_open(&c->xml, "ResponseMetadata");
	xml_str(&c->xml, "RequestId", c->reply->request_id);
	xml_close(&c->xml, "ResponseMetadata");
	xml_close(&c->xml, response);
	c->reply->failed |= c->xml.failed;
}

static void get_caller_identity(struct sts_ctx *c)
{
	char id[48];

	(void)snprintf(id, sizeof(id), "%s%.16s",
		strstr(c->caller->arn, ":assumed-role/") ? "AROA" : "AIDA", c->caller->access_key + 4);
	begin(c, "GetCallerIdentity");
	xml_open(&c->xml, "GetCallerIdentityResult");
	xml_str(&c->xml, "Arn", c->caller->arn);
	xml_str(&c->xml, "UserId", id);
	xml_str(&c->xml, "Account", c->caller->account);
	xml_close(&c->xml, "GetCallerIdentityResult");
	end(c, "GetCallerIdentityResponse");
}

/* What a call asks for; texts borrowed from the form. */
struct assume {
	const char *arn;
	struct session session;
};

/* "arn:aws:iam::<account>:role/<path/><name>" of an account of this folder. */
static bool parse_role(struct sts_ctx *c, struct assume *a)
{
	const char *rest = strncmp(a->arn, "arn:aws", 7) == 0 ? strstr(a->arn, ":iam::") : NULL;
	const char *name = rest ? strrchr(rest, '/') : NULL;

	if (!name || strlen(rest) < 6 + ACCOUNT_SIZE || strncmp(rest + 5 + ACCOUNT_SIZE, ":role/", 6) != 0 ||
	    !session_role_ok(name + 1))
		return refuse(c, 400, "ValidationError", "%.200s is invalid", a->arn);
	memcpy(a->session.account, rest + 6, ACCOUNT_SIZE - 1);
	(void)snprintf(a->session.role, sizeof(a->session.role), "%s", name + 1);
	return false;
}

static bool parse_duration(struct sts_ctx *c, uint64_t *seconds)
{
	const char *text = form_get(&c->form, "DurationSeconds");

	*seconds = DURATION_DEFAULT;
	if (!text || (num_parse(text, DURATION_MAX, seconds, NULL) == 0 && *seconds >= DURATION_MIN))
		return false;
	return refuse(c, 400, "ValidationError",
		"1 validation error detected: Value '%.40s' at 'durationSeconds' failed to satisfy "
		"constraint: Member must have value from %d to %d", text, DURATION_MIN, DURATION_MAX);
}

static bool parse_assume(struct sts_ctx *c, struct assume *a)
{
	const char *name = form_get(&c->form, "RoleSessionName");
	int64_t now = region_now(c->region);
	uint64_t seconds;

	a->arn = form_get(&c->form, "RoleArn");
	if (!a->arn || !name)
		return refuse(c, 400, "ValidationError", "RoleArn and RoleSessionName must be given");
	if (!session_name_ok(name))
		return refuse(c, 400, "ValidationError",
			"RoleSessionName must have 2 to 64 of the characters A-Za-z0-9_+=,.@-");
	if (parse_role(c, a) || parse_duration(c, &seconds))
		return true;
	(void)snprintf(a->session.name, sizeof(a->session.name), "%s", name);
	if (c->region->faults.expire_s)
		seconds = (uint64_t)MIN((int64_t)seconds, c->region->faults.expire_s);
	a->session.expires = now + (int64_t)seconds;
	if (c->region->random(&a->session.nonce, sizeof(a->session.nonce)) != 0) {
		c->reply->failed = true;
		return true;
	}
	return false;
}

/* What roles.json asks of the role; "" for nothing. The caller's to free; NULL on error. */
static char *wanted_external_id(struct sts_ctx *c, const char *arn)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/roles.json", c->region->dir);
	CLEANUP(json_cleanup) struct json *doc = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(ROLES_FILE_MAX);
	struct error err = ERROR_INIT;

	if (!path)
		return NULL;
	if (access(path, F_OK) < 0)
		return strdup("");
	if (file_read(path, &text, &err) < 0 || !(doc = json_parse(buf_str(&text), text.len, path, &err))) {
		refuse(c, 500, "InternalFailure", "%s", err.text);
		return NULL;
	}
	return strdup(json_get_str(json_get(doc, arn), "externalId", ""));
}

static bool check_role(struct sts_ctx *c, const struct assume *a)
{
	const char *given = form_get(&c->form, "ExternalId");
	CLEANUP_FREE char *wanted = wanted_external_id(c, a->arn);

	if (!wanted) {
		c->reply->failed |= c->reply->status == 200;
		return true;
	}
	if (accounts_find(&c->region->accounts, a->session.account) &&
	    (*wanted == '\0' || (given && strcmp(given, wanted) == 0)))
		return false;
	return refuse(c, 403, "AccessDenied",
		"User: %.120s is not authorized to perform: sts:AssumeRole on resource: %.160s",
		c->caller ? c->caller->arn : "anonymous", a->arn);
}

static void answer_session(struct sts_ctx *c, const struct assume *a, const char *action,
	const char *subject)
{
	CLEANUP_BUF struct buf token = BUF_INIT(SESSION_TOKEN_MAX);
	char result[64], response[64], expires[NUM_TIME_TEXT], arn[AUTH_ARN_SIZE], id[100];
	struct session_creds creds;

	if (session_make(c->region->session_key, &a->session, &creds, &token, NULL) < 0) {
		c->reply->failed = true;
		return;
	}
	(void)snprintf(result, sizeof(result), "%sResult", action);
	(void)snprintf(response, sizeof(response), "%sResponse", action);
	(void)snprintf(arn, sizeof(arn), "arn:aws:sts::%s:assumed-role/%s/%s", a->session.account,
		a->session.role, a->session.name);
	(void)snprintf(id, sizeof(id), "AROA%.16s:%s", creds.access_key + 4, a->session.name);
	begin(c, action);
	xml_open(&c->xml, result);
	xml_open(&c->xml, "AssumedRoleUser");
	xml_str(&c->xml, "AssumedRoleId", id);
	xml_str(&c->xml, "Arn", arn);
	xml_close(&c->xml, "AssumedRoleUser");
	xml_open(&c->xml, "Credentials");
	xml_str(&c->xml, "AccessKeyId", creds.access_key);
	xml_str(&c->xml, "SecretAccessKey", creds.secret_key);
	xml_str(&c->xml, "SessionToken", buf_str(&token));
	xml_str(&c->xml, "Expiration", num_format_time(expires, a->session.expires));
	xml_close(&c->xml, "Credentials");
	xml_str(&c->xml, "SubjectFromWebIdentityToken", subject);
	xml_close(&c->xml, result);
	end(c, response);
	explicit_bzero(&creds, sizeof(creds));
}

static void assume_role(struct sts_ctx *c)
{
	struct assume a = {.arn = NULL};

	if (!parse_assume(c, &a) && !check_role(c, &a))
		answer_session(c, &a, "AssumeRole", NULL);
}

static void assume_role_with_web_identity(struct sts_ctx *c)
{
	const char *token = form_get(&c->form, "WebIdentityToken");
	struct assume a = {.arn = NULL};

	if (!token || strlen(token) < WEB_TOKEN_MIN || strlen(token) > WEB_TOKEN_MAX)
		refuse(c, 400, "ValidationError", "WebIdentityToken must have %d to %d characters",
			WEB_TOKEN_MIN, WEB_TOKEN_MAX);
	else if (!parse_assume(c, &a) && !check_role(c, &a))
		answer_session(c, &a, "AssumeRoleWithWebIdentity", "rehearsal");
}

static const struct {
	const char *action;
	void (*call)(struct sts_ctx *c);
	bool unsigned_too;
} actions[] = {
	{"AssumeRole", assume_role, false},
	{"AssumeRoleWithWebIdentity", assume_role_with_web_identity, true},
	{"GetCallerIdentity", get_caller_identity, false},
};

static void dispatch(struct sts_ctx *c, const struct scene *scene)
{
	const char *action = form_get(&c->form, "Action");

	c->caller = scene->caller;
	for (size_t i = 0; action && i < ARRAY_SIZE(actions); i++) {
		if (strcmp(action, actions[i].action) != 0)
			continue;
		if (c->caller || actions[i].unsigned_too)
			actions[i].call(c);
		else
			refuse(c, 403, "MissingAuthenticationToken",
				"Request is missing Authentication Token");
		return;
	}
	refuse(c, 400, "InvalidAction", "Could not find operation %.80s for version 2011-06-15",
		action ? action : "");
}

bool sts_is_request(const struct request *req)
{
	static const char version[] = "Version=2011-06-15";

	return strstr(req->query, version) ||
	       (req->body && memmem(req->body, req->body_len, version, sizeof(version) - 1));
}

void sts_api_handle(const struct scene *scene, const struct request *req, struct reply *reply)
{
	struct sts_ctx c = {.region = scene->region, .reply = reply, .form = FORM_INIT};
	struct error err = ERROR_INIT;

	reply->content_type = "text/xml";
	if (form_parse(&c.form, req->query, strlen(req->query), &err) < 0 ||
	    form_parse(&c.form, req->body, req->body_len, &err) < 0)
		refuse(&c, 400, "MalformedQueryString", "%s", err.text);
	else
		dispatch(&c, scene);
	form_release(&c.form);
}
