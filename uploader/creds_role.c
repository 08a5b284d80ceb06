/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A role assumed with the credentials of another source (AssumeRole), and one assumed with a token
 * of an identity provider (AssumeRoleWithWebIdentity). The token file is read at each fetch: who
 * wrote it renews it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

enum { MAX_CODE = 32, POLL_MS = 200, MAX_TOKEN = 64 * 1024 };

struct role {
	struct aws_provider *source; /* owned */
	char *profile, *arn, *session, *external_id, *mfa_serial, *duration;
	bool renewal; /* there was a session before */
};

static void role_free(void *state)
{
	struct role *r = state;

	aws_provider_free(r->source);
	free(r->profile);
	free(r->arn);
	free(r->session);
	free(r->external_id);
	free(r->mfa_serial);
	free(r->duration);
	free(r);
}

/* Who has given a code already is told why he is asked again, hours later and amid other output. */
static int write_prompt(int fd, const struct role *r, struct error *err)
{
	CLEANUP_FREE char *text = buf_strf(err, "%sMFA code of %s for profile '%s': ",
		r->renewal ? "\nThe session has ended, or is about to; to go on, another is needed.\n" : "",
		r->mfa_serial, r->profile);

	return text ? file_write_all(fd, text, strlen(text), "the terminal", err) : -1;
}

/* A line from the terminal, without its end. */
static int read_code(int fd, char code[MAX_CODE], struct error *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		if (creds_cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		if (poll(&p, 1, POLL_MS) <= 0)
			continue;
		n = read(fd, code, MAX_CODE - 1);
		if (n < 0 && errno == EINTR)
			continue;
		break;
	}
	code[n > 0 ? n : 0] = '\0';
	code[strcspn(code, "\r\n")] = '\0';
	if (!code[0] || strspn(code, "0123456789") != strlen(code))
		return error_set(err, ERROR_USAGE, 0, "that is not an MFA code: it has digits alone");
	return log_redact(code, err);
}

static int ask_code(const struct role *r, char code[MAX_CODE], struct error *err)
{
	CLEANUP_CLOSE int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set(err, ERROR_USAGE, 0,
			"profile '%s' asks for a code of the MFA device '%s', and there is no terminal "
			"to ask on: put temporary credentials into the environment",
			r->profile, r->mfa_serial);
	if (write_prompt(fd, r, err) < 0)
		return -1;
	return read_code(fd, code, err);
}

static int role_body(const struct role *r, const struct creds_world *w, struct buf *body,
	struct error *err)
{
	CLEANUP_FREE char *session = creds_session_name(w, r->session, err);
	char code[MAX_CODE] = "";
	int ret;

	if (!session || creds_sts_begin(body, "AssumeRole", r->arn, session, err) < 0 ||
	    creds_sts_add(body, "DurationSeconds", r->duration, err) < 0 ||
	    creds_sts_add(body, "ExternalId", r->external_id, err) < 0 ||
	    creds_sts_add(body, "SerialNumber", r->mfa_serial, err) < 0)
		return -1;
	if (!r->mfa_serial)
		return 0;
	ret = ask_code(r, code, err);
	if (ret == 0)
		ret = creds_sts_add(body, "TokenCode", code, err);
	explicit_bzero(code, sizeof(code));
	return ret;
}

static int fetch_role(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	CLEANUP_SECRET_BUF struct buf body = BUF_INIT(0);
	struct role *r = state;

	/* Before the code is asked for, which is good for half a minute only. */
	if (aws_provider_load(r->source, err) < 0)
		return error_wrap(err, "the source of profile '%s'", r->profile);
	out->origin = buf_strf(err, "role '%s' of profile '%s'", r->arn, r->profile);
	if (!out->origin || role_body(r, w, &body, err) < 0)
		return -1;
	if (creds_sts_call(w, r->source, "AssumeRole", &body, out, err) < 0)
		return error_wrap(err, "the role of profile '%s'", r->profile);
	r->renewal = true;
	return 0;
}

static int check_duration(const struct role *r, struct error *err)
{
	uint64_t seconds;

	if (!r->duration || (num_parse(r->duration, 43200, &seconds, NULL) == 0 && seconds >= 900))
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"duration_seconds of profile '%s' is '%s', not a number from 900 to 43200", r->profile,
		r->duration);
}

static int load_role(struct role *r, const struct creds_shared *s, const char *profile,
	struct error *err)
{
	const struct {
		const char *key;
		char **value;
	} keys[] = {{"role_arn", &r->arn}, {"role_session_name", &r->session},
		{"external_id", &r->external_id}, {"mfa_serial", &r->mfa_serial},
		{"duration_seconds", &r->duration}};

	r->profile = buf_strf(err, "%s", profile);
	if (!r->profile)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (creds_shared_get(s, profile, keys[i].key, keys[i].value, err) < 0)
			return -1;
	}
	return check_duration(r, err);
}

struct aws_provider *creds_role_new(struct creds_world *w, const struct creds_shared *s,
	const char *profile, struct aws_provider *source, struct error *err)
{
	static const struct creds_kind kind = {.fetch = fetch_role, .free = role_free};
	struct role *r = calloc(1, sizeof(*r));

	if (!r) {
		aws_provider_free(source);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	}
	r->source = source;
	if (load_role(r, s, profile, err) < 0) {
		role_free(r);
		return NULL;
	}
	return aws_provider_make(w, &kind, r, err);
}

struct web {
	char *token_file, *arn, *session;
};

static void web_free(void *state)
{
	struct web *web = state;

	free(web->token_file);
	free(web->arn);
	free(web->session);
	free(web);
}

static int read_token(const struct web *web, struct buf *token, struct error *err)
{
	size_t len;

	if (file_read(web->token_file, token, err) < 0)
		return error_wrap(err, "the web identity token");
	len = strcspn(buf_str(token), " \r\n\t");
	if (len < 4 || strspn(buf_str(token) + len, " \r\n\t") + len != token->len)
		return error_set(err, ERROR_INPUT, 0, "'%s' is not a web identity token",
			web->token_file);
	buf_truncate(token, len);
	return log_redact(buf_str(token), err);
}

static int fetch_web(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	static const char action[] = "AssumeRoleWithWebIdentity";
	CLEANUP_SECRET_BUF struct buf body = BUF_INIT(0);
	CLEANUP_SECRET_BUF struct buf token = BUF_INIT(MAX_TOKEN);
	const struct web *web = state;
	CLEANUP_FREE char *session = creds_session_name(w, web->session, err);

	out->origin = buf_strf(err, "role '%s' by web identity '%s'", web->arn, web->token_file);
	if (!out->origin || !session || read_token(web, &token, err) < 0 ||
	    creds_sts_begin(&body, action, web->arn, session, err) < 0 ||
	    creds_sts_add(&body, "WebIdentityToken", buf_str(&token), err) < 0)
		return -1;
	return creds_sts_call(w, NULL, action, &body, out, err);
}

struct aws_provider *creds_web_new(struct creds_world *w, const char *token_file, const char *role,
	const char *session, struct error *err)
{
	static const struct creds_kind kind = {.fetch = fetch_web, .free = web_free};
	struct web *web = calloc(1, sizeof(*web));

	if (!web)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	web->token_file = buf_strf(err, "%s", token_file);
	web->arn = web->token_file ? buf_strf(err, "%s", role) : NULL;
	if (session)
		web->session = buf_strf(err, "%s", session);
	if (!web->arn || (session && !web->session)) {
		web_free(web);
		return NULL;
	}
	return aws_provider_make(w, &kind, web, err);
}
