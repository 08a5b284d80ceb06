/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeping of credentials: which are in use, when to renew them, and the thread that does. The
 * thread works on `fresh` and `result` alone, which the owner reads after `ended`; all else belongs
 * to the owner's thread.
 */
#include "uploader/aws_provider.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

enum {
	ADVISORY_S = 15 * 60,
	MANDATORY_S = 10 * 60,
	PAST_S = 60,            /* how soon to ask again for ones that were past when they came */
	MAX_FAILURES = 5,       /* of a renewal that calls wait for */
	FIRST_DELAY_MS = 500,
	MAX_DELAY_MS = 60000,
	AFTER_FAILURE_MS = 5000,
};

struct aws_provider {
	const struct creds_kind *kind;
	void *state;
	struct creds_world *world;
	bool owns_world;
	/* In use. */
	struct aws_creds creds;
	bool have;
	unsigned generation;
	char account[AWS_ACCOUNT_SIZE];
	int64_t advisory_s, mandatory_s; /* when to renew; see the header */
	/* Renewing. */
	bool forced;           /* a service called them expired */
	bool useless;          /* a forced renewal gave the same ones */
	unsigned failures;
	struct error failure;  /* of the last renewal; when failures > 0 */
	uint64_t retry_ms;     /* monotonic: not before */
	bool running;
	pthread_t thread;
	atomic_bool ended;
	struct aws_creds fresh;
	struct error result;
	int ret;
};

/* What creds_cancelled() asks: a callback without argument has no other way to know. */
static _Thread_local const struct creds_world *fetching;

bool creds_cancelled(void)
{
	const struct creds_world *w = fetching;

	if (!w)
		return false;
	return atomic_load(&w->stopped) ||
	       (!atomic_load(&w->hurry) && w->cancelled && w->cancelled());
}

static int64_t wall_s(const struct aws_provider *p)
{
	return p->world->clock.wall_s(p->world->clock.arg);
}

static uint64_t now_ms(const struct aws_provider *p)
{
	return p->world->clock.monotonic_ms(p->world->clock.arg);
}

struct aws_provider *aws_provider_make(struct creds_world *w, const struct creds_kind *kind,
	void *state, struct error *err)
{
	struct aws_provider *p;

	if (!state)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p) {
		kind->free(state);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	}
	p->kind = kind;
	p->state = state;
	p->world = w;
	return p;
}

struct aws_provider *aws_provider_new(const struct aws_provider_opts *opts, struct error *err)
{
	struct creds_world *w = calloc(1, sizeof(*w));
	struct aws_provider *p = NULL;
	struct error why = ERROR_INIT;
	struct creds_shared shared;

	if (!w)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	w->env = *opts->env;
	w->clock = *opts->clock;
	w->settings = opts->settings;
	w->region = opts->region;
	w->http = opts->http;
	w->cancelled = opts->cancelled;
	if (creds_shared_load(&shared, opts->env, opts->profile, &why) == 0)
		p = creds_chain(w, &shared, &why);
	creds_shared_release(&shared);
	if (p)
		p->owns_world = true;
	else
		free(w);
	if (!p && err)
		*err = why;
	return p;
}

void aws_provider_free(struct aws_provider *p)
{
	if (!p)
		return;
	if (p->running) {
		atomic_store(&p->world->stopped, true);
		pthread_join(p->thread, NULL);
	}
	aws_creds_release(&p->creds);
	aws_creds_release(&p->fresh);
	if (p->kind->free)
		p->kind->free(p->state);
	if (p->owns_world)
		free(p->world);
	free(p);
}

/* Asks the source, in whatever thread this is. */
static int fetch(const struct aws_provider *p, struct aws_creds *out, struct error *err)
{
	const struct creds_world *outer = fetching;
	int ret;

	memset(out, 0, sizeof(*out));
	fetching = p->world;
	ret = p->kind->fetch(p->state, p->world, out, err);
	fetching = outer;
	if (ret == 0)
		ret = creds_check(out, err);
	if (ret < 0)
		aws_creds_release(out);
	return ret;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same(const struct aws_creds *a, const struct aws_creds *b)
{
	return same_text(a->access_key, b->access_key) && same_text(a->secret_key, b->secret_key) &&
	       same_text(a->session_token, b->session_token);
}

/*
 * A source whose clock or ours is wrong may give what seems past: the services decide whether it
 * is, and the source is not asked for each call.
 */
static void schedule(struct aws_provider *p)
{
	int64_t now = wall_s(p), life = p->creds.expires - now;

	p->advisory_s = p->mandatory_s = INT64_MAX;
	if (p->creds.expires == 0)
		return;
	if (life <= 0) {
		p->advisory_s = now + PAST_S;
		return;
	}
	p->advisory_s = p->creds.expires - MIN((int64_t)ADVISORY_S, life / 4);
	p->mandatory_s = p->creds.expires - MIN((int64_t)MANDATORY_S, life / 6);
}

static void adopt(struct aws_provider *p, struct aws_creds *fresh)
{
	bool known = p->have && same(&p->creds, fresh);

	p->useless = known && p->forced;
	if (!known)
		p->generation++;
	if (p->have)
		log_debug("%s credentials from %s", known ? "the same" : "new", fresh->origin);
	p->forced = false;
	p->failures = 0;
	p->have = true;
	aws_creds_release(&p->creds);
	p->creds = *fresh;
	memset(fresh, 0, sizeof(*fresh));
	schedule(p);
}

static bool is_transient(const struct error *err)
{
	return err->kind == ERROR_NETWORK ||
	       (err->kind == ERROR_SERVICE && (err->http_status >= 500 || err->http_status == 429));
}

static void note_failure(struct aws_provider *p, const struct error *why)
{
	unsigned delay = FIRST_DELAY_MS;

	p->failure = *why;
	p->failures = is_transient(why) ? p->failures + 1 : MAX_FAILURES;
	for (unsigned i = 1; i < p->failures && delay < MAX_DELAY_MS; i++)
		delay *= 2;
	if (p->failures >= MAX_FAILURES)
		delay = MAX(delay, (unsigned)AFTER_FAILURE_MS);
	p->retry_ms = now_ms(p) + MIN(delay, (unsigned)MAX_DELAY_MS);
	log_debug("cannot renew the credentials from %s: %s", p->have ? p->creds.origin : "their source",
		why->text);
}

static void take_result(struct aws_provider *p)
{
	if (p->ret == 0)
		adopt(p, &p->fresh);
	else
		note_failure(p, &p->result);
}

static void *renew(void *arg)
{
	struct aws_provider *p = arg;

	p->ret = fetch(p, &p->fresh, &p->result);
	atomic_store(&p->ended, true);
	return NULL;
}

static void begin(struct aws_provider *p)
{
	struct error why = ERROR_INIT;
	int r;

	error_clear(&p->result);
	atomic_store(&p->ended, false);
	if (p->kind->quick) {
		p->ret = fetch(p, &p->fresh, &p->result);
		take_result(p);
		return;
	}
	r = pthread_create(&p->thread, NULL, renew, p);
	p->running = r == 0;
	if (r) {
		error_set(&why, ERROR_IO, r, "cannot start a thread");
		note_failure(p, &why);
	}
}

static void harvest(struct aws_provider *p)
{
	if (!p->running || !atomic_load(&p->ended))
		return;
	pthread_join(p->thread, NULL);
	p->running = false;
	take_result(p);
}

int aws_provider_load(struct aws_provider *p, struct error *err)
{
	if (p->have)
		return 0;
	if (fetch(p, &p->fresh, &p->failure) < 0) {
		if (err)
			*err = p->failure;
		return -1;
	}
	adopt(p, &p->fresh);
	log_debug("credentials from %s", p->creds.origin);
	return 0;
}

/* Fixed ones have no clock to ask. */
static bool is_due(const struct aws_provider *p)
{
	if (!p->have || p->forced)
		return true;
	return p->advisory_s != INT64_MAX && wall_s(p) >= p->advisory_s;
}

/* Whether what is there may be signed with, a renewal going on or not. */
static bool usable(const struct aws_provider *p)
{
	int64_t now = wall_s(p);

	if (!p->have || p->forced)
		return false;
	if (now < p->mandatory_s)
		return true;
	/* Nobody waits for what has just failed while the old ones still hold. */
	return p->failures > 0 && (now < p->creds.expires || p->kind->keeps_expired);
}

static void set_failure(const struct aws_provider *p, struct error *err)
{
	*err = p->failure;
	if (err->kind == ERROR_INTERRUPTED || err->kind == ERROR_NOMEM || !p->have)
		return;
	error_set(err, ERROR_SERVICE, 0,
		"the credentials from %s have expired and could not be renewed: %s", p->creds.origin,
		p->failure.text);
	memcpy(err->code, "ExpiredToken", sizeof("ExpiredToken"));
}

enum aws_provider_state aws_provider_get(struct aws_provider *p, const struct aws_creds **creds,
	struct error *err)
{
	*creds = &p->creds;
	harvest(p);
	if (!is_due(p))
		return AWS_PROVIDER_READY;
	if (!p->running && now_ms(p) >= p->retry_ms)
		begin(p);
	if (usable(p))
		return AWS_PROVIDER_READY;
	if (p->running || p->failures < MAX_FAILURES)
		return AWS_PROVIDER_WAIT;
	if (err)
		set_failure(p, err);
	return AWS_PROVIDER_FAILED;
}

char *aws_provider_account(struct aws_provider *p)
{
	return p->account;
}

unsigned aws_provider_generation(const struct aws_provider *p)
{
	return p->generation;
}

bool aws_provider_expired(struct aws_provider *p, unsigned generation)
{
	if (generation != p->generation || p->forced)
		return true;
	if (p->useless || p->kind->fetch == NULL)
		return false;
	p->forced = true;
	p->failures = 0;
	p->retry_ms = 0;
	return true;
}

bool aws_provider_is_past(const struct aws_provider *p)
{
	return p->have && p->creds.expires != 0 && wall_s(p) >= p->creds.expires;
}

void aws_provider_hurry(struct aws_provider *p, bool on)
{
	atomic_store(&p->world->hurry, on);
	p->retry_ms = 0;
}

static void fixed_free(void *state)
{
	free(state);
}

struct aws_provider *aws_provider_fixed(const struct aws_creds *creds, struct error *err)
{
	static const struct creds_kind kind = {.free = fixed_free};
	struct creds_world *w = calloc(1, sizeof(*w));
	struct aws_provider *p;

	if (!w)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	/* The world is state enough: it is freed as the state. */
	p = aws_provider_make(w, &kind, w, err);
	if (!p)
		return NULL;
	if (aws_creds_copy(&p->creds, creds, err) < 0) {
		aws_provider_free(p);
		return NULL;
	}
	p->have = true;
	p->creds.expires = 0;
	p->advisory_s = p->mandatory_s = INT64_MAX;
	return p;
}
