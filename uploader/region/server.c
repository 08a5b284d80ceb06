/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server, by libmicrohttpd: an epoll loop in each thread, keep-alive connections spread
 * over them. A body goes into a buffer that is used again, and is hashed while it is still in the
 * cache; the handler then finds the digest done.
 */
#include "uploader/region/region_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <microhttpd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"

enum {
	CONNECTION_MEMORY = 160 * 1024, /* headers, and the window through which a body comes */
	CONNECTION_LIMIT = 1000,
	CONNECTION_TIMEOUT_S = 120,
	IDLE_BODIES = 64,
	STOP_STEPS = 25, /* of 2 ms */
	BLOCK_BODY_MAX = 600 * 1024,
};

#define UPLOAD_MAX (5 * GIB) /* of one PUT to S3 */

/* A body on its way in; kept for the next request when done. */
struct body {
	struct body *next;
	struct sha256 *hash;
	size_t len;
	uint8_t data[MESSAGE_BODY_MAX];
};

struct server {
	struct region *region;     /* borrowed */
	struct MHD_Daemon *daemon;
	uint16_t port;
	atomic_bool ending;        /* nobody is let in any more */
	pthread_mutex_t lock;      /* guards idle, nr_idle */
	struct body *idle;
	size_t nr_idle;
};

/* One request from its first line to its answer. */
struct exchange {
	char *target;      /* raw, with the query; owned */
	int spool;         /* an unnamed file that takes the body instead; -1: none */
	uint64_t spooled;
	struct body *body; /* owned; NULL until bytes come */
	bool begun, too_large, failed;
};

static struct body *body_take(struct server *s)
{
	struct body *body;

	pthread_mutex_lock(&s->lock);
	body = s->idle;
	if (body) {
		s->idle = body->next;
		s->nr_idle--;
	}
	pthread_mutex_unlock(&s->lock);
	if (!body) {
		body = malloc(sizeof(*body));
		if (!body)
			return NULL;
		body->hash = sha256_new(NULL);
		if (!body->hash) {
			free(body);
			return NULL;
		}
	}
	body->len = 0;
	return body;
}

static void body_give_back(struct server *s, struct body *body)
{
	uint8_t unused[SHA256_SIZE];
	bool keep = sha256_final(body->hash, unused, NULL) == 0; /* a request may end early */

	pthread_mutex_lock(&s->lock);
	if (keep && s->nr_idle < IDLE_BODIES) {
		body->next = s->idle;
		s->idle = body;
		s->nr_idle++;
		body = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (body) {
		sha256_free(body->hash);
		free(body);
	}
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *from, socklen_t len)
{
	struct server *s = cls;

	(void)from;
	(void)len;
	return atomic_load(&s->ending) ? MHD_NO : MHD_YES;
}

/* Called for the request line: the only place where libmicrohttpd shows it undecoded. */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct exchange *x = calloc(1, sizeof(*x));

	(void)cls;
	(void)connection;
	if (!x)
		return NULL;
	x->spool = -1;
	x->target = strdup(uri);
	if (x->target)
		return x;
	free(x);
	return NULL;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode reason)
{
	struct server *s = cls;
	struct exchange *x = *context;

	(void)connection;
	(void)reason;
	if (!x)
		return;
	if (x->body)
		body_give_back(s, x->body);
	cleanup_close_p(&x->spool);
	free(x->target);
	free(x);
	*context = NULL;
}

/* Uploads to S3 are large: they go to a file of the region's folder that has no name. */
static bool is_upload(const struct exchange *x, const char *method)
{
	return strcmp(method, "PUT") == 0 && strncmp(x->target, "/snapshots", 10) != 0;
}

static void exchange_spool(const struct server *s, struct exchange *x)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/upload-XXXXXX", s->region->dir);

	x->spool = path ? mkostemp(path, O_CLOEXEC) : -1;
	if (x->spool < 0)
		x->failed = true;
	else
		(void)unlink(path);
}

static void exchange_take(struct server *s, struct exchange *x, const char *data, size_t len)
{
	if (!x->body)
		x->body = body_take(s);
	if (!x->body) {
		x->failed = true;
		return;
	}
	if (x->spool >= 0 && len > UPLOAD_MAX - x->spooled) {
		x->too_large = true; /* one that did not say its length */
		return;
	}
	if (x->spool >= 0) {
		if (file_pwrite_all(x->spool, data, len, x->spooled, "upload", NULL) < 0)
			x->failed = true;
		x->spooled += len;
	} else if (len > MESSAGE_BODY_MAX - x->body->len) {
		x->too_large = true;
		return;
	} else {
		memcpy(x->body->data + x->body->len, data, len);
		x->body->len += len;
	}
	if (sha256_update(x->body->hash, data, len, NULL) < 0)
		x->failed = true;
}

static enum MHD_Result collect_header(void *cls, enum MHD_ValueKind kind, const char *key,
	const char *value)
{
	struct request *req = cls;

	(void)kind;
	if (req->nr_headers < MESSAGE_MAX_HEADERS)
		req->headers[req->nr_headers++] =
			(struct sigv4_header){.name = key, .value = value ? value : ""};
	else
		req->nr_headers = MESSAGE_MAX_HEADERS + 1;
	return MHD_YES;
}

/* Splits the target and collects what came; false when it cannot be a request of ours. */
static bool exchange_request(struct exchange *x, struct MHD_Connection *connection,
	const char *method, struct request *req)
{
	static char empty[] = "";
	char *question = strchr(x->target, '?');

	*req = (struct request){.method = method, .path = x->target, .query = empty,
		.spooled = x->spool >= 0, .body_fd = x->spool, .body_fd_len = x->spooled};
	if (question) {
		*question = '\0';
		req->query = question + 1;
	}
	MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, req);
	if (req->nr_headers > MESSAGE_MAX_HEADERS)
		return false;
	if (!x->body)
		return sha256("", 0, req->body_sha256, NULL) == 0;
	if (x->spool >= 0)
		return sha256_final(x->body->hash, req->body_sha256, NULL) == 0;
	req->body = x->body->data;
	req->body_len = x->body->len;
	return sha256_final(x->body->hash, req->body_sha256, NULL) == 0;
}

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

static enum MHD_Result send_reply(const struct server *s, struct MHD_Connection *connection,
	struct reply *reply)
{
	struct MHD_Response *response = make_response(reply);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	add_date(response, s->region);
	MHD_add_response_header(response, "Content-Type", reply->content_type);
	MHD_add_response_header(response, "x-amzn-RequestId", reply->request_id);
	for (size_t i = 0; i < reply->nr_headers; i++)
		MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
	result = MHD_queue_response(connection, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/* With faults that make it slow, each connection has its own thread. */
static void pause_ms(uint32_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (ms > 0 && nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}

static enum MHD_Result answer(struct server *s, struct exchange *x,
	struct MHD_Connection *connection, const char *method)
{
	struct request req;
	struct reply reply;
	enum MHD_Result result;

	reply_init(&reply);
	if (x->too_large)
		reply_ebs_error(&reply, 413, "RequestEntityTooLargeException", NULL,
			"The body is larger than %d bytes.",
			strcmp(method, "PUT") == 0 ? BLOCK_BODY_MAX : MESSAGE_BODY_MAX);
	else if (x->failed || !exchange_request(x, connection, method, &req))
		reply_ebs_error(&reply, 400, "BadRequestException", NULL,
			"The request cannot be read.");
	else
		region_handle(s->region, &req, &reply);
	if (reply.failed)
		reply_ebs_error(&reply, 500, "InternalServerException", NULL, "out of memory");
	log_debug("region: %s %s: %u", method, x->target, reply.status);
	pause_ms(s->region->faults.slow_ms);
	result = reply.dropped ? MHD_NO : send_reply(s, connection, &reply);
	reply_release(&reply);
	return result;
}

/* A body that says it is too large is refused before it comes. */
static bool announces_too_much(const struct exchange *x, struct MHD_Connection *connection,
	const char *method)
{
	uint64_t max = is_upload(x, method)	    ? UPLOAD_MAX :
		       strcmp(method, "PUT") == 0 ? BLOCK_BODY_MAX :
						    MESSAGE_BODY_MAX;
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
		MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t number;

	return length && (num_parse(length, max, &number, NULL) < 0);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *len, void **context)
{
	struct server *s = cls;
	struct exchange *x = *context;

	(void)url;
	(void)version;
	if (!x)
		return MHD_NO;
	if (!x->begun) {
		x->begun = true;
		x->too_large = announces_too_much(x, connection, method);
		if (!x->too_large && is_upload(x, method))
			exchange_spool(s, x);
		return x->too_large ? answer(s, x, connection, method) : MHD_YES;
	}
	if (*len == 0)
		return answer(s, x, connection, method);
	exchange_take(s, x, data, *len);
	*len = 0;
	return MHD_YES;
}

static void on_log(void *cls, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
static void on_log(void *cls, const char *fmt, va_list ap)
{
	char text[256];

	(void)cls;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("region: http: %s", text);
}

static int parse_address(const char *address, uint16_t port, struct sockaddr_in *out,
	struct error *err)
{
	*out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, address, &out->sin_addr) == 1)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"'%s' is no address to listen on: an IPv4 address like 127.0.0.1 is right", address);
}

struct server *server_start(struct region *r, const char *address, uint16_t port, unsigned threads,
	struct error *err)
{
	struct server *s;
	struct sockaddr_in where;
	const union MHD_DaemonInfo *info;
	bool own_threads = r->faults.slow_ms > 0;
	unsigned flags = MHD_USE_ERROR_LOG | MHD_USE_SUPPRESS_DATE_NO_CLOCK | MHD_USE_ITC;

	flags |= own_threads ? MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL_INTERNAL_THREAD :
			       MHD_USE_EPOLL_INTERNAL_THREAD;
	if (parse_address(address, port, &where, err) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the server");
	s->region = r;
	pthread_mutex_init(&s->lock, NULL);
	s->daemon = MHD_start_daemon(flags, port, on_accept,
		s, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_SOCK_ADDR,
		(struct sockaddr *)&where, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTION_LIMIT, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)CONNECTION_TIMEOUT_S,
		threads > 1 && !own_threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads,
		MHD_OPTION_END);
	if (!s->daemon) {
		error_set(err, ERROR_IO, errno, "cannot listen on %s port %u", address, port);
		server_stop(s);
		return NULL;
	}
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
	s->port = info ? info->port : port;
	return s;
}

uint16_t server_port(const struct server *s)
{
	return s->port;
}

/*
 * libmicrohttpd 0.9.75 reads through a null pointer when it refuses a malformed request while it is
 * being stopped. So no more connections are taken, and what has arrived gets a moment to be answered.
 * Not by MHD_quiesce_daemon(): up to 1.0.1 it aborts when a thread of the pool wakes meanwhile and
 * takes the listening socket out of its epoll set first.
 */
static void server_settle(struct server *s)
{
	static const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};

	atomic_store(&s->ending, true);
	for (int i = 0; i < STOP_STEPS; i++) {
		const union MHD_DaemonInfo *info =
			MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

		if (!info || info->num_connections == 0)
			break;
		nanosleep(&pause, NULL);
	}
}

void server_stop(struct server *s)
{
	if (s->daemon) {
		server_settle(s);
		MHD_stop_daemon(s->daemon);
	}
	while (s->idle) {
		struct body *body = s->idle;

		s->idle = body->next;
		sha256_free(body->hash);
		free(body);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}
