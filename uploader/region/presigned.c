/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A presigned URL is checked as the GET that it is, for whatever host it names: EC2's own in the
 * source Region or this server's. The AWS SDK for JavaScript signs the host without the port that
 * the URL has (seen in @aws-sdk/middleware-sdk-ec2 3.967), so both forms count.
 */
#include "uploader/region/presigned.h"

#include <string.h>

#include "uploader/region/form.h"

static bool parameter_is(struct form *f, const char *name, const char *want)
{
	const char *value = form_get(f, name);

	return value && strcmp(value, want) == 0;
}

static bool names_the_copy(const char *query, const char *source_region, const char *snapshot_id,
	const char *destination)
{
	struct form f = FORM_INIT;
	bool right = form_parse(&f, query, strlen(query), NULL) == 0 &&
		     parameter_is(&f, "Action", "CopySnapshot") &&
		     parameter_is(&f, "SourceRegion", source_region) &&
		     parameter_is(&f, "SourceSnapshotId", snapshot_id) &&
		     parameter_is(&f, "DestinationRegion", destination);

	form_release(&f);
	return right;
}

/* "http[s]://host/?query" in place; true when it is not that. */
static bool split_url(char *url, char **host, char **query)
{
	char *rest = strstr(url, "://"), *slash;

	if (strncmp(url, "http", 4) != 0 || !rest)
		return true;
	*host = rest + 3;
	*query = strchr(*host, '?');
	if (!*query)
		return true;
	*(*query)++ = '\0';
	slash = strchr(*host, '/');
	if (slash && slash[1] != '\0')
		return true;
	if (slash)
		*slash = '\0';
	return false;
}

static bool signed_for(struct region *r, struct request *req, const char *host, const char *account,
	const char *source_region)
{
	struct caller caller;
	char text[AUTH_TEXT_SIZE];

	req->nr_headers = 0;
	req->headers[req->nr_headers++] = (struct sigv4_header){"Host", host};
	return auth_check(&r->auth, AUTH_EC2, req, region_now(r), &caller, text) == AUTH_OK &&
	       strcmp(caller.account, account) == 0 && strcmp(caller.region, source_region) == 0;
}

enum presigned_result presigned_check(struct region *r, const char *url, const char *account,
	const char *source_region, const char *snapshot_id, const char *destination)
{
	CLEANUP_FREE char *copy = strdup(url);
	char path[] = "/", *host, *query, *port;
	struct request req = {.method = "GET", .path = path};

	if (!copy || split_url(copy, &host, &query) ||
	    !names_the_copy(query, source_region, snapshot_id, destination))
		return PRESIGNED_OTHER;
	req.query = query;
	if (sha256("", 0, req.body_sha256, NULL) < 0)
		return PRESIGNED_BAD;
	if (signed_for(r, &req, host, account, source_region))
		return PRESIGNED_OK;
	port = strrchr(host, ':');
	if (!port)
		return PRESIGNED_BAD;
	*port = '\0';
	return signed_for(r, &req, host, account, source_region) ? PRESIGNED_OK : PRESIGNED_BAD;
}
