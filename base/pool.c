/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ordered worker pool: a ring of slots that three counters walk through.
 *
 *          head          taken         tail
 *            |             |             |
 *     free   | taken/done  |   queued    |   free
 *
 * The owner adds at tail and takes at head, workers take at `taken`; so items start in the order in
 * which they came, and when one fails all that come before it have been started: the first failure
 * in order is the same on every run. The serial twin shares everything but the threads.
 */
#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"

struct slot {
	void *item;
	bool done;
	int result;
	struct error err;
};

struct pool {
	pool_work_fn work;
	void *arg;
	unsigned depth;
	unsigned nr_threads; /* 0: the serial twin */
	pthread_t *threads;
	int event_fd; /* readable while the oldest item is done; -1 for the serial twin */

	pthread_mutex_t lock;
	pthread_cond_t work_cond; /* something is queued, or stop */
	pthread_cond_t done_cond; /* the oldest item is done */
	/* Under the lock. The owner alone writes head and tail and may read them without it. */
	uint64_t head, taken, tail;
	bool signalled; /* event_fd is readable */
	bool failed;    /* an item failed: what is queued is not run */
	bool stop;      /* workers end */
	struct slot *slots;
};

static struct slot *slot_at(const struct pool *p, uint64_t n)
{
	return &p->slots[n % p->depth];
}

static bool oldest_done(const struct pool *p)
{
	return p->head < p->taken && slot_at(p, p->head)->done;
}

/*
 * Makes event_fd say what oldest_done() says. Under the lock; costs a call only when that changes.
 */
static void update_event(struct pool *p)
{
	uint64_t n = 1;
	bool want = oldest_done(p);
	ssize_t ret = 0;

	if (p->event_fd < 0 || want == p->signalled)
		return;
	/* Neither can fail on an eventfd whose counter goes between 0 and 1. */
	if (want)
		ret = write(p->event_fd, &n, sizeof(n));
	else
		ret = read(p->event_fd, &n, sizeof(n));
	assert(ret == sizeof(n));
	(void)ret;
	p->signalled = want;
}

static void run_slot(struct pool *p, struct slot *s, bool skip)
{
	error_clear(&s->err);
	if (skip)
		s->result = error_set(&s->err, ERROR_INTERRUPTED, 0,
			"not done because something before it failed");
	else
		s->result = p->work(s->item, p->arg, &s->err);
}

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct slot *s;
		bool skip;

		while (!p->stop && p->taken == p->tail)
			pthread_cond_wait(&p->work_cond, &p->lock);
		if (p->stop)
			break;
		s = slot_at(p, p->taken++);
		skip = p->failed;
		pthread_mutex_unlock(&p->lock);
		run_slot(p, s, skip);
		pthread_mutex_lock(&p->lock);
		s->done = true;
		if (s->result < 0)
			p->failed = true;
		if (oldest_done(p))
			pthread_cond_signal(&p->done_cond);
		update_event(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start_threads(struct pool *p, unsigned count, struct error *err)
{
	int ret = 0;

	p->threads = calloc(count, sizeof(*p->threads));
	if (!p->threads)
		return error_nomem(err, "a worker pool");
	while (ret == 0 && p->nr_threads < count) {
		ret = thread_start(&p->threads[p->nr_threads], worker, p);
		if (ret == 0)
			p->nr_threads++;
	}
	return ret == 0 ? 0
			: error_set(err, ERROR_IO, ret, "cannot start worker thread %u of %u",
				  p->nr_threads + 1, count);
}

struct pool *pool_new(
	unsigned nr_workers, unsigned depth, pool_work_fn work, void *arg, struct error *err)
{
	struct pool *p = calloc(1, sizeof(*p));

	assert(depth > 0);
	if (!p) {
		error_nomem(err, "a worker pool");
		return NULL;
	}
	*p = (struct pool){.work = work, .arg = arg, .depth = depth, .event_fd = -1};
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work_cond, NULL);
	pthread_cond_init(&p->done_cond, NULL);
	p->slots = calloc(depth, sizeof(*p->slots));
	if (!p->slots) {
		error_nomem(err, "a worker pool");
		goto fail;
	}
	if (nr_workers <= 1)
		return p;
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->event_fd < 0) {
		error_set(err, ERROR_IO, errno, "cannot make an eventfd");
		goto fail;
	}
	if (start_threads(p, nr_workers < depth ? nr_workers : depth, err) < 0)
		goto fail;
	return p;
fail:
	pool_free(p);
	return NULL;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work_cond);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nr_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->done_cond);
	pthread_cond_destroy(&p->work_cond);
	pthread_mutex_destroy(&p->lock);
	if (p->event_fd >= 0)
		close(p->event_fd);
	free(p->threads);
	free(p->slots);
	free(p);
}

unsigned pool_pending(const struct pool *p)
{
	return (unsigned)(p->tail - p->head);
}

bool pool_full(const struct pool *p)
{
	return pool_pending(p) == p->depth;
}

int pool_fd(const struct pool *p)
{
	return p->event_fd;
}

/* The serial twin of a worker. */
static void run_here(struct pool *p)
{
	struct slot *s = slot_at(p, p->taken++);

	run_slot(p, s, p->failed);
	s->done = true;
	if (s->result < 0)
		p->failed = true;
}

int pool_submit(struct pool *p, void *item, struct error *err)
{
	struct slot *s;

	/*
	 * Nothing can go wrong today; the slot is there so that a submit may one day need memory.
	 */
	(void)err;
	assert(!pool_full(p));
	pthread_mutex_lock(&p->lock);
	s = slot_at(p, p->tail);
	s->item = item;
	s->done = false;
	p->tail++;
	if (p->nr_threads > 0)
		pthread_cond_signal(&p->work_cond);
	pthread_mutex_unlock(&p->lock);
	if (p->nr_threads == 0)
		run_here(p);
	return 0;
}

static int next(struct pool *p, bool wait, void **item, struct error *err)
{
	struct slot *s;
	int result;

	*item = NULL;
	if (pool_pending(p) == 0)
		return 0;
	pthread_mutex_lock(&p->lock);
	while (wait && !oldest_done(p))
		pthread_cond_wait(&p->done_cond, &p->lock);
	if (!oldest_done(p)) {
		pthread_mutex_unlock(&p->lock);
		return 0;
	}
	s = slot_at(p, p->head);
	*item = s->item;
	result = s->result;
	if (result < 0 && err)
		*err = s->err;
	p->head++;
	update_event(p);
	pthread_mutex_unlock(&p->lock);
	return result < 0 ? -1 : 0;
}

int pool_next(struct pool *p, void **item, struct error *err)
{
	return next(p, true, item, err);
}

int pool_try_next(struct pool *p, void **item, struct error *err)
{
	return next(p, false, item, err);
}

unsigned pool_default_workers(void)
{
	/* Machines with more processors than the fixed set holds need a larger one. */
	for (int nr_cpus = CPU_SETSIZE; nr_cpus <= 64 * CPU_SETSIZE; nr_cpus *= 2) {
		size_t size = CPU_ALLOC_SIZE(nr_cpus);
		cpu_set_t *set = CPU_ALLOC(nr_cpus);
		int count = 0, why = 0;

		if (!set)
			break;
		if (sched_getaffinity(0, size, set) == 0)
			count = CPU_COUNT_S(size, set);
		else
			why = errno;
		CPU_FREE(set);
		if (count > 0)
			return (unsigned)count;
		if (why != EINVAL)
			break;
	}
	return 1;
}
