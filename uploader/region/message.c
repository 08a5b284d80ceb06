/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and replies without a socket. Replies are built by writers that remember the first
 * failure instead of returning it; an error reply drops what was written before, so that a handler
 * may find out late.
 */
#include "uploader/region/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "uploader/region/xml.h"

const char *request_header(const struct request *req, const char *name)
{
	for (size_t i = 0; i < req->nr_headers; i++)
		if (strcasecmp(req->headers[i].name, name) == 0)
			return req->headers[i].value;
	return NULL;
}

void reply_init(struct reply *reply)
{
	*reply = (struct reply){.status = 200, .content_type = "application/json", .fd = -1};
	buf_init(&reply->body, MESSAGE_REPLY_MAX);
}

void reply_release(struct reply *reply)
{
	buf_release(&reply->body);
	cleanup_close_p(&reply->fd);
	reply->fd = -1;
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
	struct reply_header *h = &reply->headers[reply->nr_headers];

	if (reply->nr_headers == REPLY_MAX_HEADERS || strlen(name) >= sizeof(h->name) ||
	    strlen(value) >= sizeof(h->value)) {
		reply->failed = true;
		return;
	}
	memcpy(h->name, name, strlen(name) + 1);
	memcpy(h->value, value, strlen(value) + 1);
	reply->nr_headers++;
}

static void reply_add(struct reply *reply, const void *data, size_t len)
{
	if (buf_add(&reply->body, data, len, NULL) < 0)
		reply->failed = true;
}

void reply_addf(struct reply *reply, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		reply->failed = true;
		return;
	}
	reply_add(reply, text, (size_t)n);
}

void reply_json_str(struct reply *reply, const char *text)
{
	if (!text) {
		reply_add(reply, "null", 4);
		return;
	}
	reply_add(reply, "\"", 1);
	while (*text) {
		size_t plain = 0;

		while ((unsigned char)text[plain] >= ' ' && text[plain] != '"' && text[plain] != '\\')
			plain++;
		reply_add(reply, text, plain);
		text += plain;
		if (*text)
			reply_addf(reply, "\\u%04x", (unsigned char)*text++);
	}
	reply_add(reply, "\"", 1);
}

/* Forgets what a handler wrote before it found the mistake. */
static void reply_restart(struct reply *reply, unsigned status, const char *content_type)
{
	buf_clear(&reply->body);
	cleanup_close_p(&reply->fd);
	reply->fd = -1;
	reply->nr_headers = 0;
	reply->status = status;
	reply->content_type = content_type;
}

void reply_ebs_error(struct reply *reply, unsigned status, const char *code, const char *reason,
	const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut message is a message */
	va_end(ap);
	reply_restart(reply, status, "application/json");
	reply_header(reply, "x-amzn-ErrorType", code);
	reply_addf(reply, reason ? "{\"Message\":" : "{\"message\":");
	reply_json_str(reply, text);
	if (reason)
		reply_addf(reply, ",\"Reason\":\"%s\"", reason);
	reply_addf(reply, "}");
}

void reply_json_error(struct reply *reply, unsigned status, const char *code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_restart(reply, status, "application/x-amz-json-1.1");
	reply_header(reply, "x-amzn-ErrorType", code);
	reply_addf(reply, "{\"__type\":\"%s\",\"message\":", code);
	reply_json_str(reply, text);
	reply_addf(reply, "}");
}

void reply_ec2_error(struct reply *reply, unsigned status, const char *code, const char *fmt, ...)
{
	char text[512];
	struct xml x;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_restart(reply, status, "text/xml;charset=UTF-8");
	xml_init(&x, &reply->body);
	xml_open(&x, "Response");
	xml_open(&x, "Errors");
	xml_open(&x, "Error");
	xml_str(&x, "Code", code);
	xml_str(&x, "Message", text);
	xml_close(&x, "Error");
	xml_close(&x, "Errors");
	xml_str(&x, "RequestID", reply->request_id);
	xml_close(&x, "Response");
	reply->failed |= x.failed;
}

void reply_sts_error(struct reply *reply, unsigned status, const char *code, const char *fmt, ...)
{
	char text[512];
	struct xml x;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_restart(reply, status, "text/xml");
	xml_init(&x, &reply->body);
	xml_open_root(&x, "Error", "Response", "https://sts.amazonaws.com/doc/2011-06-15/");
	xml_open(&x, "Error");
	xml_str(&x, "Type", status < 500 ? "Sender" : "Receiver");
	xml_str(&x, "Code", code);
	xml_str(&x, "Message", text);
	xml_close(&x, "Error");
	xml_str(&x, "RequestId", reply->request_id);
	xml_close(&x, "ErrorResponse");
	reply->failed |= x.failed;
}

void reply_s3_error(struct reply *reply, unsigned status, const char *code, const char *text,
	const char *region)
{
	struct xml x;

	reply_restart(reply, status, "application/xml");
	xml_init(&x, &reply->body);
	xml_open(&x, "Error");
	xml_str(&x, "Code", code);
	xml_str(&x, "Message", text);
	xml_str(&x, "Region", region);
	xml_str(&x, "RequestId", reply->request_id);
	xml_str(&x, "HostId", "amiwright");
	xml_close(&x, "Error");
	reply->failed |= x.failed;
}
