/* SPDX-License-Identifier: Apache-2.0 */
/* A slot a call; what ends makes room for the next key. */
#include "uploader/s3_each.h"

#include <stdlib.h>

enum { SLOTS = 8, LOOP_MS = 200 };

struct each;

struct slot {
	struct each *each;
	size_t i;       /* of the key */
	bool busy;
	struct aws_call call;
};

struct each {
	const struct s3_place *place;
	const char *const *keys;
	bool *gone;             /* of deleting; may be NULL */
	struct s3_object *out;  /* of looking; NULL: delete */
	struct slot slots[SLOTS];
	bool failed;
	struct error error;
};

static void on_answer(struct aws_call *call, void *arg)
{
	struct slot *s = arg;
	struct each *e = s->each;
	struct error why = ERROR_INIT;
	int ret = e->out ? s3_head_got(e->place, call, e->keys[s->i], &e->out[s->i], &why) : s3_delete_got(call, &why);

	aws_call_release(call);
	s->busy = false;
	if (ret == 0 && e->gone)
		e->gone[s->i] = true;
	if (ret == 0)
		return;
	if (!e->failed)
		e->error = why;
	e->failed = true;
}

static int start(struct each *e, struct slot *s, size_t i, struct error *err)
{
	int ret = e->out ? s3_head_init(e->place, &s->call, e->keys[i], err) :
			   s3_delete_init(e->place, &s->call, e->keys[i], err);

	if (ret < 0)
		return -1;
	s->each = e;
	s->i = i;
	s->call.done = on_answer;
	s->call.arg = s;
	if (aws_start(e->place->aws, &s->call, err) == 0) {
		s->busy = true;
		return 0;
	}
	aws_call_release(&s->call);
	return -1;
}

static struct slot *free_slot(struct each *e)
{
	for (int i = 0; i < SLOTS; i++)
		if (!e->slots[i].busy)
			return &e->slots[i];
	return NULL;
}

static int run(struct each *e, size_t nr, struct error *err)
{
	size_t next = 0;

	while (next < nr || aws_running(e->place->aws) > 0) {
		struct slot *s = next < nr ? free_slot(e) : NULL;

		if (s && start(e, s, next++, err) < 0)
			return -1;
		if (aws_run(e->place->aws, s ? 0 : LOOP_MS, -1, err) < 0)
			return -1;
		if (!e->failed)
			continue;
		if (err)
			*err = e->error;
		return -1;
	}
	return 0;
}

static int each(const struct s3_place *place, const char *const *keys, size_t nr, bool *gone, struct s3_object *out,
	struct error *err)
{
	CLEANUP_FREE struct each *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return error_nomem(err, "calls to S3");
	e->place = place;
	e->keys = keys;
	e->gone = gone;
	e->out = out;
	ret = run(e, nr, err);
	for (int i = 0; i < SLOTS; i++) {
		if (!e->slots[i].busy)
			continue;
		aws_cancel(place->aws, &e->slots[i].call);
		aws_call_release(&e->slots[i].call);
	}
	return ret;
}

int s3_delete_each(const struct s3_place *place, const char *const *keys, size_t nr, struct buf *gone,
	struct error *err)
{
	CLEANUP_FREE bool *went = calloc(nr + 1, sizeof(*went));
	int ret;

	if (!went)
		return error_nomem(err, "the list of what was deleted");
	ret = each(place, keys, nr, went, NULL, err);
	for (size_t i = 0; gone && i < nr; i++)
		if (went[i] && buf_addf(gone, ret ? NULL : err, "s3://%s/%s\n", place->name, keys[i]) < 0)
			return -1;
	return ret;
}

int s3_head_each(const struct s3_place *place, const char *const *keys, size_t nr, struct s3_object *out,
	struct error *err)
{
	return each(place, keys, nr, NULL, out, err);
}
