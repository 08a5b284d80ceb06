/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that sends. A parcel is spare, in the queue, or under way; the lock guards the two lists and the
 * words that the two sides have for each other. All else is the thread's.
 */
#include "uploader/s3_store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/hash_stream.h"
#include "base/num.h"

enum { DEPTH = 6, LOOP_MS = 200 };

struct parcel {
	struct s3_store *store;
	struct buf data;
	char *key;               /* owned */
	uint8_t sha256[SHA256_SIZE];
	struct aws_call call;
	bool under_way;
	struct parcel *next;
};

struct s3_store {
	struct s3_place place;
	struct s3_store_opts opts;
	struct parcel *parcels;  /* owned */
	unsigned nr;
	pthread_t thread;
	bool running;
	int wake;                /* eventfd: the maker has something for the thread */
	pthread_mutex_t lock;
	pthread_cond_t moved;    /* a parcel is spare, or the thread has failed or ended */
	struct parcel *spare, *queue, **queue_end;
	bool closing, dropping, failed;
	struct error error;
	/* the thread's */
	unsigned nr_under_way;
	struct s3_store_counts counts;
};

static void fail(struct s3_store *s, const struct error *why)
{
	pthread_mutex_lock(&s->lock);
	if (!s->failed)
		s->error = *why;
	s->failed = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static void give_back(struct parcel *p)
{
	struct s3_store *s = p->store;

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

/* The last call for a parcel is over. */
static void on_last(struct aws_call *call, uint64_t *count)
{
	struct parcel *p = call->arg;
	struct error why = call->error;
	bool ok = call->ok;

	aws_call_release(call);
	if (ok) {
		(*count)++;
	} else {
		(void)s3_explain_acl(&p->store->place, p->store->opts.acl ? p->store->opts.acl : "private", &why);
		fail(p->store, &why);
	}
	give_back(p);
}

static void on_put(struct aws_call *call, void *arg)
{
	struct parcel *p = arg;

	on_last(call, &p->store->counts.sent);
}

static void on_acl(struct aws_call *call, void *arg)
{
	struct parcel *p = arg;

	on_last(call, &p->store->counts.there);
}

static int start_put(struct parcel *p, struct error *err)
{
	struct s3_store *s = p->store;
	struct s3_put put = {.key = p->key, .acl = s->opts.acl, .type = s->opts.type, .body = p->data.data,
		.len = p->data.len};

	memcpy(put.sha256, p->sha256, sizeof(put.sha256));
	if (s3_put_init(&s->place, &p->call, &put, err) < 0)
		return -1;
	p->call.done = on_put;
	p->call.arg = p;
	if (aws_start(s->place.aws, &p->call, err) == 0)
		return 0;
	aws_call_release(&p->call);
	return -1;
}

/* An earlier run may have given it another one; HeadObject does not tell. */
static int start_acl(struct parcel *p, struct error *err)
{
	struct s3_store *s = p->store;

	if (!s->opts.acl) {
		s->counts.there++;
		give_back(p);
		return 0;
	}
	if (s3_acl_init(&s->place, &p->call, p->key, s->opts.acl, err) < 0)
		return -1;
	p->call.done = on_acl;
	p->call.arg = p;
	if (aws_start(s->place.aws, &p->call, err) == 0)
		return 0;
	aws_call_release(&p->call);
	return -1;
}

static bool same_md5(const struct parcel *p, const char *etag)
{
	CLEANUP(hash_stream_cleanup) struct hash_stream *h = hash_stream_new(HASH_MD5, NULL);
	uint8_t digest[HASH_STREAM_MAX];
	char hex[36];
	size_t len;

	if (!h || hash_stream_update(h, p->data.data, p->data.len, NULL) < 0 ||
	    hash_stream_final(h, digest, &len, NULL) < 0)
		return false;
	hex[0] = '"';
	hex_encode(hex + 1, digest, 16);
	strcpy(hex + 33, "\"");
	return strcmp(hex, etag) == 0;
}

/* A HEAD that failed is no reason to stop: the object is sent. */
static void on_head(struct aws_call *call, void *arg)
{
	const char *length = http_answer_header(&call->http, "Content-Length");
	const char *sum = http_answer_header(&call->http, "x-amz-checksum-sha256");
	const char *etag = http_answer_header(&call->http, "ETag");
	struct parcel *p = arg;
	struct error why = ERROR_INIT;
	char ours[SHA256_BASE64_SIZE];
	uint64_t size;
	bool there;

	there = call->ok && length && num_parse(length, INT64_MAX, &size, NULL) == 0 && size == p->data.len;
	if (there)
		there = sum ? strcmp(sum, base64_sha256(ours, p->sha256)) == 0 : etag && same_md5(p, etag);
	aws_call_release(call);
	if ((there ? start_acl(p, &why) : start_put(p, &why)) == 0)
		return;
	fail(p->store, &why);
	give_back(p);
}

static int start_head(struct parcel *p, struct error *err)
{
	struct s3_store *s = p->store;

	if (s3_call_init(&s->place, &p->call, "HEAD", p->key, "", "HeadObject", err) < 0)
		return -1;
	p->call.done = on_head;
	p->call.arg = p;
	if (http_add_header(&p->call.http, "x-amz-checksum-mode", "ENABLED", err) == 0 &&
	    aws_start(s->place.aws, &p->call, err) == 0)
		return 0;
	aws_call_release(&p->call);
	return -1;
}

static int start(struct parcel *p, struct error *err)
{
	const struct s3_store_opts *o = &p->store->opts;

	bool maybe_there = false;

	if (sha256(p->data.data, p->data.len, p->sha256, err) < 0 ||
	    (o->begin && o->begin(o->arg, p->key, p->sha256, &maybe_there, err) < 0))
		return -1;
	return maybe_there ? start_head(p, err) : start_put(p, err);
}

/* Takes one off the queue; *over: there will be none any more. */
static struct parcel *take(struct s3_store *s, bool *over)
{
	struct parcel *p;

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

static void drop_calls(struct s3_store *s)
{
	for (unsigned i = 0; i < s->nr; i++) {
		struct parcel *p = &s->parcels[i];

		if (!p->under_way)
			continue;
		aws_cancel(s->place.aws, &p->call);
		aws_call_release(&p->call);
		p->under_way = false;
	}
}

static int turn(struct s3_store *s, bool *over, struct error *err)
{
	struct parcel *p;
	uint64_t count;

	while ((p = take(s, over))) {
		p->under_way = true;
		s->nr_under_way++;
		if (start(p, err) < 0) {
			p->under_way = false;
			return -1;
		}
	}
	if (*over && s->nr_under_way == 0)
		return 0;
	if (aws_run(s->place.aws, LOOP_MS, s->wake, err) < 0)
		return -1;
	while (read(s->wake, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
	return 0;
}

static bool is_bad(struct s3_store *s)
{
	bool bad;

	pthread_mutex_lock(&s->lock);
	bad = s->failed || s->dropping;
	pthread_mutex_unlock(&s->lock);
	return bad;
}

static void *work(void *arg)
{
	struct s3_store *s = arg;
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

static int make_parcels(struct s3_store *s, struct error *err)
{
	s->parcels = calloc(s->nr, sizeof(*s->parcels));
	if (!s->parcels)
		return error_nomem(err, "an upload");
	for (unsigned i = 0; i < s->nr; i++) {
		struct parcel *p = &s->parcels[i];

		p->store = s;
		p->next = s->spare;
		s->spare = p;
	}
	return 0;
}

/* Signals are the main thread's. */
static int start_thread(struct s3_store *s, struct error *err)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&s->thread, NULL, work, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		return error_set(err, ERROR_IO, ret, "cannot start a thread");
	s->running = true;
	return 0;
}

struct s3_store *s3_store_new(const struct s3_place *place, const struct s3_store_opts *opts,
	struct error *err)
{
	struct s3_store *s = calloc(1, sizeof(*s));

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an upload");
	s->place = *place;
	s->opts = *opts;
	s->nr = opts->depth ? opts->depth : DEPTH;
	s->queue_end = &s->queue;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->moved, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0)
		error_set(err, ERROR_IO, errno, "cannot make an event");
	else if (make_parcels(s, err) == 0 && start_thread(s, err) == 0)
		return s;
	s3_store_free(s);
	return NULL;
}

static void wake(struct s3_store *s)
{
	const uint64_t one = 1;

	/* A counter that is full is one that is seen. */
	while (write(s->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static struct parcel *await_parcel(struct s3_store *s, struct error *err)
{
	struct parcel *p;

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

int s3_store_put(struct s3_store *s, const char *key, struct buf *data, struct error *err)
{
	char *copy = strdup(key);
	struct parcel *p = copy ? await_parcel(s, err) : NULL;

	if (!p) {
		free(copy);
		return copy ? -1 : error_nomem(err, "a key");
	}
	p->next = NULL;
	p->key = copy;
	p->data = *data;
	buf_init(data, data->max);
	pthread_mutex_lock(&s->lock);
	*s->queue_end = p;
	s->queue_end = &p->next;
	pthread_mutex_unlock(&s->lock);
	wake(s);
	return 0;
}

static void end_thread(struct s3_store *s)
{
	if (!s->running)
		return;
	wake(s);
	pthread_join(s->thread, NULL);
	s->running = false;
}

int s3_store_finish(struct s3_store *s, struct s3_store_counts *counts, struct error *err)
{
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_mutex_unlock(&s->lock);
	end_thread(s);
	*counts = s->counts;
	if (!s->failed)
		return 0;
	if (err)
		*err = s->error;
	return -1;
}

void s3_store_free(struct s3_store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->dropping = true;
	pthread_mutex_unlock(&s->lock);
	end_thread(s);
	for (unsigned i = 0; s->parcels && i < s->nr; i++) {
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
