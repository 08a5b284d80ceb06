/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a signature: header and query form are parsed strictly into the same ones.
 */
#include "uploader/region/auth_internal.h"

#include <string.h>
#include <time.h>

#include "base/num.h"

enum { PRESIGNED_MAX_S = 7 * 24 * 3600 };

static const char algorithm[] = "AWS4-HMAC-SHA256";

void auth_header_release(struct auth_header *h)
{
	form_release(&h->form);
	free(h->query);
	free(h->text);
}

/* The value of "name=value" when item is that. */
static char *item_value(char *item, const char *name)
{
	size_t len = strlen(name);

	while (*item == ' ')
		item++;
	return strncmp(item, name, len) == 0 && item[len] == '=' ? item + len + 1 : NULL;
}

/* "KEY/date/region/service/aws4_request"; true when it is not. */
static bool credential_parse(struct auth_header *h, char *credential)
{
	char **parts[] = {&h->access_key, &h->date, &h->region, &h->service, &h->terminator};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!credential || *credential == '\0')
			return true;
		*parts[i] = strsep(&credential, "/");
	}
	return credential != NULL || strcmp(h->terminator, "aws4_request") != 0;
}

/* True when the header is not one of ours to check. */
static bool header_parse(struct auth_header *h, const struct request *req)
{
	char *rest, *item, *found, *credential = NULL;

	h->amz_date = request_header(req, "x-amz-date");
	h->token = request_header(req, "x-amz-security-token");
	h->text = strdup(request_header(req, "authorization"));
	if (!h->text || strncmp(h->text, algorithm, sizeof(algorithm) - 1) != 0 ||
	    h->text[sizeof(algorithm) - 1] != ' ')
		return true;
	rest = h->text + sizeof(algorithm);
	while ((item = strsep(&rest, ","))) {
		if ((found = item_value(item, "Credential")) && !credential)
			credential = found;
		else if ((found = item_value(item, "SignedHeaders")) && !h->signed_headers)
			h->signed_headers = found;
		else if ((found = item_value(item, "Signature")) && !h->signature)
			h->signature = found;
		else
			return true;
	}
	return !credential || credential_parse(h, credential);
}

/* The query without X-Amz-Signature: what was signed. NULL when memory is short. */
static char *signed_query(const char *query)
{
	static const char name[] = "X-Amz-Signature=";
	char *copy = strdup(query), *at = copy, *end;

	while (at && *at && strncmp(at, name, sizeof(name) - 1) != 0) {
		at = strchr(at, '&');
		at = at ? at + 1 : NULL;
	}
	if (!at || *at == '\0')
		return copy;
	end = strchr(at, '&');
	if (end)
		memmove(at, end + 1, strlen(end + 1) + 1);
	else
		at[at > copy ? -1 : 0] = '\0';
	return copy;
}

/* The same of a presigned URL. */
static bool query_parse(struct auth_header *h, const struct request *req)
{
	const char *method, *credential, *expires;

	h->presigned = true;
	if (form_parse(&h->form, req->query, strlen(req->query), NULL) < 0)
		return true;
	method = form_get(&h->form, "X-Amz-Algorithm");
	credential = form_get(&h->form, "X-Amz-Credential");
	expires = form_get(&h->form, "X-Amz-Expires");
	h->amz_date = form_get(&h->form, "X-Amz-Date");
	h->token = form_get(&h->form, "X-Amz-Security-Token");
	h->signed_headers = form_get(&h->form, "X-Amz-SignedHeaders");
	h->signature = form_get(&h->form, "X-Amz-Signature");
	if (!method || strcmp(method, algorithm) != 0 || !credential || !expires ||
	    num_parse(expires, PRESIGNED_MAX_S, &h->lifetime, NULL) < 0)
		return true;
	h->text = strdup(credential);
	h->query = signed_query(req->query);
	return !h->text || !h->query || credential_parse(h, h->text);
}

bool auth_header_present(const struct request *req)
{
	return request_header(req, "authorization") || strstr(req->query, "X-Amz-Signature=");
}

bool auth_header_parse(struct auth_header *h, const struct request *req)
{
	*h = (struct auth_header){.form = FORM_INIT};
	if (request_header(req, "authorization") ? header_parse(h, req) : query_parse(h, req))
		return true;
	return !h->signed_headers || !h->signature || !h->amz_date ||
	       strlen(h->signature) != SHA256_HEX_SIZE - 1;
}

void auth_scope_service(const struct request *req, char out[16])
{
	struct auth_header h;

	out[0] = '\0';
	if (!auth_header_present(req))
		return;
	if (!auth_header_parse(&h, req) && strlen(h.service) < 16)
		memcpy(out, h.service, strlen(h.service) + 1);
	auth_header_release(&h);
}

static int digits(const char *text, int nr)
{
	int value = 0;

	for (; nr > 0; nr--)
		value = value * 10 + (*text++ - '0');
	return value;
}

/* "20261123T090000Z". */
bool auth_header_time(const struct auth_header *h, int64_t *seconds)
{
	static const char shape[] = "ddddddddTddddddZ";
	const char *text = h->amz_date;
	struct tm tm = {0};

	if (strlen(text) != sizeof(shape) - 1)
		return true;
	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return true;
	tm.tm_year = digits(text, 4) - 1900;
	tm.tm_mon = digits(text + 4, 2) - 1;
	tm.tm_mday = digits(text + 6, 2);
	tm.tm_hour = digits(text + 9, 2);
	tm.tm_min = digits(text + 11, 2);
	tm.tm_sec = digits(text + 13, 2);
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return true;
	*seconds = (int64_t)timegm(&tm);
	return false;
}
