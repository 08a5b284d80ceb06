/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: says which service a request is for, checks its signature, and words refusals as that
 * service does.
 */
#include "uploader/region/region_internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "uploader/region/s3_internal.h"

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

/* Codes of the JSON services: EBS and KMS. */
static const char *json_code(enum auth_result result)
{
	static const char *const codes[] = {
		[AUTH_MISSING] = "MissingAuthenticationTokenException",
		[AUTH_INCOMPLETE] = "IncompleteSignatureException",
		[AUTH_UNKNOWN_KEY] = "UnrecognizedClientException",
		[AUTH_TOKEN] = "UnrecognizedClientException",
		[AUTH_TOKEN_EXPIRED] = "ExpiredTokenException",
		[AUTH_SCOPE] = "InvalidSignatureException",
		[AUTH_EXPIRED] = "InvalidSignatureException",
		[AUTH_UNSIGNED] = "InvalidSignatureException",
		[AUTH_MISMATCH] = "InvalidSignatureException",
		[AUTH_DIGEST] = "InvalidSignatureException",
	};

	return codes[result];
}

static void refuse_ebs(struct reply *reply, enum auth_result result, const char *text)
{
	reply_ebs_error(reply, result == AUTH_INCOMPLETE ? 400 : 403, json_code(result), NULL, "%s",
		text);
}

static void refuse_kms(struct reply *reply, enum auth_result result, const char *text)
{
	reply_json_error(reply, 400, json_code(result), "%s", text);
}

static void refuse_ec2(struct reply *reply, enum auth_result result, const char *text)
{
	static const struct {
		unsigned status;
		const char *code, *text; /* text NULL: what the check said */
	} answers[] = {
		[AUTH_MISSING] = {401, "AuthFailure",
			"AWS was not able to validate the provided access credentials"},
		[AUTH_INCOMPLETE] = {400, "IncompleteSignature", NULL},
		[AUTH_UNKNOWN_KEY] = {401, "AuthFailure",
			"AWS was not able to validate the provided access credentials"},
		[AUTH_TOKEN] = {401, "AuthFailure",
			"AWS was not able to validate the provided access credentials"},
		[AUTH_TOKEN_EXPIRED] = {400, "RequestExpired", "Request has expired."},
		[AUTH_SCOPE] = {403, "SignatureDoesNotMatch", NULL},
		[AUTH_EXPIRED] = {400, "RequestExpired", NULL},
		[AUTH_UNSIGNED] = {403, "SignatureDoesNotMatch", NULL},
		[AUTH_MISMATCH] = {403, "SignatureDoesNotMatch", NULL},
		[AUTH_DIGEST] = {403, "SignatureDoesNotMatch", NULL},
	};

	reply_ec2_error(reply, answers[result].status, answers[result].code, "%s",
		answers[result].text ? answers[result].text : text);
}

static void refuse_sts(struct reply *reply, enum auth_result result, const char *text)
{
	static const char *const codes[] = {
		[AUTH_MISSING] = "MissingAuthenticationToken",
		[AUTH_INCOMPLETE] = "IncompleteSignature",
		[AUTH_UNKNOWN_KEY] = "InvalidClientTokenId",
		[AUTH_TOKEN] = "InvalidClientTokenId",
		[AUTH_TOKEN_EXPIRED] = "ExpiredToken",
		[AUTH_SCOPE] = "SignatureDoesNotMatch",
		[AUTH_EXPIRED] = "SignatureDoesNotMatch",
		[AUTH_UNSIGNED] = "SignatureDoesNotMatch",
		[AUTH_MISMATCH] = "SignatureDoesNotMatch",
		[AUTH_DIGEST] = "SignatureDoesNotMatch",
	};

	reply_sts_error(reply, result == AUTH_INCOMPLETE ? 400 : 403, codes[result], "%s", text);
}

static void throttle_ebs(struct reply *reply)
{
	reply_ebs_error(reply, 400, "RequestThrottledException", "ACCOUNT_THROTTLED",
		"The rate of requests of this account is exceeded.");
}

static void throttle_ec2(struct reply *reply)
{
	reply_ec2_error(reply, 503, "RequestLimitExceeded", "Request limit exceeded.");
}

static void fail_ebs(struct reply *reply)
{
	reply_ebs_error(reply, 500, "InternalServerException", NULL, "An internal error occurred.");
}

static void fail_ec2(struct reply *reply)
{
	reply_ec2_error(reply, 500, "InternalError", "An internal error has occurred");
}

static void refuse_s3(struct reply *reply, enum auth_result result, const char *text)
{
	static const char *const codes[] = {
		[AUTH_MISSING] = "AccessDenied",
		[AUTH_INCOMPLETE] = "AuthorizationHeaderMalformed",
		[AUTH_UNKNOWN_KEY] = "InvalidAccessKeyId",
		[AUTH_TOKEN] = "InvalidToken",
		[AUTH_TOKEN_EXPIRED] = "ExpiredToken",
		[AUTH_SCOPE] = "AuthorizationHeaderMalformed",
		[AUTH_EXPIRED] = "RequestTimeTooSkewed",
		[AUTH_UNSIGNED] = "AccessDenied",
		[AUTH_MISMATCH] = "SignatureDoesNotMatch",
		[AUTH_NO_DIGEST] = "InvalidRequest",
		[AUTH_DIGEST] = "XAmzContentSHA256Mismatch",
	};
	bool malformed = result == AUTH_INCOMPLETE || result == AUTH_SCOPE || result == AUTH_TOKEN ||
			 result == AUTH_TOKEN_EXPIRED || result == AUTH_NO_DIGEST || result == AUTH_DIGEST;

	reply_s3_error(reply, malformed ? 400 : 403, codes[result], text, NULL);
}

static void throttle_s3(struct reply *reply)
{
	reply_s3_error(reply, 503, "SlowDown", "Please reduce your request rate.", NULL);
}

static void fail_s3(struct reply *reply)
{
	reply_s3_error(reply, 500, "InternalError", "We encountered an internal error. Please try again.",
		NULL);
}

static const struct service {
	void (*handle)(const struct scene *scene, const struct request *req, struct reply *reply);
	void (*refuse)(struct reply *reply, enum auth_result result, const char *text);
	void (*throttle)(struct reply *reply); /* NULL: no faults and quotas here */
	void (*fail)(struct reply *reply);
} services[AUTH_NR] = {
	[AUTH_EBS] = {ebs_api_handle, refuse_ebs, throttle_ebs, fail_ebs},
	[AUTH_EC2] = {ec2_api_handle, refuse_ec2, throttle_ec2, fail_ec2},
	[AUTH_S3] = {s3_api_handle, refuse_s3, throttle_s3, fail_s3},
	[AUTH_STS] = {sts_api_handle, refuse_sts, NULL, NULL},
	[AUTH_KMS] = {kms_api_handle, refuse_kms, NULL, NULL},
};

/* Whose request it is, by its shape; AUTH_NR when it is nobody's. */
static enum auth_service route(const struct request *req)
{
	const char *target = request_header(req, "x-amz-target");
	char service[16];

	auth_scope_service(req, service);
	if (strcmp(service, "s3") == 0)
		return AUTH_S3;
	if (strncmp(req->path, "/snapshots", 10) == 0)
		return AUTH_EBS;
	if (strcmp(req->path, "/") != 0)
		return AUTH_NR;
	if (target && strncmp(target, "TrentService.", 13) == 0)
		return AUTH_KMS;
	return sts_is_request(req) ? AUTH_STS : AUTH_EC2;
}

static enum quota_kind quota_of(enum auth_service which, const struct request *req)
{
	if (which == AUTH_EC2)
		return QUOTA_EC2;
	if (which == AUTH_S3)
		return QUOTA_S3;
	if (strcmp(req->method, "PUT") == 0)
		return QUOTA_PUT;
	if (strcmp(req->method, "POST") == 0)
		return strcmp(req->path, "/snapshots") == 0 ? QUOTA_START : QUOTA_COMPLETE;
	return strstr(req->path, "/blocks/") ? QUOTA_GET : QUOTA_LIST;
}

/* The call itself, or the trouble that was asked for instead. */
static void handle(const struct scene *scene, enum auth_service which, const struct request *req,
	struct reply *reply)
{
	const struct service *service = &services[which];
	struct region *r = scene->region;
	enum fault fault = service->throttle ? faults_draw(&r->faults) : FAULT_NONE;

	if (fault == FAULT_RESET_BEFORE) {
		reply->dropped = true;
		return;
	}
	if (fault == FAULT_ERROR) {
		service->fail(reply);
		return;
	}
	if (fault == FAULT_THROTTLE ||
	    (service->throttle && !quotas_take(&r->quotas, quota_of(which, req), scene->caller->account,
					  scene->store->name, region_monotonic_ms()))) {
		service->throttle(reply);
		return;
	}
	service->handle(scene, req, reply);
	reply->dropped = fault == FAULT_RESET_AFTER;
	reply->truncated = fault == FAULT_TRUNCATE;
}

uint64_t region_spools(const struct request *head)
{
	bool put = strcmp(head->method, "PUT") == 0;

	if ((!put && strcmp(head->method, "POST") != 0) || route(head) != AUTH_S3)
		return 0;
	return put ? S3_OBJECT_MAX : S3_DOCUMENT_MAX;
}

void region_refuse_size(struct region *r, const struct request *head, uint64_t max,
	struct reply *reply)
{
	set_request_id(r, reply);
	if (route(head) != AUTH_S3)
		reply_ebs_error(reply, 413, "RequestEntityTooLargeException", NULL,
			"The body is larger than %" PRIu64 " bytes.", max);
	else if (max == S3_OBJECT_MAX)
		reply_s3_error(reply, 400, "EntityTooLarge",
			"Your proposed upload exceeds the maximum allowed size", NULL);
	else
		reply_s3_error(reply, 400, "MaxMessageLengthExceeded", "Your request was too big.", NULL);
}

/*
 * At "/" only the body tells EC2 from STS, whose requests may come unsigned. The head is enough when
 * it is signed for one of them.
 */
static bool head_tells_service(const struct request *head, enum auth_service *which)
{
	char service[16];

	if (*which != AUTH_EC2 && *which != AUTH_STS)
		return true;
	auth_scope_service(head, service);
	if (strcmp(service, "sts") == 0)
		*which = AUTH_STS;
	return strcmp(service, "sts") == 0 || strcmp(service, "ec2") == 0;
}

/* Words a refusal, if it is one. */
static bool is_refused(struct region *r, enum auth_service which, enum auth_result result,
	const char *text, struct reply *reply)
{
	if (result == AUTH_OK)
		return false;
	set_request_id(r, reply);
	if (result == AUTH_FAILED)
		reply->failed = true;
	else
		services[which].refuse(reply, result, text);
	return true;
}

bool region_admit(struct region *r, const struct request *head, struct pass *pass,
	struct reply *reply)
{
	char text[AUTH_TEXT_SIZE];
	enum auth_result result;

	*pass = (struct pass){.service = route(head), .body = AUTH_BODY_NEEDED};
	if (pass->service == AUTH_NR) {
		set_request_id(r, reply);
		reply_ebs_error(reply, 404, "UnknownOperationException", NULL,
			"There is no operation at this path.");
		return false;
	}
	if (!head_tells_service(head, &pass->service))
		return true;
	result = auth_check_head(&r->auth, pass->service, head, region_now(r), &pass->caller,
		&pass->body, text);
	return !is_refused(r, pass->service, result, text, reply);
}

/* What the head could not prove. */
static enum auth_result check_rest(struct region *r, const struct request *req, struct pass *pass,
	char text[AUTH_TEXT_SIZE])
{
	if (pass->body == AUTH_BODY_ANY)
		return AUTH_OK;
	if (pass->body == AUTH_BODY_DIGEST)
		return auth_check_body(req, text);
	return auth_check(&r->auth, pass->service, req, region_now(r), &pass->caller, text);
}

bool region_handle(struct region *r, const struct request *req, struct pass *pass,
	struct reply *reply)
{
	enum auth_service which = route(req);
	struct scene scene = {.region = r, .caller = &pass->caller};
	struct error err = ERROR_INIT;
	char text[AUTH_TEXT_SIZE];

	if (which != pass->service)
		*pass = (struct pass){.service = which, .body = AUTH_BODY_NEEDED};
	if (which == AUTH_STS && !request_header(req, "authorization")) {
		scene.caller = NULL;
		set_request_id(r, reply);
		services[which].handle(&scene, req, reply);
		return false;
	}
	if (is_refused(r, which, check_rest(r, req, pass, text), text, reply))
		return false;
	set_request_id(r, reply);
	scene.store = stores_get(&r->stores, pass->caller.region, &err);
	if (scene.store)
		handle(&scene, which, req, reply);
	else
		reply->failed = true;
	return true;
}
