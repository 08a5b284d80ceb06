/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retry rules, in one place and without state: which answers are worth another attempt, and how
 * long to wait before it. EBS has peculiarities that the general rules get wrong: throttling comes
 * as a 400, a damaged body as a 403 that looks like a wrong signature, and a new snapshot as a 404.
 */
#include "uploader/retry.h"

#include <stddef.h>
#include <string.h>

#include "base/num.h"

enum { CAP_MS = 20000 };

static bool is_one_of(const char *code, const char *const *list, size_t nr)
{
	for (size_t i = 0; code && i < nr; i++) {
		if (strcmp(code, list[i]) == 0)
			return true;
	}
	return false;
}

static bool is_throttling(int status, const char *code)
{
	static const char *const codes[] = {
		"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
		"BandwidthLimitExceeded", "LimitExceededException", "SlowDown",
		"EC2ThrottledException", "ConcurrentLimitExceededException",
		"ProvisionedThroughputExceededException", "TransactionInProgressException",
	};

	return status == 429 || is_one_of(code, codes, ARRAY_SIZE(codes));
}

static bool is_transient_code(const char *code)
{
	static const char *const codes[] = {
		"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete",
		"InternalError", "InternalFailure", "InternalServerException", "InternalServerError",
		"ServiceUnavailable", "Unavailable", "ConcurrentTagAccess", "IDPCommunicationError",
	};

	return is_one_of(code, codes, ARRAY_SIZE(codes));
}

static bool is_skew_code(const char *code)
{
	static const char *const codes[] = {
		"InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure",
		"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture",
	};

	return is_one_of(code, codes, ARRAY_SIZE(codes));
}

/* The block came in other than it was sent, or did not come in whole, or two writes met. */
static bool is_damaged_block(const char *code, const char *reason, const char *message)
{
	static const char *const reasons[] = {"WRITE_REQUEST_TIMEOUT", "CONFLICTING_BLOCK_UPDATE"};

	if (!code)
		return false;
	if (strcmp(code, "InvalidSignatureException") == 0)
		return message && strstr(message, "x-amz-Checksum") != NULL;
	if (strcmp(code, "ValidationException") != 0)
		return false;
	return is_one_of(reason, reasons, ARRAY_SIZE(reasons)) ||
	       (message && strstr(message, "Failed to read block data") != NULL);
}

static bool is_unknown_snapshot(const char *code, const char *reason)
{
	static const char *const codes[] = {"InvalidSnapshot.NotFound", "InvalidSnapshotID.NotFound"};

	if (is_one_of(code, codes, ARRAY_SIZE(codes)))
		return true;
	return code && strcmp(code, "ResourceNotFoundException") == 0 &&
	       (!reason || strcmp(reason, "SNAPSHOT_NOT_FOUND") == 0);
}

enum retry_class retry_classify(int status, const char *code, const char *reason,
	const char *message, bool fresh_snapshot)
{
	if (status >= 200 && status < 300)
		return RETRY_OK;
	if (status == 0)
		return RETRY_TRANSIENT;
	if (is_throttling(status, code))
		return RETRY_THROTTLED;
	if (is_damaged_block(code, reason, message))
		return RETRY_TRANSIENT;
	if (is_skew_code(code))
		return RETRY_SKEW;
	if (fresh_snapshot && is_unknown_snapshot(code, reason))
		return RETRY_FRESH;
	if (status >= 500 || status == 408 || is_transient_code(code))
		return RETRY_TRANSIENT;
	return RETRY_FATAL;
}

static bool is_about_credentials(const char *code)
{
	static const char *const codes[] = {
		"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId",
		"UnrecognizedClientException", "AuthFailure", "InvalidSignatureException",
		"SignatureDoesNotMatch", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "IncompleteSignature",
	};

	return is_one_of(code, codes, ARRAY_SIZE(codes));
}

bool retry_is_passing(int status, const char *code, const char *text)
{
	enum retry_class cls = retry_classify(status, code, NULL, text, false);

	if (is_about_credentials(code))
		return true;
	if (status == 0)
		return false;
	return cls == RETRY_TRANSIENT || cls == RETRY_THROTTLED ||
	       (text && strstr(text, "WRITE_REQUEST_TIMEOUT") != NULL);
}

unsigned retry_delay_ms(enum retry_class cls, unsigned attempt, double random)
{
	unsigned base = cls == RETRY_THROTTLED ? 500 : cls == RETRY_FRESH ? 1000 : 100;
	double limit = base;

	for (unsigned i = 1; i < attempt && limit < CAP_MS; i++)
		limit *= 2;
	return (unsigned)(random * (limit < CAP_MS ? limit : CAP_MS));
}
