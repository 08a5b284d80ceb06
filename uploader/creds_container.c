/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credentials endpoint of a container (ECS, EKS Pod Identity, Greengrass). Source: AWS SDKs and
 * Tools Reference Guide, "Container credential provider". The authorization token is read at each
 * fetch, as it is renewed in place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

enum { TIMEOUT_MS = 2000, TRIES = 3, PAUSE_MS = 500, MAX_TOKEN = 64 * 1024 };

#define ECS_HOST "http://169.254.170.2"

struct container {
	char *url, *token_file, *token; /* the last two NULL without */
	char shown[HTTP_SHOWN_SIZE];    /* the URL without what may be secret in it */
};

static void container_free(void *state)
{
	struct container *c = state;

	free(c->url);
	free(c->token_file);
	creds_wipe_text(c->token);
	free(c);
}

/* Only these may be told the token without encryption. */
static bool is_allowed(const char *url)
{
	static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	const char *host;
	size_t len;

	if (strncmp(url, "https://", 8) == 0 || http_url_is_loopback(url))
		return true;
	if (strncmp(url, "http://", 7) != 0)
		return false;
	host = url + 7;
	len = strcspn(host, "/?#");
	if (memchr(host, '@', len))
		return false;
	len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (len == strlen(hosts[i]) && strncmp(host, hosts[i], len) == 0)
			return true;
	}
	return false;
}

static char *find_url(const struct aws_env *env, struct error *err)
{
	const char *path = aws_env_get(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = aws_env_get(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	char shown[HTTP_SHOWN_SIZE];

	if (path)
		return buf_strf(err, ECS_HOST "%s%s", path[0] == '/' ? "" : "/", path);
	if (!full)
		return error_null(err, ERROR_USAGE, 0,
			"neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
			"AWS_CONTAINER_CREDENTIALS_FULL_URI is set");
	if (is_allowed(full))
		return buf_strf(err, "%s", full);
	return error_null(err, ERROR_USAGE, 0,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI is '%s': it must be https, or http to this machine, "
		"169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
		http_url_shown(shown, full));
}

/* *token stays NULL when none is wanted. */
static int read_token(const struct container *c, char **token, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf file = BUF_INIT(MAX_TOKEN);

	if (c->token_file && file_read(c->token_file, &file, err) < 0)
		return error_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	if (!c->token_file && !c->token)
		return 0;
	*token = buf_strf(err, "%s", c->token_file ? buf_str(&file) : c->token);
	if (!*token || log_redact(*token, err) < 0)
		return -1;
	if (!strpbrk(*token, "\r\n"))
		return 0;
	return error_set(err, ERROR_USAGE, 0, "the container's authorization token %s%s%s has a line break",
		c->token_file ? "in '" : "", c->token_file ? c->token_file : "",
		c->token_file ? "'" : "");
}

static int prepare(const struct container *c, struct http_request *req, struct error *err)
{
	CLEANUP_SECRET char *token = NULL;

	if (http_request_init(req, "GET", c->url, err) < 0)
		return -1;
	if (read_token(c, &token, err) < 0 || http_add_header(req, "Accept", "application/json", err) < 0)
		return -1;
	return token ? http_add_header(req, "Authorization", token, err) : 0;
}

static int read_answer(const struct container *c, const struct http_request *req,
	const struct creds_world *w, struct aws_creds *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = NULL;
	CLEANUP_FREE char *message = NULL;

	j = json_parse(buf_str(&req->answer), req->answer.len, c->shown, NULL);
	if (req->status != 200) {
		message = creds_said(json_get_str(j, "message", json_get_str(j, "Message", "")), err);
		if (!message)
			return -1;
		error_set(err, ERROR_SERVICE, 0, "'%s' answers %d%s%s", c->shown, req->status,
			message[0] ? ": " : "", message);
		err->http_status = req->status;
		return -1;
	}
	if (!json_is_object(j))
		return error_set(err, ERROR_NETWORK, 0, "the answer of '%s' is not a JSON object", c->shown);
	if (creds_from_json(j, "Token", c->shown, out, err) < 0)
		return -1;
	creds_adjust_expiry(out, req, &w->clock);
	return 0;
}

static int try(const struct container *c, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	struct http_request req;
	int ret;

	ret = prepare(c, &req, err);
	if (ret == 0)
		ret = creds_http_run(w, TIMEOUT_MS, &req, err);
	if (ret == 0)
		ret = read_answer(c, &req, w, out, err);
	buf_wipe(&req.answer);
	http_request_release(&req);
	return ret;
}

static int fetch_container(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	const struct container *c = state;

	out->origin = buf_strf(err, "container endpoint %s", c->shown);
	if (!out->origin)
		return -1;
	for (int i = 1;; i++) {
		if (try(c, w, out, err) == 0)
			return 0;
		if (i == TRIES || !(err->kind == ERROR_NETWORK || err->http_status >= 500))
			return error_wrap(err, "credentials of the container");
		creds_http_pause(PAUSE_MS);
		error_clear(err);
	}
}

struct aws_provider *creds_container_new(struct creds_world *w, struct error *err)
{
	static const struct creds_kind kind = {.fetch = fetch_container, .free = container_free};
	const char *file = aws_env_get(&w->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = aws_env_get(&w->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	struct container *c = calloc(1, sizeof(*c));

	if (!c)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	c->url = find_url(&w->env, err);
	if (c->url)
		http_url_shown(c->shown, c->url);
	if (c->url && file)
		c->token_file = buf_strf(err, "%s", file);
	else if (c->url && token)
		c->token = buf_strf(err, "%s", token);
	if (!c->url || (file ? !c->token_file : token && !c->token)) {
		container_free(c);
		return NULL;
	}
	return aws_provider_make(w, &kind, c, err);
}
