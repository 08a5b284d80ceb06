/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside creds*.c and aws_provider.c: the kinds of sources of credentials, what they are given to
 * work with, and lookup in the text of a shared file.
 */
#ifndef AMIWRIGHT_UPLOADER_CREDS_INTERNAL_H
#define AMIWRIGHT_UPLOADER_CREDS_INTERNAL_H

#include "uploader/aws_provider.h"
#include "uploader/creds_shared.h"
#include "uploader/http.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Overwrites, then frees. NULL is fine. */
void creds_wipe_text(char *text);
static inline void creds_wipe_text_cleanup(char **text)
{
	creds_wipe_text(*text);
}
#define CLEANUP_SECRET CLEANUP(creds_wipe_text_cleanup)

/* Copies the three texts; token may be NULL or "". c must hold none of them. */
int creds_set(struct aws_creds *c, const char *access, const char *secret, const char *token,
	struct error *err) MUST_CHECK;
/* Refuses what cannot be signed with, and names the secrets to log_redact(). */
int creds_check(const struct aws_creds *c, struct error *err) MUST_CHECK;

/* What all providers of one chain share; the first one owns it. */
struct creds_world {
	struct aws_env env;
	struct aws_clock clock;
	const struct aws_settings *settings; /* borrowed */
	const char *region;                  /* borrowed; NULL: not known */
	struct http_opts http;               /* borrowed texts */
	bool (*cancelled)(void);
	atomic_bool stopped, hurry;
};

/*
 * Whether the fetch that runs in this thread is to end. A plain function, as callers of programs and
 * of the AWS client want it: the world is known from the thread.
 */
bool creds_cancelled(void);

/* err is never NULL in what these functions are given. */
struct creds_kind {
	bool quick;         /* neither network nor program: asked in line */
	bool keeps_expired; /* better than nothing when there are no newer ones */
	/* New credentials with origin; out is empty before, and released by the caller on failure. */
	int (*fetch)(void *state, const struct creds_world *w, struct aws_creds *out, struct error *err);
	void (*free)(void *state);
};

/* Takes state, also on failure (NULL state: fails with err as it is). The world is borrowed. */
struct aws_provider *aws_provider_make(struct creds_world *w, const struct creds_kind *kind,
	void *state, struct error *err) MUST_CHECK;

/* The order in which sources are looked for; no network. NULL is an error. */
struct aws_provider *creds_chain(struct creds_world *w, const struct creds_shared *s,
	struct error *err) MUST_CHECK;

/* The kinds. Texts are copied. */
struct aws_provider *creds_env_new(struct creds_world *w, struct error *err) MUST_CHECK;
/* Static keys in the credentials file or (config) the config file; read again at each fetch. */
struct aws_provider *creds_static_new(struct creds_world *w, const char *profile, bool config,
	struct error *err) MUST_CHECK;
/* Takes source, also on failure. */
struct aws_provider *creds_role_new(struct creds_world *w, const struct creds_shared *s,
	const char *profile, struct aws_provider *source, struct error *err) MUST_CHECK;
/* session may be NULL. */
struct aws_provider *creds_web_new(struct creds_world *w, const char *token_file, const char *role,
	const char *session, struct error *err) MUST_CHECK;
struct aws_provider *creds_sso_new(struct creds_world *w, const struct creds_shared *s,
	const char *profile, struct error *err) MUST_CHECK;
struct aws_provider *creds_process_new(struct creds_world *w, const char *command,
	const char *profile, struct error *err) MUST_CHECK;
struct aws_provider *creds_container_new(struct creds_world *w, struct error *err) MUST_CHECK;
/* s may be NULL: then only the environment has a say. */
struct aws_provider *creds_imds_new(struct creds_world *w, const struct creds_shared *s,
	struct error *err) MUST_CHECK;

/* Whether AWS_EC2_METADATA_DISABLED says so. */
bool creds_imds_disabled(const struct aws_env *env);

/* A client for the chain's own calls. source NULL: for calls that are not signed. */
struct aws *creds_client(const struct creds_world *w, const char *region,
	struct aws_provider *source, struct error *err) MUST_CHECK;
/*
 * AssumeRole and its kin: body is the form, the answer's Credentials go into out. source NULL: not
 * signed.
 */
int creds_sts_call(const struct creds_world *w, struct aws_provider *source, const char *action,
	const struct buf *body, struct aws_creds *out, struct error *err) MUST_CHECK;
/* "amiwright-1700000000", or the given one. The caller's to free. */
char *creds_session_name(const struct creds_world *w, const char *given, struct error *err)
	MUST_CHECK;
/* Begins a form of STS with role and session; &name=value for more (NULL value: nothing). */
int creds_sts_begin(struct buf *body, const char *action, const char *role, const char *session,
	struct error *err) MUST_CHECK;
int creds_sts_add(struct buf *body, const char *name, const char *value, struct error *err) MUST_CHECK;

/* The object {AccessKeyId, SecretAccessKey, <token>, Expiration} into out; what: for messages. */
struct json;
int creds_from_json(const struct json *j, const char *token, const char *what, struct aws_creds *out,
	struct error *err) MUST_CHECK;
/*
 * Hides in place, by "***", what looks like a secret: keys of 40 characters and more in base64, and
 * values of fields like SecretAccessKey and aws_session_token in JSON, INI or shell.
 */
void creds_hide(char *text);
/* What a server said, for a message: without secrets, then cut. The caller frees it. */
char *creds_said(const char *text, struct error *err) MUST_CHECK;
/* expires was by the server's clock, whose Date is in the answer: makes it by ours. */
void creds_adjust_expiry(struct aws_creds *c, const struct http_request *answer,
	const struct aws_clock *clock);

/* One request to an address of this machine's surroundings, never through a proxy; to its end. */
int creds_http_run(const struct creds_world *w, unsigned timeout_ms, struct http_request *req,
	struct error *err) MUST_CHECK;
/* Waits, but not longer than creds_cancelled() allows. */
void creds_http_pause(unsigned ms);

/*
 * True when the file has a section of that kind and name: kind "profile", "services", or NULL for
 * "[name]".
 */
bool creds_ini_has(const char *text, const char *kind, const char *name);

/*
 * The value of key in that section, the last one when there are several (sections may repeat);
 * *value stays NULL when there is none. With sub, the indented "sub = value" below an empty "key
 * =". The caller frees *value.
 */
int creds_ini_get(const char *text, const char *kind, const char *name, const char *key,
	const char *sub, char **value, struct error *err) MUST_CHECK;

#endif
