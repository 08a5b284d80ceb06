/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: says which service a request is for, checks its signature, and words refusals as that
 * service does.
 */
#include "uploader/region/region_internal.h"

#include <string.h>
#include <time.h>

uint64_t region_monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void set_request_id(struct region *r, struct reply *reply)
{
	uint64_t number = atomic_fetch_add(&r->requests, 1);
	uint8_t raw[16];

	memcpy(raw, r->request_salt, 8);
	for (size_t i = 0; i < 8; i++)
		raw[15 - i] = (uint8_t)(number >> (8 * i));
	uuid_format(reply->request_id, raw);
}

static void refuse_ebs(struct reply *reply, enum auth_result result, const char *text)
{
	static const char *const codes[] = {
		[AUTH_MISSING] = "MissingAuthenticationTokenException",
		[AUTH_INCOMPLETE] = "IncompleteSignatureException",
		[AUTH_UNKNOWN_KEY] = "UnrecognizedClientException",
		[AUTH_SCOPE] = "InvalidSignatureException",
		[AUTH_EXPIRED] = "InvalidSignatureException",
		[AUTH_UNSIGNED] = "InvalidSignatureException",
		[AUTH_MISMATCH] = "InvalidSignatureException",
	};

	if (result == AUTH_FAILED)
		reply->failed = true;
	else
		reply_ebs_error(reply, result == AUTH_INCOMPLETE ? 400 : 403, codes[result], NULL,
			"%s", text);
}

static void refuse_ec2(struct reply *reply, enum auth_result result, const char *text)
{
	static const struct {
		unsigned status;
		const char *code;
	} answers[] = {
		[AUTH_MISSING] = {401, "AuthFailure"},
		[AUTH_INCOMPLETE] = {400, "IncompleteSignature"},
		[AUTH_UNKNOWN_KEY] = {401, "AuthFailure"},
		[AUTH_SCOPE] = {403, "SignatureDoesNotMatch"},
		[AUTH_EXPIRED] = {400, "RequestExpired"},
		[AUTH_UNSIGNED] = {403, "SignatureDoesNotMatch"},
		[AUTH_MISMATCH] = {403, "SignatureDoesNotMatch"},
	};

	if (result == AUTH_FAILED)
		reply->failed = true;
	else
		reply_ec2_error(reply, answers[result].status, answers[result].code, "%s",
			result == AUTH_UNKNOWN_KEY || result == AUTH_MISSING ?
				"AWS was not able to validate the provided access credentials" :
				text);
}

void region_handle(struct region *r, const struct request *req, struct reply *reply)
{
	bool ebs = strncmp(req->path, "/snapshots", 10) == 0;
	char text[AUTH_TEXT_SIZE];
	enum auth_result result;

	set_request_id(r, reply);
	if (!ebs && strcmp(req->path, "/") != 0) {
		reply_ebs_error(reply, 404, "UnknownOperationException", NULL,
			"There is no operation at this path.");
		return;
	}
	result = auth_check(&r->auth, ebs ? AUTH_EBS : AUTH_EC2, req, r->wall_s(), text);
	if (result == AUTH_OK)
		(ebs ? ebs_api_handle : ec2_api_handle)(r, req, reply);
	else
		(ebs ? refuse_ebs : refuse_ec2)(reply, result, text);
}
