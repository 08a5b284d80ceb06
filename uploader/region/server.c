/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server, by libmicrohttpd: an epoll loop in each thread, keep-alive connections spread
 * over them. A request is looked at twice: when its head is there, before room is spent on its body,
 * and when all of it is.
 */
#include "uploader/region/server_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/region/connections.h"
#include "uploader/region/intake.h"

enum {
	CONNECTION_MEMORY = 160 * 1024, /* headers, and the window through which a body comes */
	CONNECTION_TIMEOUT_S = 120,
	STOP_STEPS = 25,    /* of 2 ms, for what has arrived */
	DROP_STEPS = 1000,  /* for what is at work */
	BLOCK_BODY_MAX = 600 * 1024,
};

struct server {
	struct region *region;     /* borrowed */
	struct MHD_Daemon *daemon;
	uint16_t port;
	atomic_bool ending;        /* nobody is let in any more */
	struct bodies bodies;
	struct connections connections;
};

/* One request from its first line to its answer. */
struct exchange {
	char *target;          /* raw; cut at its query when the head is there; owned */
	struct connection *connection;
	struct request req;
	struct pass pass;
	struct intake body;
	struct reply *refusal; /* of a request whose body is let pass by; owned */
	bool begun;
};

static enum MHD_Result on_accept(void *cls, const struct sockaddr *from, socklen_t len)
{
	struct server *s = cls;

	(void)from;
	(void)len;
	return atomic_load(&s->ending) ? MHD_NO : MHD_YES;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct server *s = cls;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (code == MHD_CONNECTION_NOTIFY_CLOSED)
		connections_remove(&s->connections, *context);
	else if (info)
		*context = connections_add(&s->connections, info->connect_fd, region_monotonic_ms());
}

/* What on_connection() made of it; NULL when memory was short. */
static struct connection *connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* Called for the request line: the only place where libmicrohttpd shows it undecoded. */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct server *s = cls;
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	intake_init(&x->body, &s->bodies);
	x->connection = connection_of(connection);
	x->target = strdup(uri);
	if (x->target)
		return x;
	free(x);
	return NULL;
}

static void refusal_free(struct reply *refusal)
{
	if (refusal)
		reply_release(refusal);
	free(refusal);
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
	connections_wait(&s->connections, x->connection, region_monotonic_ms());
	intake_release(&x->body);
	refusal_free(x->refusal);
	free(x->target);
	free(x);
	*context = NULL;
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
static bool exchange_head(struct exchange *x, struct MHD_Connection *connection, const char *method)
{
	static char empty[] = "";
	char *question = strchr(x->target, '?');

	x->req = (struct request){.method = method, .path = x->target, .query = empty, .body_fd = -1};
	if (question) {
		*question = '\0';
		x->req.query = question + 1;
	}
	MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, &x->req);
	return x->req.nr_headers <= MESSAGE_MAX_HEADERS;
}

/* With faults that make it slow, each connection has its own thread. */
static void pause_ms(uint32_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (ms > 0 && nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}

static enum MHD_Result answer(const struct server *s, const struct exchange *x,
	struct MHD_Connection *connection, struct reply *reply)
{
	if (reply->failed)
		reply_ebs_error(reply, 500, "InternalServerException", NULL, "out of memory");
	log_debug("region: %s %s: %u", x->req.method, x->target, reply->status);
	pause_ms(s->region->faults.slow_ms);
	return reply->dropped ? MHD_NO : server_reply(s->region, connection, reply);
}

static void refuse_request(struct reply *reply)
{
	reply_ebs_error(reply, 400, "BadRequestException", NULL, "The request cannot be read.");
}

/* All of it is there. */
static enum MHD_Result answer_whole(struct server *s, struct exchange *x,
	struct MHD_Connection *connection)
{
	enum MHD_Result result;
	struct reply reply;

	if (x->refusal)
		return answer(s, x, connection, x->refusal);
	reply_init(&reply);
	if (x->body.too_large)
		region_refuse_size(s->region, &x->req, x->body.max, &reply);
	else if (intake_finish(&x->body, &x->req))
		refuse_request(&reply);
	else if (region_handle(s->region, &x->req, &x->pass, &reply))
		connections_work(&s->connections, x->connection);
	result = answer(s, x, connection, &reply);
	reply_release(&reply);
	return result;
}

/* What the head says of the body's length: more than max? */
static bool announces_more(const struct exchange *x, uint64_t max)
{
	const char *length = request_header(&x->req, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t number;

	return length && num_parse(length, max, &number, NULL) < 0;
}

/*
 * A client that sends without waiting for leave may not look for an answer before it has sent all,
 * and takes the end of the connection for a broken line. So a small body is let pass by.
 */
static bool lets_pass_by(const struct exchange *x)
{
	return !request_header(&x->req, MHD_HTTP_HEADER_TRANSFER_ENCODING) &&
	       !request_header(&x->req, MHD_HTTP_HEADER_EXPECT) && !announces_more(x, BLOCK_BODY_MAX);
}

/* Keeps a refusal until the body has passed by; false when memory is short. */
static bool keep_refusal(struct exchange *x, struct reply *reply)
{
	x->refusal = malloc(sizeof(*reply));
	if (!x->refusal)
		return false;
	*x->refusal = *reply;
	reply_init(reply);
	return true;
}

/* Whether the body is wanted; else the reply says why not. */
static bool admit(struct server *s, struct exchange *x, struct MHD_Connection *connection,
	const char *method, struct reply *reply)
{
	uint64_t spooled, max;

	if (!exchange_head(x, connection, method)) {
		refuse_request(reply);
		return false;
	}
	spooled = region_spools(&x->req);
	max = spooled ? spooled : strcmp(method, "PUT") == 0 ? BLOCK_BODY_MAX : MESSAGE_BODY_MAX;
	if (announces_more(x, max)) {
		region_refuse_size(s->region, &x->req, max, reply);
		return false;
	}
	if (!region_admit(s->region, &x->req, &x->pass, reply))
		return false;
	if (x->pass.body != AUTH_BODY_NEEDED)
		connections_work(&s->connections, x->connection);
	if (spooled)
		intake_spool(&x->body, s->region->dir, spooled);
	return true;
}

/* The head is there. An answer now is one that ends the connection. */
static enum MHD_Result begin(struct server *s, struct exchange *x, struct MHD_Connection *connection,
	const char *method)
{
	enum MHD_Result result = MHD_YES;
	struct reply reply;

	reply_init(&reply);
	if (!admit(s, x, connection, method, &reply) &&
	    (!lets_pass_by(x) || !keep_refusal(x, &reply)))
		result = answer(s, x, connection, &reply);
	reply_release(&reply);
	return result;
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
		return begin(s, x, connection, method);
	}
	if (*len == 0)
		return answer_whole(s, x, connection);
	if (!x->refusal)
		intake_add(&x->body, data, *len);
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

static struct MHD_Daemon *start_daemon(struct server *s, int listener, unsigned threads,
	unsigned limit)
{
	unsigned flags = MHD_USE_ERROR_LOG | MHD_USE_SUPPRESS_DATE_NO_CLOCK | MHD_USE_ITC;
	bool own_threads = s->region->faults.slow_ms > 0;

	flags |= own_threads ? MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL_INTERNAL_THREAD :
			       MHD_USE_EPOLL_INTERNAL_THREAD;
	return MHD_start_daemon(flags, s->port, on_accept, s, on_request, s,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)CONNECTION_TIMEOUT_S,
		threads > 1 && !own_threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads,
		MHD_OPTION_END);
}

struct server *server_start(struct region *r, const char *address, uint16_t port, unsigned threads,
	struct error *err)
{
	unsigned limit = server_connection_limit();
	int listener = server_listen(address, &port, err);
	struct server *s;

	if (listener < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	r->endpoint = s ? buf_strf(err, "http://%s:%u", address, port) : NULL;
	if (!r->endpoint) {
		close(listener);
		free(s);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the server");
	}
	s->region = r;
	s->port = port;
	bodies_init(&s->bodies);
	/* The rest is for those at work, and for those that have been ended and are not gone yet. */
	connections_init(&s->connections, limit / 4 * 3);
	s->daemon = start_daemon(s, listener, threads, limit);
	if (s->daemon)
		return s;
	error_set(err, ERROR_IO, errno, "cannot start the server on %s port %u", address, port);
	server_stop(s);
	return NULL;
}

uint16_t server_port(const struct server *s)
{
	return s->port;
}

static bool wait_a_step(struct server *s)
{
	static const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};

	if (connections_count(&s->connections) == 0)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/*
 * libmicrohttpd 0.9.75 reads through a null pointer when it refuses a malformed request while it is
 * being stopped. So no more connections are taken, what has arrived gets a moment to be answered, and
 * then the connections are ended, before libmicrohttpd is told.
 * Not by MHD_quiesce_daemon(): up to 1.0.1 it aborts when a thread of the pool wakes meanwhile and
 * takes the listening socket out of its epoll set first.
 */
static void server_settle(struct server *s)
{
	unsigned left = DROP_STEPS;

	atomic_store(&s->ending, true);
	for (unsigned i = 0; i < STOP_STEPS && wait_a_step(s); i++)
		continue;
	do
		connections_drop(&s->connections); /* those too that have done their work meanwhile */
	while (wait_a_step(s) && left-- > 0);
}

void server_stop(struct server *s)
{
	if (s->daemon) {
		server_settle(s);
		MHD_stop_daemon(s->daemon);
	}
	connections_release(&s->connections);
	bodies_release(&s->bodies);
	free(s);
}
