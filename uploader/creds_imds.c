/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance metadata service: credentials of the instance's role, and its region. A session token
 * is asked for first (version 2); where the service does not know that, or does not let the token
 * through, version 1 is used unless it is switched off. Source: Amazon EC2 User Guide, "Use the
 * Instance Metadata Service".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

enum { MAX_TIMEOUT_S = 60, MAX_TRIES = 20, PAUSE_MS = 300, MAX_ANSWER = 64 * 1024 };

#define ROLES "/latest/meta-data/iam/security-credentials/"

struct imds {
	char *base;      /* without a slash at its end */
	bool v1_allowed;
	unsigned timeout_ms, tries;
	char *token;     /* NULL: version 1; wiped */
};

static void imds_free(void *state)
{
	struct imds *m = state;

	free(m->base);
	creds_wipe_text(m->token);
	free(m);
}

bool creds_imds_disabled(const struct aws_env *env)
{
	const char *text = aws_env_get(env, "AWS_EC2_METADATA_DISABLED");

	return text && strcasecmp(text, "true") == 0;
}

static int setting(const struct creds_world *w, const struct creds_shared *s, const char *variable,
	const char *key, char **value, struct error *err)
{
	const char *text = aws_env_get(&w->env, variable);

	if (text) {
		*value = buf_strf(err, "%s", text);
		return *value ? 0 : -1;
	}
	return s ? creds_shared_get(s, s->profile, key, value, err) : 0;
}

static int number_setting(const struct creds_world *w, const struct creds_shared *s,
	const char *variable, const char *key, unsigned max, unsigned *value, struct error *err)
{
	CLEANUP_FREE char *text = NULL;
	uint64_t number;

	*value = 1;
	if (setting(w, s, variable, key, &text, err) < 0)
		return -1;
	if (!text)
		return 0;
	if (num_parse(text, max, &number, NULL) < 0 || number == 0)
		return error_set(err, ERROR_USAGE, 0, "%s is '%s', not a number from 1 to %u", variable,
			text, max);
	*value = (unsigned)number;
	return 0;
}

static int find_base(struct imds *m, const struct creds_world *w, const struct creds_shared *s,
	struct error *err)
{
	CLEANUP_FREE char *mode = NULL;
	size_t len;

	if (setting(w, s, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint", &m->base,
		    err) < 0 ||
	    setting(w, s, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
		    "ec2_metadata_service_endpoint_mode", &mode, err) < 0)
		return -1;
	if (mode && strcasecmp(mode, "ipv4") != 0 && strcasecmp(mode, "ipv6") != 0)
		return error_set(err, ERROR_USAGE, 0,
			"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is '%s', neither ipv4 nor ipv6", mode);
	if (!m->base)
		m->base = buf_strf(err, "%s", mode && strcasecmp(mode, "ipv6") == 0 ?
					      "http://[fd00:ec2::254]" :
					      "http://169.254.169.254");
	if (!m->base)
		return -1;
	for (len = strlen(m->base); len > 0 && m->base[len - 1] == '/'; len--)
		m->base[len - 1] = '\0';
	return 0;
}

static int load(struct imds *m, const struct creds_world *w, const struct creds_shared *s,
	struct error *err)
{
	CLEANUP_FREE char *v1 = NULL;

	if (find_base(m, w, s, err) < 0 ||
	    setting(w, s, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled", &v1, err) < 0 ||
	    number_setting(w, s, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout",
		    MAX_TIMEOUT_S, &m->timeout_ms, err) < 0)
		return -1;
	m->timeout_ms *= 1000;
	m->v1_allowed = !v1 || strcasecmp(v1, "true") != 0;
	return number_setting(w, s, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
		"metadata_service_num_attempts", MAX_TRIES, &m->tries, err);
}

/* One request and, when the network or the server fails, as many more as are allowed. */
static int ask(const struct imds *m, const struct creds_world *w, const char *method,
	const char *path, const char *header, const char *value, struct http_request *req,
	struct error *err)
{
	CLEANUP_FREE char *url = buf_strf(err, "%s%s", m->base, path);

	memset(req, 0, sizeof(*req));
	if (!url || http_request_init(req, method, url, err) < 0)
		return -1;
	req->max_answer = MAX_ANSWER;
	if (value && http_add_header(req, header, value, err) < 0)
		return -1;
	for (unsigned i = 1;; i++) {
		if (creds_http_run(w, m->timeout_ms, req, err) == 0 && req->status < 500)
			return 0;
		if (req->status == 0 && err->kind != ERROR_NETWORK)
			return -1;
		if (i >= m->tries)
			return req->status == 0 ? -1 : 0;
		creds_http_pause(PAUSE_MS);
		error_clear(err);
	}
}

static int refuse_v1(const struct imds *m, const char *why, struct error *err)
{
	if (m->v1_allowed)
		return 0;
	return error_set(err, ERROR_NETWORK, 0,
		"the instance metadata service gives no session token (%s), and version 1 is switched "
		"off (AWS_EC2_METADATA_V1_DISABLED)",
		why);
}

static int take_token(struct imds *m, const struct http_request *req, struct error *err)
{
	char why[32];

	if (req->status == 200) {
		m->token = buf_strf(err, "%s", buf_str(&req->answer));
		return m->token ? log_redact(m->token, err) : -1;
	}
	if (req->status == 400)
		return error_set(err, ERROR_INPUT, 0,
			"the instance metadata service refuses to give a session token (HTTP 400)");
	snprintf(why, sizeof(why), "HTTP %d", req->status);
	return refuse_v1(m, why, err);
}

/* Version 2's token, or none where version 1 is to be used. */
static int get_token(struct imds *m, const struct creds_world *w, struct error *err)
{
	struct http_request req;
	int ret;

	creds_wipe_text(steal_ptr(&m->token));
	ret = ask(m, w, "PUT", "/latest/api/token", "x-aws-ec2-metadata-token-ttl-seconds", "21600",
		&req, err);
	if (ret == 0) {
		ret = take_token(m, &req, err);
	} else if (err->kind == ERROR_NETWORK) {
		/* Behind one hop more than it allows, the answer is lost on its way. */
		error_clear(err);
		ret = refuse_v1(m, "no answer", err);
	}
	buf_wipe(&req.answer);
	http_request_release(&req);
	return ret;
}

static int get_once(const struct imds *m, const struct creds_world *w, const char *path,
	struct http_request *req, struct error *err)
{
	if (ask(m, w, "GET", path, "x-aws-ec2-metadata-token", m->token, req, err) == 0)
		return 0;
	http_request_release(req);
	memset(req, 0, sizeof(*req));
	return -1;
}

/* A token that has ended is replaced once. On failure req holds nothing. */
static int get(struct imds *m, const struct creds_world *w, const char *path,
	struct http_request *req, struct error *err)
{
	if (get_once(m, w, path, req, err) < 0)
		return -1;
	if (req->status != 401 || !m->token)
		return 0;
	http_request_release(req);
	memset(req, 0, sizeof(*req));
	return get_token(m, w, err) < 0 ? -1 : get_once(m, w, path, req, err);
}

static int bad_status(const struct http_request *req, const char *what, struct error *err)
{
	error_set(err, ERROR_SERVICE, 0, "the instance metadata service answers %d for %s", req->status,
		what);
	err->http_status = req->status;
	return -1;
}

/* The path of the role's credentials. */
static int role_path(struct imds *m, const struct creds_world *w, char **path, struct error *err)
{
	struct http_request req;
	const char *text;
	int ret = 0;

	if (get(m, w, ROLES, &req, err) < 0)
		return -1;
	text = buf_str(&req.answer);
	if (req.status == 404 || (req.status == 200 && strcspn(text, "\r\n") == 0)) {
		ret = error_set(err, ERROR_USAGE, 0, "this instance has no role");
	} else if (req.status != 200) {
		ret = bad_status(&req, "the name of the role", err);
	} else {
		*path = buf_strf(err, ROLES "%.*s", (int)strcspn(text, "\r\n"), text);
		ret = *path ? 0 : -1;
	}
	http_request_release(&req);
	return ret;
}

static int read_credentials(const struct http_request *req, struct aws_creds *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = NULL;
	CLEANUP_FREE char *message = NULL;
	const char *code;

	if (req->status != 200)
		return bad_status(req, "the role's credentials", err);
	j = json_parse(buf_str(&req->answer), req->answer.len, "credentials", NULL);
	if (!json_is_object(j))
		return error_set(err, ERROR_NETWORK, 0,
			"the instance metadata service gives credentials that are not a JSON object");
	code = json_get_str(j, "Code", "Success");
	if (strcmp(code, "Success") != 0) {
		message = creds_said(json_get_str(j, "Message", ""), err);
		return message ? error_set(err, ERROR_SERVICE, 0,
					 "the instance metadata service says %.60s: %s", code, message) :
				 -1;
	}
	return creds_from_json(j, "Token", "the instance metadata service", out, err);
}

static int get_credentials(struct imds *m, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	CLEANUP_FREE char *path = NULL;
	struct http_request req;
	int ret;

	if (get_token(m, w, err) < 0 || role_path(m, w, &path, err) < 0 ||
	    get(m, w, path, &req, err) < 0)
		return -1;
	ret = read_credentials(&req, out, err);
	if (ret == 0)
		creds_adjust_expiry(out, &req, &w->clock);
	buf_wipe(&req.answer);
	http_request_release(&req);
	return ret;
}

static int fetch_imds(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	struct imds *m = state;

	out->origin = buf_strf(err, "instance metadata at %s", m->base);
	if (!out->origin)
		return -1;
	if (get_credentials(m, w, out, err) == 0)
		return 0;
	if (err->kind == ERROR_INTERRUPTED)
		return -1;
	/* The last of the chain: whoever reads this has most likely never heard of it. */
	return error_wrap(err, "no AWS credentials in environment, shared files or container; asked for "
			       "those of an instance at %s", m->base);
}

static struct imds *imds_new(const struct creds_world *w, const struct creds_shared *s,
	struct error *err)
{
	struct imds *m = calloc(1, sizeof(*m));

	if (!m)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	if (load(m, w, s, err) == 0)
		return m;
	imds_free(m);
	return NULL;
}

struct aws_provider *creds_imds_new(struct creds_world *w, const struct creds_shared *s,
	struct error *err)
{
	static const struct creds_kind kind = {
		.keeps_expired = true,
		.fetch = fetch_imds,
		.free = imds_free,
	};

	return aws_provider_make(w, &kind, imds_new(w, s, err), err);
}

/* "us-west-2" of "us-west-2a", and of the local zone "us-west-2-lax-1a". */
static size_t region_len(const char *zone)
{
	size_t len = strcspn(zone, "0123456789");

	return len + strspn(zone + len, "0123456789");
}

static int get_region(struct imds *m, const struct creds_world *w, char **region, struct error *err)
{
	struct http_request req;
	const char *zone;

	if (get_token(m, w, err) < 0 ||
	    get(m, w, "/latest/meta-data/placement/availability-zone/", &req, err) < 0)
		return -1;
	zone = buf_str(&req.answer);
	if (req.status == 200 && region_len(zone) > 0)
		*region = buf_strf(err, "%.*s", (int)region_len(zone), zone);
	http_request_release(&req);
	return 0;
}

int aws_region_of_instance(const struct aws_provider_opts *opts, char **region, struct error *err)
{
	struct creds_world w = {
		.env = *opts->env,
		.clock = *opts->clock,
		.http = opts->http,
		.cancelled = opts->cancelled,
	};
	struct error why = ERROR_INIT;
	struct imds *m;
	int ret;

	*region = NULL;
	if (creds_imds_disabled(opts->env))
		return 0;
	m = imds_new(&w, NULL, err);
	if (!m)
		return -1;
	ret = get_region(m, &w, region, &why);
	imds_free(m);
	if (ret == 0)
		return 0;
	log_debug("no region from the instance metadata service: %s", why.text);
	if (why.kind != ERROR_INTERRUPTED && why.kind != ERROR_NOMEM)
		return 0;
	if (err)
		*err = why;
	return -1;
}
