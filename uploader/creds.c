/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object that holds credentials. Whatever made it, it goes through creds_check() before
 * anything is signed with it: header values and the log's redaction depend on that.
 */
#include "uploader/creds.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

void creds_wipe_text(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void aws_creds_release(struct aws_creds *c)
{
	creds_wipe_text(c->secret_key);
	creds_wipe_text(c->session_token);
	free(c->access_key);
	free(c->origin);
	memset(c, 0, sizeof(*c));
}

static int copy(char **to, const char *from, struct error *err)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : error_nomem(err, "credentials");
}

int aws_creds_copy(struct aws_creds *to, const struct aws_creds *from, struct error *err)
{
	memset(to, 0, sizeof(*to));
	to->expires = from->expires;
	if (copy(&to->access_key, from->access_key, err) == 0 &&
	    copy(&to->secret_key, from->secret_key, err) == 0 &&
	    copy(&to->session_token, from->session_token, err) == 0 &&
	    copy(&to->origin, from->origin, err) == 0)
		return 0;
	aws_creds_release(to);
	return -1;
}

int creds_set(struct aws_creds *c, const char *access, const char *secret, const char *token,
	struct error *err)
{
	if (token && !token[0])
		token = NULL;
	if (copy(&c->access_key, access, err) < 0 || copy(&c->secret_key, secret, err) < 0)
		return -1;
	return copy(&c->session_token, token, err);
}

int creds_check(const struct aws_creds *c, struct error *err)
{
	const char *const texts[] = {c->access_key, c->secret_key, c->session_token};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (i < 2 && (!texts[i] || !texts[i][0]))
			return error_set(err, ERROR_INPUT, 0, "the credentials from %s lack %s",
				c->origin, i ? "the secret key" : "the access key id");
		for (const char *p = texts[i]; p && *p; p++) {
			if (*p <= ' ' || *p > '~')
				return error_set(err, ERROR_USAGE, 0,
					"the credentials from %s contain a space or a control character",
					c->origin);
		}
	}
	if (log_redact(c->secret_key, err) < 0)
		return -1;
	return c->session_token ? log_redact(c->session_token, err) : 0;
}
