/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials as a JSON object, the form that processes, containers and the instance metadata
 * service share; only the token's name differs.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

enum { SAID_MAX = 300 };

char *creds_said(const char *text, struct error *err)
{
	CLEANUP_SECRET char *clean = buf_strf(err, "%s", text);

	if (!clean)
		return NULL;
	log_redact_text(clean);
	return buf_strf(err, "%.*s", SAID_MAX, clean);
}

int creds_from_json(const struct json *j, const char *token, const char *what, struct aws_creds *out,
	struct error *err)
{
	const char *access = json_get_str(j, "AccessKeyId", NULL);
	const char *secret = json_get_str(j, "SecretAccessKey", NULL);
	const char *expires = json_get_str(j, "Expiration", NULL);

	if (!access || !secret)
		return error_set(err, ERROR_INPUT, 0, "%s gave no %s", what,
			access ? "SecretAccessKey" : "AccessKeyId");
	if (expires && num_parse_time(expires, &out->expires, err) < 0)
		return error_wrap(err, "Expiration from %s", what);
	return creds_set(out, access, secret, json_get_str(j, token, NULL), err);
}
