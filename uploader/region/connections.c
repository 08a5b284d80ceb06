/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections in the order in which they began to wait. One is ended by shutting its socket down:
 * the thread that serves it then finds the end of the stream, whatever it waits for, and removes it.
 */
#include "uploader/region/connections.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

struct connection {
	struct connection *next, *prev; /* in the ring */
	struct connection **ring;       /* NULL: at work, or ended */
	int fd;
	uint64_t since;                 /* when it began to wait, in ms */
	bool known;
};

void connections_init(struct connections *all, size_t room)
{
	*all = (struct connections){.room = room};
	pthread_mutex_init(&all->lock, NULL);
}

void connections_release(struct connections *all)
{
	pthread_mutex_destroy(&all->lock);
}

static void ring_leave(struct connection *c)
{
	if (!c->ring)
		return;
	if (c->next == c)
		*c->ring = NULL;
	else if (*c->ring == c)
		*c->ring = c->next;
	c->next->prev = c->prev;
	c->prev->next = c->next;
	c->ring = NULL;
}

static void ring_join(struct connection **ring, struct connection *c)
{
	c->ring = ring;
	if (!*ring) {
		*ring = c->next = c->prev = c;
		return;
	}
	c->next = *ring;
	c->prev = (*ring)->prev;
	c->prev->next = c;
	c->next->prev = c;
}

static void end(struct connection *c)
{
	ring_leave(c);
	(void)shutdown(c->fd, SHUT_RDWR);
}

/* Makes room for one more. What is ended counts until its thread has removed it. */
static void make_room(struct connections *all, uint64_t now)
{
	bool made = all->nr < all->room;

	while (all->strangers && now > all->strangers->since + CONNECTIONS_HEAD_S * 1000) {
		end(all->strangers);
		made = true;
	}
	if (made)
		return;
	if (all->strangers)
		end(all->strangers);
	else if (all->known)
		end(all->known);
}

struct connection *connections_add(struct connections *all, int fd, uint64_t now)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	c->since = now;
	pthread_mutex_lock(&all->lock);
	make_room(all, now);
	ring_join(&all->strangers, c);
	all->nr++;
	pthread_mutex_unlock(&all->lock);
	return c;
}

void connections_remove(struct connections *all, struct connection *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&all->lock);
	ring_leave(c);
	all->nr--;
	pthread_mutex_unlock(&all->lock);
	free(c);
}

void connections_work(struct connections *all, struct connection *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&all->lock);
	ring_leave(c);
	c->known = true;
	pthread_mutex_unlock(&all->lock);
}

void connections_wait(struct connections *all, struct connection *c, uint64_t now)
{
	if (!c)
		return;
	pthread_mutex_lock(&all->lock);
	ring_leave(c);
	c->since = now;
	ring_join(c->known ? &all->known : &all->strangers, c);
	pthread_mutex_unlock(&all->lock);
}

void connections_drop(struct connections *all)
{
	pthread_mutex_lock(&all->lock);
	while (all->strangers)
		end(all->strangers);
	while (all->known)
		end(all->known);
	pthread_mutex_unlock(&all->lock);
}

size_t connections_count(struct connections *all)
{
	size_t nr;

	pthread_mutex_lock(&all->lock);
	nr = all->nr;
	pthread_mutex_unlock(&all->lock);
	return nr;
}
