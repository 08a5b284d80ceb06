/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: verification of Signature Version 4 in the Authorization header or in the query, for
 * the accounts' keys and for sessions that STS gave out. Thread-safe.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_AUTH_H
#define AMIWRIGHT_UPLOADER_REGION_AUTH_H

#include "base/error.h"
#include "uploader/region/accounts.h"
#include "uploader/region/message.h"
#include "uploader/region/names.h"

#include <pthread.h>
#include <stdint.h>

enum auth_service { AUTH_EBS, AUTH_EC2, AUTH_STS, AUTH_KMS, AUTH_S3, AUTH_NR };

enum auth_result {
	AUTH_OK,
	AUTH_MISSING,     /* no signature */
	AUTH_INCOMPLETE,  /* signature or date cannot be read */
	AUTH_UNKNOWN_KEY,
	AUTH_TOKEN,       /* a session token that is none of ours, or of another key */
	AUTH_TOKEN_EXPIRED,
	AUTH_SCOPE,       /* other service or day, or no Region */
	AUTH_EXPIRED,     /* more than 15 minutes from our clock, or a presigned URL's time is over */
	AUTH_UNSIGNED,    /* a header that must be signed is not */
	AUTH_MISMATCH,    /* signature differs */
	AUTH_NO_DIGEST,   /* S3: the head does not say what the body's digest is */
	AUTH_DIGEST,      /* the body is not the one that was signed */
	AUTH_FAILED,      /* our own trouble */
};

enum {
	AUTH_TEXT_SIZE = 320,
	AUTH_WINDOW_S = 15 * 60,
	AUTH_CACHED_KEYS = 16,
	AUTH_ARN_SIZE = 256,
	AUTH_KEY_SIZE = 64,
};

/* Who a request turned out to be from. */
struct caller {
	char account[ACCOUNT_SIZE];
	char access_key[AUTH_KEY_SIZE];
	char region[REGION_NAME_SIZE]; /* the one that was signed for */
	char arn[AUTH_ARN_SIZE];       /* of the user, or of the assumed role's session */
};

struct auth {
	const struct accounts *accounts; /* borrowed */
	const uint8_t *session_key;      /* borrowed */
	pthread_mutex_t lock;            /* guards keys, next */
	struct auth_key {
		char access_key[AUTH_KEY_SIZE], region[REGION_NAME_SIZE], date[9];
		enum auth_service service;
		uint8_t key[SHA256_SIZE];
	} keys[AUTH_CACHED_KEYS];        /* signing keys that were needed lately */
	size_t next;
};

/* session_key: SHA256_SIZE bytes, by which tokens were made. Both are borrowed until release. */
void auth_init(struct auth *a, const struct accounts *accounts, const uint8_t *session_key);
/* Wipes the keys. */
void auth_release(struct auth *a);

/* What is left to be checked when the body is there. */
enum auth_body {
	AUTH_BODY_ANY,     /* nothing: the body is not under the signature */
	AUTH_BODY_DIGEST,  /* that it has the digest of the head: auth_check_body() */
	AUTH_BODY_NEEDED,  /* the signature too: auth_check() */
};

/*
 * caller gets who it is, whole only with AUTH_OK; text what is wrong, in AWS's words where they are
 * known. now: seconds since 1970.
 */
enum auth_result auth_check(struct auth *a, enum auth_service service, const struct request *req,
	int64_t now, struct caller *caller, char text[AUTH_TEXT_SIZE]);
/* The same of a request whose body is still to come: all that the head can tell. */
enum auth_result auth_check_head(struct auth *a, enum auth_service service,
	const struct request *req, int64_t now, struct caller *caller, enum auth_body *body,
	char text[AUTH_TEXT_SIZE]);
/* The body of a request whose head was checked: AUTH_OK or AUTH_DIGEST. */
enum auth_result auth_check_body(const struct request *req, char text[AUTH_TEXT_SIZE]);

/* What the signatures of a body's chunks begin with. */
struct auth_seed {
	struct sigv4_scope scope;
	uint8_t key[SHA256_SIZE];
	char signature[SHA256_HEX_SIZE]; /* the request's */
};
/*
 * Of a request whose head was checked. region: the one that it was signed for; borrowed as long as the
 * seed is used. True when there was trouble of our own.
 */
bool auth_seed(struct auth *a, enum auth_service service, const struct request *req, const char *region,
	struct auth_seed *seed);

/* The service of the request's credential scope ("s3"), copied into out; "" when it has none. */
void auth_scope_service(const struct request *req, char out[16]);

#endif
