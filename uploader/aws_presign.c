/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs that carry their signature: made of the client's credentials and clock, sent by whoever gets
 * them. What they prove is kept out of the log.
 */
#include "uploader/aws_internal.h"

#include <string.h>

#include "base/log.h"

/* Credentials now, even when a refresh has to be waited for. */
static int await_creds(struct aws *a, const struct aws_creds **creds, struct error *err)
{
	enum aws_provider_state state;

	if (!a->provider)
		return error_set(err, ERROR_USAGE, 0, "no AWS credentials to sign a URL");
	while ((state = aws_provider_get(a->provider, creds, err)) == AWS_PROVIDER_WAIT)
		if (aws_run(a, AWS_CREDS_POLL_MS, -1, err) < 0)
			return -1;
	return state == AWS_PROVIDER_READY ? 0 : -1;
}

/* The value of a parameter of the query, which is not for the log. */
static int redact_parameter(const char *url, const char *name, struct error *err)
{
	const char *value = strstr(url, name);
	CLEANUP_FREE char *text = NULL;

	if (!value)
		return 0;
	value += strlen(name);
	text = buf_strf(err, "%.*s", (int)strcspn(value, "&"), value);
	return text ? log_redact(text, err) : -1;
}

int aws_presign(struct aws *a, enum aws_service service, const char *query, unsigned expires_s,
	struct buf *url, struct error *err)
{
	struct aws_signer signer = {
		.region = a->region,
		.keys = &a->keys,
		.endpoint = &a->endpoint[service],
		.now = a->clock.wall_s(a->clock.arg) + a->skew_s,
	};

	if (await_creds(a, &signer.creds, err) < 0)
		return -1;
	aws_use_generation(a, aws_provider_generation(a->provider));
	if (aws_sign_url(&signer, service, query, expires_s, url, err) < 0 ||
	    redact_parameter(buf_str(url), "X-Amz-Signature=", err) < 0)
		return -1;
	return redact_parameter(buf_str(url), "X-Amz-Security-Token=", err);
}
