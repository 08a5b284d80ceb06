/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session credentials as STS gives them out. The token itself says whose they are and until when,
 * under a keyed hash, and key id and secret follow from it: nothing has to be remembered, so a
 * session survives the server's death.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_SESSION_H
#define AMIWRIGHT_UPLOADER_REGION_SESSION_H

#include "base/buf.h"
#include "base/hash.h"
#include "uploader/region/accounts.h"

#include <stdbool.h>
#include <stdint.h>

enum { SESSION_NAME_SIZE = 65, SESSION_KEY_SIZE = 21, SESSION_SECRET_SIZE = 41, SESSION_TOKEN_MAX = 1024 };

struct session {
	char account[ACCOUNT_SIZE];
	char role[SESSION_NAME_SIZE], name[SESSION_NAME_SIZE]; /* [\w+=,.@-] */
	int64_t expires;   /* seconds since 1970 */
	uint64_t nonce;    /* tells sessions of one second apart */
};

struct session_creds {
	char access_key[SESSION_KEY_SIZE], secret_key[SESSION_SECRET_SIZE];
};

/* token gets base64 text. */
int session_make(const uint8_t key[SHA256_SIZE], const struct session *s, struct session_creds *out,
	struct buf *token, struct error *err) MUST_CHECK;
/* True when the token is none of ours. Whether it has expired is for the caller to see. */
bool session_open(const uint8_t key[SHA256_SIZE], const char *token, struct session *s,
	struct session_creds *out) MUST_CHECK;
/* Whether text has 2 to 64 characters, all of which a session may have in its name. */
bool session_name_ok(const char *text);
/* The same of a role, for which one is enough. */
bool session_role_ok(const char *text);

#endif
