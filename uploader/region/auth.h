/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: verification of Signature Version 4 in the Authorization header, for one account with
 * one key. Thread-safe.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_AUTH_H
#define AMIWRIGHT_UPLOADER_REGION_AUTH_H

#include "base/error.h"
#include "uploader/region/message.h"

#include <pthread.h>
#include <stdint.h>

enum auth_service { AUTH_EBS, AUTH_EC2, AUTH_NR };

enum auth_result {
	AUTH_OK,
	AUTH_MISSING,     /* no Authorization header */
	AUTH_INCOMPLETE,  /* header or date cannot be read */
	AUTH_UNKNOWN_KEY,
	AUTH_SCOPE,       /* other service, region or day */
	AUTH_EXPIRED,     /* more than 15 minutes from our clock */
	AUTH_UNSIGNED,    /* a header that must be signed is not */
	AUTH_MISMATCH,    /* signature or body hash differ */
	AUTH_FAILED,      /* our own trouble */
};

enum { AUTH_TEXT_SIZE = 320, AUTH_WINDOW_S = 15 * 60 };

struct auth {
	const char *access_key, *secret_key, *region; /* borrowed */
	pthread_mutex_t lock; /* guards the keys */
	struct {
		char date[9];
		uint8_t key[SHA256_SIZE];
	} keys[AUTH_NR];      /* signing key of the last day seen, by service */
};

void auth_init(struct auth *a, const char *access_key, const char *secret_key, const char *region);
void auth_release(struct auth *a);

/* text gets what is wrong, in AWS's words where they are known. now: seconds since 1970. */
enum auth_result auth_check(struct auth *a, enum auth_service service, const struct request *req,
	int64_t now, char text[AUTH_TEXT_SIZE]);

#endif
