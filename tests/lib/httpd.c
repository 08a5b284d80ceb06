/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tests' HTTP server: a thread for each connection, bodies by Content-Length only.
 */
#include "tests/lib/httpd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 256, HEAD_SIZE = 32 * 1024, REPLY_SIZE = 1024 * 1024 };

struct connection {
	struct httpd *server;
	int fd;
	pthread_t thread;
};

struct httpd {
	httpd_fn fn;
	void *arg;
	int fd;
	char url[64];
	pthread_t thread;
	pthread_mutex_t lock;
	unsigned requests, nr_connections;
	struct connection connections[MAX_CONNECTIONS];
};

static bool read_all(int fd, char *to, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, to, len);

		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

static void write_all(int fd, const char *from, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		from += n;
		len -= (size_t)n;
	}
}

/* The head byte by byte: slow, simple, and never a byte too far. */
static bool read_head(int fd, char *head)
{
	size_t len = 0;

	while (len + 1 < HEAD_SIZE && read(fd, head + len, 1) == 1) {
		head[++len] = '\0';
		if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

static size_t content_length(const char *headers)
{
	for (const char *p = headers; p; p = strstr(p, "\r\n")) {
		p += p == headers ? 0 : 2;
		if (strncasecmp(p, "content-length:", 15) == 0)
			return strtoul(p + 15, NULL, 10);
	}
	return 0;
}

static void finish(int fd, enum httpd_act act)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	char c;

	if (act == HTTPD_RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (act == HTTPD_STALL) {
		while (read(fd, &c, 1) > 0)
			;
	}
}

static bool serve_one(struct connection *c, char *head, char *reply)
{
	struct httpd_request req = {.line = head};
	size_t reply_len = 0;
	enum httpd_act act;
	char *end, *body;

	if (!read_head(c->fd, head))
		return false;
	end = strstr(head, "\r\n");
	*end = '\0';
	req.headers = end + 2;
	req.body_len = content_length(req.headers);
	body = calloc(1, req.body_len + 1);
	if (!body || !read_all(c->fd, body, req.body_len)) {
		free(body);
		return false;
	}
	req.body = body;
	pthread_mutex_lock(&c->server->lock);
	req.number = ++c->server->requests;
	pthread_mutex_unlock(&c->server->lock);
	act = c->server->fn(c->server->arg, &req, reply, REPLY_SIZE, &reply_len);
	free(body);
	write_all(c->fd, reply, reply_len);
	finish(c->fd, act);
	return act == HTTPD_SEND;
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	char *head = malloc(HEAD_SIZE), *reply = malloc(REPLY_SIZE);

	while (head && reply && serve_one(c, head, reply))
		;
	free(head);
	free(reply);
	/*
	 * Closed under the lock, so that httpd_stop() never shuts down a descriptor of somebody
	 * else.
	 */
	pthread_mutex_lock(&c->server->lock);
	close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&c->server->lock);
	return NULL;
}

static void *accept_loop(void *arg)
{
	struct httpd *h = arg;

	for (;;) {
		int fd = accept(h->fd, NULL, NULL);
		struct connection *c;

		if (fd < 0)
			return NULL;
		pthread_mutex_lock(&h->lock);
		c = h->nr_connections < MAX_CONNECTIONS ? &h->connections[h->nr_connections] : NULL;
		if (c) {
			c->server = h;
			c->fd = fd;
			if (pthread_create(&c->thread, NULL, serve, c) == 0)
				h->nr_connections++;
			else
				c = NULL;
		}
		pthread_mutex_unlock(&h->lock);
		if (!c)
			close(fd);
	}
}

struct httpd *httpd_start(httpd_fn fn, void *arg)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	struct httpd *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->fn = fn;
	h->arg = arg;
	pthread_mutex_init(&h->lock, NULL);
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (h->fd < 0 || bind(h->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(h->fd, 128) < 0 || getsockname(h->fd, (struct sockaddr *)&addr, &len) < 0 ||
	    pthread_create(&h->thread, NULL, accept_loop, h) != 0) {
		close(h->fd);
		free(h);
		return NULL;
	}
	snprintf(h->url, sizeof(h->url), "http://127.0.0.1:%u", ntohs(addr.sin_port));
	return h;
}

void httpd_stop(struct httpd *h)
{
	if (!h)
		return;
	shutdown(h->fd, SHUT_RDWR);
	pthread_join(h->thread, NULL);
	close(h->fd);
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < h->nr_connections; i++) {
		if (h->connections[i].fd >= 0)
			shutdown(h->connections[i].fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < h->nr_connections; i++)
		pthread_join(h->connections[i].thread, NULL);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

const char *httpd_url(const struct httpd *h)
{
	return h->url;
}

unsigned httpd_connections(struct httpd *h)
{
	unsigned nr;

	pthread_mutex_lock(&h->lock);
	nr = h->nr_connections;
	pthread_mutex_unlock(&h->lock);
	return nr;
}

size_t httpd_answer(char *reply, size_t size, const char *status, const char *extra,
	const char *body)
{
	return (size_t)snprintf(reply, size, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status,
		extra, strlen(body), body);
}

bool httpd_has(const struct httpd_request *req, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	for (const char *p = req->headers; *p; p = strstr(p, "\r\n") + 2) {
		if (strncasecmp(p, name, name_len) == 0 && p[name_len] == ':')
			return strncmp(p + name_len + 2, value, value_len) == 0 &&
			       p[name_len + 2 + value_len] == '\r';
		if (!strstr(p, "\r\n"))
			break;
	}
	return false;
}
