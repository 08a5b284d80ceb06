/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD server's socket, its thread, and its connections. */
#include "base/nbd_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/nbd_internal.h"
#include "base/thread.h"

enum { CLIENTS_MAX = 256, STALL_S = 20 };
enum { END, LISTENER, FIRST_CLIENT };

struct nbd_server {
	struct dev *const *devs; /* borrowed */
	size_t nr_devs;
	struct sockaddr_un where;
	int end, listener;       /* an eventfd; the socket */
	struct nbd_client clients[CLIENTS_MAX];
	size_t nr;
	struct error failed;     /* the thread's until it has been joined */
	pthread_t thread;
};

/* A client that stalls in the middle of a message is given up. */
static void set_patience(int fd)
{
	const struct timeval patience = {.tv_sec = STALL_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static void let_in(struct nbd_server *s)
{
	struct nbd_client c = {accept4(s->listener, NULL, NULL, SOCK_CLOEXEC), NULL};

	if (c.fd < 0)
		return;
	set_patience(c.fd);
	if (s->nr < CLIENTS_MAX && nbd_handshake(&c, s->devs, s->nr_devs))
		s->clients[s->nr++] = c;
	else
		close(c.fd);
}

static void close_client(struct nbd_server *s, size_t i)
{
	close(s->clients[i].fd);
	s->clients[i] = s->clients[--s->nr];
}

/* From the last on: closing one moves the last to its place. */
static void serve_ready(struct nbd_server *s, const struct pollfd *polls, size_t nr)
{
	for (size_t i = nr; i-- > 0;)
		if (polls[FIRST_CLIENT + i].revents && !nbd_serve(&s->clients[i], &s->failed))
			close_client(s, i);
}

static void *serve_thread(void *arg)
{
	struct nbd_server *s = arg;
	struct pollfd polls[FIRST_CLIENT + CLIENTS_MAX] = {{s->end, POLLIN, 0}, {s->listener, POLLIN, 0}};

	while (!polls[END].revents) {
		size_t nr = s->nr;

		for (size_t i = 0; i < nr; i++)
			polls[FIRST_CLIENT + i] = (struct pollfd){s->clients[i].fd, POLLIN, 0};
		if (poll(polls, FIRST_CLIENT + nr, -1) < 0)
			continue;
		serve_ready(s, polls, nr);
		if (polls[LISTENER].revents)
			let_in(s);
	}
	while (s->nr)
		close_client(s, s->nr - 1);
	return NULL;
}

static int start_thread(struct nbd_server *s, struct error *err)
{
	int code = thread_start(&s->thread, serve_thread, s);

	return code ? error_set(err, ERROR_IO, code, "cannot start a thread") : 0;
}

static int listen_at(struct nbd_server *s, const char *path, struct error *err)
{
	if (strlen(path) >= sizeof(s->where.sun_path))
		return error_set(err, ERROR_IO, ENAMETOOLONG, "cannot listen at '%s'", path);
	s->where.sun_family = AF_UNIX;
	memcpy(s->where.sun_path, path, strlen(path) + 1);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s->end = eventfd(0, EFD_CLOEXEC);
	if (s->listener < 0 || s->end < 0 ||
		bind(s->listener, (const struct sockaddr *)&s->where, sizeof(s->where)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot listen at '%s'", path);
	if (chmod(path, 0600) < 0 || listen(s->listener, CLIENTS_MAX) < 0) {
		error_set(err, ERROR_IO, errno, "cannot listen at '%s'", path);
		unlink(path);
		return -1;
	}
	return 0;
}

static void release(struct nbd_server *s)
{
	if (s->listener >= 0)
		close(s->listener);
	if (s->end >= 0)
		close(s->end);
	free(s);
}

struct nbd_server *nbd_server_start(struct dev *const *devs, size_t nr, const char *path,
	struct error *err)
{
	struct nbd_server *s = calloc(1, sizeof(*s));

	if (!s)
		return error_nomem(err, "a server of devices"), NULL;
	s->devs = devs;
	s->nr_devs = nr;
	s->listener = s->end = -1;
	if (listen_at(s, path, err) == 0) {
		if (start_thread(s, err) == 0)
			return s;
		unlink(path);
	}
	release(s);
	return NULL;
}

int nbd_server_stop(struct nbd_server *s, struct error *err)
{
	int ret = 0;

	if (!s)
		return 0;
	eventfd_write(s->end, 1);
	pthread_join(s->thread, NULL);
	unlink(s->where.sun_path);
	if (s->failed.kind != ERROR_NONE) {
		if (err)
			*err = s->failed;
		ret = -1;
	}
	release(s);
	return ret;
}
