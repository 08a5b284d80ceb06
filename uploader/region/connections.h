/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is connected, so that nobody is kept out by connections on which nothing happens. One that has
 * not brought a signed request is a stranger; strangers that take longer than CONNECTIONS_HEAD_S for
 * their first go when somebody else comes, and when there are many the one that waits longest goes:
 * strangers first, then those between two requests. A signed request is never cut off. Thread-safe.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_CONNECTIONS_H
#define AMIWRIGHT_UPLOADER_REGION_CONNECTIONS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { CONNECTIONS_HEAD_S = 20 };

struct connection;

struct connections {
	pthread_mutex_t lock; /* guards all that follows */
	struct connection *strangers, *known; /* rings, the longest waiting first; NULL: none */
	size_t nr;            /* with those at work */
	size_t room;          /* more than so many are too many */
};

/* None yet; room: how many there may be. */
void connections_init(struct connections *all, size_t room);
/* None may be left. */
void connections_release(struct connections *all);

/*
 * A new one over a socket, which stays the caller's and open until connections_remove(). now: of any
 * clock that goes forward, in milliseconds. NULL when memory is short; the others take that.
 */
struct connection *connections_add(struct connections *all, int fd, uint64_t now);
void connections_remove(struct connections *all, struct connection *c);
/* A request of its has turned out to be signed: it is at work. */
void connections_work(struct connections *all, struct connection *c);
/* A request is over: it waits, as a stranger if it has never been at work. */
void connections_wait(struct connections *all, struct connection *c, uint64_t now);

/* Ends all that are not at work. */
void connections_drop(struct connections *all);
size_t connections_count(struct connections *all);

#endif
