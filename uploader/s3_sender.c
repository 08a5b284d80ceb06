/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that sends. A parcel is spare, in the queue, or under way; the lock guards the two lists and the
 * words that the two sides have for each other. All else is the thread's.
 */
#include "uploader/s3_sender.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/thread.h"

enum { LOOP_MS = 200 };

struct s3_sender {
	struct aws *aws;
	struct s3_sender_opts opts;
	struct s3_parcel *parcels; /* opts.depth; owned */
	pthread_t thread;
	bool running;
	int wake;                  /* eventfd: the maker has something for the thread */
	pthread_mutex_t lock;
	pthread_cond_t moved;      /* a parcel is spare, or the thread has failed or ended */
	struct s3_parcel *spare, *queue, **queue_end;
	bool closing, dropping, failed;
	struct error error;
	unsigned nr_under_way;     /* the thread's */
};

static void fail(struct s3_sender *s, const struct error *why)
{
	pthread_mutex_lock(&s->lock);
	if (!s->failed)
		s->error = *why;
	s->failed = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static void give_back(struct s3_parcel *p)
{
	struct s3_sender *s = p->sender;

	free(p->key);
	p->key = NULL;
	buf_release(&p->data);
	p->under_way = false;
	s->nr_under_way--;
	pthread_mutex_lock(&s->lock);
	p->next = s->spare;
	s->spare = p;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

void s3_sender_over(struct s3_parcel *p, const struct error *why)
{
	if (why)
		fail(p->sender, why);
	give_back(p);
}

int s3_sender_call(struct s3_parcel *p, void (*done)(struct aws_call *call, void *parcel), struct error *err)
{
	p->call.done = done;
	p->call.arg = p;
	if (aws_start(p->sender->aws, &p->call, err) == 0)
		return 0;
	aws_call_release(&p->call);
	return -1;
}

/* Takes one off the queue; *over: there will be none any more. */
static struct s3_parcel *take(struct s3_sender *s, bool *over)
{
	struct s3_parcel *p;

	pthread_mutex_lock(&s->lock);
	p = s->failed || s->dropping ? NULL : s->queue;
	if (p) {
		s->queue = p->next;
		if (!s->queue)
			s->queue_end = &s->queue;
	}
	*over = s->failed || s->dropping || (s->closing && !p);
	pthread_mutex_unlock(&s->lock);
	return p;
}

static void drop_calls(struct s3_sender *s)
{
	for (unsigned i = 0; i < s->opts.depth; i++) {
		struct s3_parcel *p = &s->parcels[i];

		if (!p->under_way)
			continue;
		aws_cancel(s->aws, &p->call);
		aws_call_release(&p->call);
		p->under_way = false;
	}
}

static int start(struct s3_sender *s, struct s3_parcel *p, struct error *err)
{
	if (sha256(p->data.data ? p->data.data : "", p->data.len, p->sha256, err) < 0)
		return -1;
	p->under_way = true;
	s->nr_under_way++;
	if (s->opts.start(s->opts.arg, p, err) == 0)
		return 0;
	p->under_way = false;
	s->nr_under_way--;
	return -1;
}

static int turn(struct s3_sender *s, bool *over, struct error *err)
{
	struct s3_parcel *p;
	uint64_t count;

	while ((p = take(s, over)))
		if (start(s, p, err) < 0)
			return -1;
	if (*over && s->nr_under_way == 0)
		return 0;
	if (aws_run(s->aws, LOOP_MS, s->wake, err) < 0)
		return -1;
	while (read(s->wake, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
	return 0;
}

static bool is_bad(struct s3_sender *s)
{
	bool bad;

	pthread_mutex_lock(&s->lock);
	bad = s->failed || s->dropping;
	pthread_mutex_unlock(&s->lock);
	return bad;
}

static void *work(void *arg)
{
	struct s3_sender *s = arg;
	struct error why = ERROR_INIT;
	bool over = false;

	while (!is_bad(s) && !(over && s->nr_under_way == 0))
		if (turn(s, &over, &why) < 0)
			fail(s, &why);
	drop_calls(s);
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int make_parcels(struct s3_sender *s, struct error *err)
{
	s->parcels = calloc(s->opts.depth, sizeof(*s->parcels));
	if (!s->parcels)
		return error_nomem(err, "an upload");
	for (unsigned i = 0; i < s->opts.depth; i++) {
		struct s3_parcel *p = &s->parcels[i];

		p->sender = s;
		p->arg = s->opts.arg;
		p->next = s->spare;
		s->spare = p;
	}
	return 0;
}

static int start_thread(struct s3_sender *s, struct error *err)
{
	int ret = thread_start(&s->thread, work, s);

	if (ret)
		return error_set(err, ERROR_IO, ret, "cannot start a thread");
	s->running = true;
	return 0;
}

struct s3_sender *s3_sender_new(struct aws *aws, const struct s3_sender_opts *opts, struct error *err)
{
	struct s3_sender *s = calloc(1, sizeof(*s));

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an upload");
	s->aws = aws;
	s->opts = *opts;
	s->queue_end = &s->queue;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->moved, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0)
		error_set(err, ERROR_IO, errno, "cannot make an event");
	else if (make_parcels(s, err) == 0 && start_thread(s, err) == 0)
		return s;
	s3_sender_free(s);
	return NULL;
}

static void wake(struct s3_sender *s)
{
	const uint64_t one = 1;

	/* A counter that is full is one that is seen. */
	while (write(s->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static struct s3_parcel *await_parcel(struct s3_sender *s, struct error *err)
{
	struct s3_parcel *p;

	pthread_mutex_lock(&s->lock);
	while (!s->spare && !s->failed)
		pthread_cond_wait(&s->moved, &s->lock);
	p = s->failed ? NULL : s->spare;
	if (p)
		s->spare = p->next;
	else if (err)
		*err = s->error;
	pthread_mutex_unlock(&s->lock);
	return p;
}

int s3_sender_put(struct s3_sender *s, const char *key, size_t number, struct buf *data, struct error *err)
{
	char *copy = key ? strdup(key) : NULL;
	struct s3_parcel *p = copy || !key ? await_parcel(s, err) : NULL;

	if (!p) {
		free(copy);
		return copy || !key ? -1 : error_nomem(err, "a key");
	}
	p->next = NULL;
	p->key = copy;
	p->number = number;
	p->data = *data;
	buf_init(data, data->max);
	pthread_mutex_lock(&s->lock);
	*s->queue_end = p;
	s->queue_end = &p->next;
	pthread_mutex_unlock(&s->lock);
	wake(s);
	return 0;
}

static void end_thread(struct s3_sender *s)
{
	if (!s->running)
		return;
	wake(s);
	pthread_join(s->thread, NULL);
	s->running = false;
}

int s3_sender_finish(struct s3_sender *s, struct error *err)
{
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_mutex_unlock(&s->lock);
	end_thread(s);
	if (!s->failed)
		return 0;
	if (err)
		*err = s->error;
	return -1;
}

void s3_sender_free(struct s3_sender *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->dropping = true;
	pthread_mutex_unlock(&s->lock);
	end_thread(s);
	for (unsigned i = 0; s->parcels && i < s->opts.depth; i++) {
		buf_release(&s->parcels[i].data);
		free(s->parcels[i].key);
	}
	free(s->parcels);
	if (s->wake >= 0)
		close(s->wake);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
