/* SPDX-License-Identifier: Apache-2.0 */
/* A request's signature taken apart (auth_header.c), for the checks (auth.c). */
#ifndef AMIWRIGHT_UPLOADER_REGION_AUTH_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_AUTH_INTERNAL_H

#include "uploader/region/auth.h"
#include "uploader/region/form.h"

/* A signature and what goes with it, of a header or of a query. */
struct auth_header {
	char *text; /* owned: the parts point into it, or into form */
	char *access_key, *date, *region, *service, *terminator;
	const char *signed_headers, *signature;
	const char *amz_date, *token; /* token NULL without */
	bool presigned;
	uint64_t lifetime;  /* seconds, of a presigned one */
	char *query;        /* without the signature; owned; NULL in header form */
	struct form form;
};

/* Whether the request has a signature in a header or in its query, whole or not. */
bool auth_header_present(const struct request *req);
/*
 * Fills h, whatever comes of it: auth_header_release() afterwards. True when there is no whole
 * signature. h borrows from req.
 */
bool auth_header_parse(struct auth_header *h, const struct request *req);
void auth_header_release(struct auth_header *h);
/* When it was signed, in seconds since 1970; true when amz_date is not a time. */
bool auth_header_time(const struct auth_header *h, int64_t *seconds);

#endif
