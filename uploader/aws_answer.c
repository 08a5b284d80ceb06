/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an AWS error answer says, in its spellings: JSON (EBS, KMS, SSO: header x-amzn-ErrorType or
 * __type, a body with Message or message, Reason) and XML, where the Error element is the root
 * (S3), below ErrorResponse (STS) or below Response/Errors (EC2). Bodies from load balancers and
 * proxies are none of these; then only the status speaks.
 */
#include "uploader/aws_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "base/xmldoc.h"

enum { MAX_TEXT = 64 * 1024 };

/* What a service repeats can be a secret; it is taken out before the cut, which could leave a half. */
static void copy(char *out, size_t size, const char *text)
{
	CLEANUP_FREE char *clean = strdup(text ? text : "");

	if (clean)
		log_redact_text(clean);
	snprintf(out, size, "%s", clean ? clean : "");
}

/* "ns#Code:http://…" is Code. */
static void copy_code(char *out, size_t size, const char *text)
{
	const char *hash = strchr(text, '#');
	size_t len;

	if (hash)
		text = hash + 1;
	len = strcspn(text, ":");
	snprintf(out, size, "%.*s", (int)MIN(len, size - 1), text);
}

static void read_json(const struct http_request *http, struct aws_answer *out)
{
	const char *type = http_answer_header(http, "x-amzn-ErrorType");
	CLEANUP(json_cleanup) struct json *body = NULL;
	const char *message;

	if (type)
		copy_code(out->code, sizeof(out->code), type);
	body = json_parse(buf_str(&http->answer), http->answer.len, "answer", NULL);
	if (!json_is_object(body))
		return;
	message = json_get_str(body, "Message", NULL);
	if (!message)
		message = json_get_str(body, "message", NULL);
	if (!message)
		message = json_get_str(body, "error_description", NULL);
	copy(out->message, sizeof(out->message), message);
	copy(out->reason, sizeof(out->reason), json_get_str(body, "Reason", NULL));
	if (!type)
		type = json_get_str(body, "__type", json_get_str(body, "code", NULL));
	if (type && !out->code[0])
		copy_code(out->code, sizeof(out->code), type);
}

struct xmldoc *aws_answer_xml(const char *text, size_t len, struct error *err)
{
	struct error why = ERROR_INIT;
	struct xmldoc *doc = xmldoc_parse(text, len, &why);

	return doc ? doc : error_null(err, ERROR_SERVICE, 0, "the answer %s", why.text);
}

static void read_xml(const struct http_request *http, struct aws_answer *out)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_FREE char *text = calloc(1, MAX_TEXT);
	const struct xmldoc_node *root, *error;

	doc = xmldoc_parse(buf_str(&http->answer), http->answer.len, NULL);
	if (!doc)
		return;
	root = xmldoc_root(doc);
	if (xmldoc_is(root, "Error"))
		error = root;
	else if (xmldoc_is(root, "ErrorResponse"))
		error = xmldoc_child(root, "Error");
	else
		error = xmldoc_child(xmldoc_child(root, "Errors"), "Error");
	xmldoc_child_text(error, "Code", out->code, sizeof(out->code));
	if (text)
		xmldoc_child_text(error, "Message", text, MAX_TEXT);
	copy(out->message, sizeof(out->message), text);
	if (!xmldoc_child_text(root, "RequestID", out->request_id, sizeof(out->request_id)))
		xmldoc_child_text(root, "RequestId", out->request_id, sizeof(out->request_id));
}

void aws_answer_read(enum aws_service service, const struct http_request *http,
	struct aws_answer *out)
{
	const char *id = http_answer_header(http, "x-amzn-RequestId");

	memset(out, 0, sizeof(*out));
	if (service != AWS_EC2 && service != AWS_STS && service != AWS_S3)
		read_json(http, out);
	else if (http->answer.len > 0)
		read_xml(http, out);
	if (!id)
		id = http_answer_header(http, "x-amz-request-id");
	if (id && !out->request_id[0])
		copy(out->request_id, sizeof(out->request_id), id);
}

/* IMF-fixdate only: "Sun, 06 Nov 1994 08:49:37 GMT". strptime() would follow the locale. */
bool aws_answer_date(const struct http_request *http, int64_t *seconds)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *text = http_answer_header(http, "Date"), *month;
	char name[4] = "";
	struct tm tm = {0};

	if (!text || sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, name, &tm.tm_year,
			     &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return false;
	month = strstr(months, name);
	if (!month || strlen(name) != 3 || (month - months) % 3 != 0)
		return false;
	tm.tm_mon = (int)(month - months) / 3;
	tm.tm_year -= 1900;
	*seconds = (int64_t)timegm(&tm);
	return true;
}
