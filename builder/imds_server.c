/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 as far as the metadata service needs it: one request, one answer, end. */
#include "builder/imds_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"

enum { REQUEST_MAX = 16 << 10, IDLE_MS = 60000, HEADERS_MAX = 64 };

struct connection {
	int fd; /* -1: free */
	struct buf in, out;
	size_t sent;
	bool answered;
	uint64_t seen_ms; /* of the last bytes; 0: not known yet */
};

struct imds_server {
	const struct imds *imds;
	int listener;
	struct connection connections[IMDS_CONNECTIONS];
	struct connection *polled[IMDS_POLLS];
};

/* The folder's path may be longer than a socket's name: it is named by descriptor. */
static int socket_address(const char *folder, int *folder_fd, struct sockaddr_un *out,
	struct error *err)
{
	*folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder_fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", folder);
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/imds", *folder_fd);
	return 0;
}

struct imds_server *imds_server_new(const struct imds *m, const char *folder, struct error *err)
{
	CLEANUP(imds_server_cleanup) struct imds_server *s = calloc(1, sizeof(*s));
	CLEANUP_CLOSE int folder_fd = -1;
	struct sockaddr_un where;

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the metadata service");
	s->imds = m;
	s->listener = -1;
	for (size_t i = 0; i < IMDS_CONNECTIONS; i++) {
		s->connections[i].fd = -1;
		buf_init(&s->connections[i].in, REQUEST_MAX);
		buf_init(&s->connections[i].out, 0);
	}
	if (socket_address(folder, &folder_fd, &where, err) < 0)
		return NULL;
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&where, sizeof(where)) < 0 ||
		listen(s->listener, IMDS_CONNECTIONS) < 0)
		return error_null(err, ERROR_IO, errno, "cannot listen at '%s/imds'", folder);
	return steal_ptr(&s);
}

static void drop(struct connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_release(&c->in);
	buf_release(&c->out);
	c->sent = 0;
	c->answered = false;
	c->seen_ms = 0;
}

void imds_server_free(struct imds_server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < IMDS_CONNECTIONS; i++)
		drop(&s->connections[i]);
	if (s->listener >= 0)
		close(s->listener);
	free(s);
}

static struct connection *free_connection(struct imds_server *s)
{
	for (size_t i = 0; i < IMDS_CONNECTIONS; i++)
		if (s->connections[i].fd < 0)
			return &s->connections[i];
	return NULL;
}

size_t imds_server_polls(struct imds_server *s, struct pollfd *polls)
{
	size_t nr = 0;

	if (free_connection(s)) {
		s->polled[nr] = NULL;
		polls[nr++] = (struct pollfd){s->listener, POLLIN, 0};
	}
	for (size_t i = 0; i < IMDS_CONNECTIONS; i++) {
		struct connection *c = &s->connections[i];

		if (c->fd < 0)
			continue;
		s->polled[nr] = c;
		polls[nr++] = (struct pollfd){c->fd, c->answered ? POLLOUT : POLLIN, 0};
	}
	return nr;
}

/* Where the header ends (behind its empty line), or 0 when it is not whole. */
static size_t header_end(const struct buf *in)
{
	const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - in->data) + 4 : 0;
}

/* The value of a header line when it has that name, blanks at both ends cut off; else NULL. */
static char *header_value(char *line, const char *name)
{
	size_t len = strlen(name);
	char *end;

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	line += len + 1;
	line += strspn(line, " \t");
	end = line + strlen(line);
	while (end > line && strchr(" \t", end[-1]))
		*--end = '\0';
	return line;
}

struct parsed {
	struct imds_request req;
	uint64_t body; /* bytes that follow the header */
};

static bool parse_line(struct parsed *p, char *line)
{
	char *value;

	value = header_value(line, "x-aws-ec2-metadata-token");
	if (value)
		p->req.token = value;
	value = header_value(line, "x-aws-ec2-metadata-token-ttl-seconds");
	if (value)
		p->req.ttl = value;
	if (header_value(line, "x-forwarded-for"))
		p->req.forwarded = true;
	if (header_value(line, "transfer-encoding"))
		return false;
	value = header_value(line, "content-length");
	return !value || num_parse(value, REQUEST_MAX, &p->body, NULL) == 0;
}

/* Cuts the header of len bytes (its last four CR LF CR LF) into texts; false when it is none. */
static bool parse_header(char *text, size_t len, struct parsed *p)
{
	char *end = text + len - 2, *space, *line = text;

	if (memchr(text, '\0', len))
		return false;
	for (size_t nr = 0; line < end; nr++) {
		char *next = strstr(line, "\r\n");

		if (nr > HEADERS_MAX)
			return false;
		*next = '\0';
		if (nr && !parse_line(p, line))
			return false;
		if (!nr) {
			p->req.method = line;
			space = strchr(line, ' ');
			if (!space)
				return false;
			*space = '\0';
			p->req.path = space + 1;
			space = strchr(space + 1, ' ');
			if (!space || strncmp(space, " HTTP/1.", 8) != 0)
				return false;
			*space = '\0';
			if (*p->req.path != '/')
				return false;
		}
		line = next + 2;
	}
	return p->req.method != NULL;
}

static const char *status_text(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	default:
		return "Bad Request";
	}
}

static int write_reply(struct connection *c, const struct imds_request *req,
	const struct imds_reply *reply, struct error *err)
{
	if (buf_addf(&c->out, err,
		    "HTTP/1.1 %u %s\r\nServer: EC2ws\r\nConnection: close\r\nContent-Type: %s\r\n"
		    "Content-Length: %zu\r\n", reply->status, status_text(reply->status),
		    reply->type, reply->body.len) < 0)
		return -1;
	if (reply->ttl_s >= 0 &&
		buf_addf(&c->out, err, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: %lld\r\n",
			(long long)reply->ttl_s) < 0)
		return -1;
	if (buf_add_str(&c->out, "\r\n", err) < 0)
		return -1;
	if (req && !strcmp(req->method, "HEAD"))
		return 0;
	return buf_add(&c->out, buf_str(&reply->body), reply->body.len, err);
}

static int bad_request(struct connection *c, struct error *err)
{
	struct imds_reply reply = {.status = 400, .type = "text/plain", .ttl_s = -1};

	c->answered = true;
	return write_reply(c, NULL, &reply, err);
}

/* Answers when the request is whole. */
static int try_answer(struct imds_server *s, struct connection *c, uint64_t now_ms,
	struct error *err)
{
	size_t end = header_end(&c->in);
	CLEANUP_FREE char *header = NULL;
	struct parsed p = {0};
	struct imds_reply reply = {.body = BUF_INIT(0)};
	int ret;

	if (!end)
		return buf_room(&c->in) ? 0 : bad_request(c, err);
	header = strndup(c->in.data, end);
	if (!header)
		return error_nomem(err, "a request");
	if (strlen(header) != end || !parse_header(header, end, &p))
		return bad_request(c, err);
	if (c->in.len - end < p.body)
		return buf_room(&c->in) ? 0 : bad_request(c, err);
	ret = imds_answer(s->imds, &p.req, (int64_t)(now_ms / 1000), &reply, err);
	if (!ret) {
		log_debug("metadata: %s %s: %u", p.req.method, p.req.path, reply.status);
		c->answered = true;
		ret = write_reply(c, &p.req, &reply, err);
	}
	buf_release(&reply.body);
	return ret;
}

/* A guest that goes away is nobody's error. */
static int receive(struct imds_server *s, struct connection *c, uint64_t now_ms,
	struct error *err)
{
	char data[4096];
	ssize_t n = recv(c->fd, data, MIN(sizeof(data), buf_room(&c->in)), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		drop(c);
		return 0;
	}
	c->seen_ms = now_ms;
	if (buf_add(&c->in, data, (size_t)n, err) < 0)
		return -1;
	return try_answer(s, c, now_ms, err);
}

static void transmit(struct connection *c, uint64_t now_ms)
{
	ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		drop(c);
		return;
	}
	c->seen_ms = now_ms;
	c->sent += (size_t)n;
	if (c->sent == c->out.len)
		drop(c);
}

static void take_connection(struct imds_server *s, uint64_t now_ms)
{
	struct connection *c = free_connection(s);
	int fd = c ? accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	if (fd < 0)
		return;
	c->fd = fd;
	c->seen_ms = now_ms;
}

int imds_server_serve(struct imds_server *s, const struct pollfd *polls, size_t nr,
	uint64_t now_ms, struct error *err)
{
	for (size_t i = 0; i < nr; i++) {
		struct connection *c = s->polled[i];

		if (!polls[i].revents) {
			if (c && now_ms > c->seen_ms + IDLE_MS)
				drop(c);
			continue;
		}
		if (!c)
			take_connection(s, now_ms);
		else if (c->answered)
			transmit(c, now_ms);
		else if (receive(s, c, now_ms, err) < 0)
			return -1;
	}
	return 0;
}

static bool write_whole(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {fd, POLLOUT, 0};

			poll(&p, 1, IDLE_MS);
			continue;
		}
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* One readable piece from one side to the other; false at the end. */
static bool carry(int from, int to)
{
	char data[4096];
	ssize_t n = read(from, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	return n > 0 && write_whole(to, data, (size_t)n);
}

int imds_bridge(const char *folder, int in, int out, struct error *err)
{
	CLEANUP_CLOSE int folder_fd = -1;
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un where;

	if (socket_address(folder, &folder_fd, &where, err) < 0)
		return -1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&where, sizeof(where)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot reach '%s/imds'", folder);
	for (;;) {
		struct pollfd p[] = {{fd, POLLIN, 0}, {in, POLLIN, 0}};

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return error_set(err, ERROR_IO, errno, "cannot wait");
		if (p[0].revents && !carry(fd, out))
			return 0;
		if (p[1].revents && in >= 0 && !carry(in, fd)) {
			shutdown(fd, SHUT_WR);
			in = -1;
		}
	}
}
