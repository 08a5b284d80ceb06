/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies as libmicrohttpd's responses: a body in memory, a range of a file, or one that a fault cuts
 * short.
 */
#include "uploader/region/server_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/num.h"

/* A body that ends too early. */
struct torn {
	size_t len; /* what is sent of it */
	char data[];
};

static ssize_t read_torn(void *cls, uint64_t pos, char *buf, size_t max)
{
	const struct torn *torn = cls;

	if (pos >= torn->len)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	max = MIN(max, torn->len - (size_t)pos);
	memcpy(buf, torn->data + pos, max);
	return (ssize_t)max;
}

static struct MHD_Response *make_torn_response(struct reply *reply)
{
	size_t whole = reply->fd >= 0 ? reply->fd_len : reply->body.len, half = whole / 2;
	struct torn *torn = malloc(sizeof(*torn) + half);
	struct MHD_Response *response;

	if (!torn)
		return NULL;
	torn->len = half;
	if (reply->fd < 0 && half > 0)
		memcpy(torn->data, reply->body.data, half);
	else if (reply->fd >= 0 &&
		 file_pread_all(reply->fd, torn->data, half, reply->fd_off, "content", NULL) < 0)
		torn->len = 0;
	response = MHD_create_response_from_callback(whole, 64 * 1024, read_torn, torn, free);
	if (!response)
		free(torn);
	return response;
}

static struct MHD_Response *make_response(struct reply *reply)
{
	struct MHD_Response *response;
	size_t len = reply->body.len;
	char *text;

	if (reply->truncated)
		return make_torn_response(reply);
	if (reply->fd >= 0) {
		response = MHD_create_response_from_fd_at_offset64(reply->fd_len, reply->fd,
			reply->fd_off);
		if (response)
			reply->fd = -1;
		return response;
	}
	text = buf_steal(&reply->body, NULL);
	if (!text)
		return NULL;
	response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	return response;
}

/* The service's time, which is what clients correct theirs by: "Thu, 26 Nov 2026 14:41:40 GMT". */
static void add_date(struct MHD_Response *response, const struct region *r)
{
	time_t now = (time_t)region_now(r);
	char text[40];
	struct tm tm;

	if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		MHD_add_response_header(response, "Date", text);
}

enum MHD_Result server_reply(const struct region *r, struct MHD_Connection *connection,
	struct reply *reply)
{
	struct MHD_Response *response = make_response(reply);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	add_date(response, r);
	MHD_add_response_header(response, "Content-Type", reply->content_type);
	MHD_add_response_header(response, "x-amzn-RequestId", reply->request_id);
	for (size_t i = 0; i < reply->nr_headers; i++)
		MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
	result = MHD_queue_response(connection, reply->status, response);
	MHD_destroy_response(response);
	return result;
}
