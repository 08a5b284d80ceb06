/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When credentials are renewed, by a source and clocks that the test holds.
 */
#include "uploader/aws_provider.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"
#include "uploader/aws.h"
#include "uploader/creds_internal.h"

/* A source whose keys count up, and the clocks. The clocks stand still while a fetch runs. */
struct source {
	int64_t wall, lifetime; /* lifetime 0: for ever */
	uint64_t ms;
	atomic_uint asked;
	bool same, fails, slow;
	enum error_kind kind;
	int status;
	atomic_bool go;
};

static int fetch(void *state, const struct creds_world *w, struct aws_creds *out, struct error *err)
{
	struct source *s = state;
	char key[32];

	(void)w;
	while (s->slow && !atomic_load(&s->go)) {
		if (creds_cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		usleep(1000);
	}
	snprintf(key, sizeof(key), "KEY%u", s->same ? 1 : atomic_load(&s->asked) + 1);
	atomic_fetch_add(&s->asked, 1);
	if (s->fails) {
		error_set(err, s->kind, 0, "no luck");
		err->http_status = s->status;
		return -1;
	}
	out->expires = s->lifetime ? s->wall + s->lifetime : 0;
	out->origin = buf_strf(err, "the test");
	return creds_set(out, key, "test-secret", "test-token", err);
}

static void keep(void *state)
{
	(void)state;
}

static int64_t wall_s(void *arg)
{
	return ((struct source *)arg)->wall;
}

static uint64_t monotonic_ms(void *arg)
{
	return ((struct source *)arg)->ms;
}

static const struct creds_kind quick = {.quick = true, .fetch = fetch, .free = keep};
static const struct creds_kind thread = {.fetch = fetch, .free = keep};
static const struct creds_kind keeping = {.quick = true, .keeps_expired = true, .fetch = fetch,
	.free = keep};

struct fixture {
	struct source source;
	struct creds_world world;
	struct aws_provider *p;
};

static void start(struct fixture *f, const struct creds_kind *kind, int64_t lifetime)
{
	log_set_fd(-1);
	memset(f, 0, sizeof(*f));
	f->source.wall = 1700000000;
	f->source.ms = 1000;
	f->source.lifetime = lifetime;
	f->source.kind = ERROR_NETWORK;
	f->world.clock = (struct aws_clock){wall_s, monotonic_ms, NULL, &f->source};
	f->p = aws_provider_make(&f->world, kind, &f->source, NULL);
	assert_int_equal(aws_provider_load(f->p, NULL), 0);
}

static void pass(struct fixture *f, unsigned seconds)
{
	f->source.wall += seconds;
	f->source.ms += seconds * 1000;
}

static void expect(struct fixture *f, unsigned asked, const char *key)
{
	const struct aws_creds *c;
	struct error err = ERROR_INIT;

	if (aws_provider_get(f->p, &c, &err) != AWS_PROVIDER_READY)
		fail_msg("not ready: %s", err.text);
	assert_int_equal(atomic_load(&f->source.asked), asked);
	assert_string_equal(c->access_key, key);
}

static void test_windows(void **state)
{
	static const struct {
		int64_t lifetime, quiet; /* asked for again after `quiet` seconds, not before */
	} rows[] = {{43200, 43200 - 900}, {3600, 2700}, {900, 675}, {60, 45}, {4, 3}, {2, 2}, {1, 1}};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		start(&f, &quick, rows[i].lifetime);
		pass(&f, (unsigned)rows[i].quiet - 1);
		expect(&f, 1, "KEY1");
		pass(&f, 1);
		expect(&f, 2, "KEY2");
		expect(&f, 2, "KEY2");
		aws_provider_free(f.p);
	}
	start(&f, &quick, 0);
	pass(&f, 1000000000);
	expect(&f, 1, "KEY1");
	aws_provider_free(f.p);
}

/* A clock that is wrong makes all seem past: they are used, and the source is left in peace. */
static void test_past_at_birth(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &quick, -3600);
	for (int i = 0; i < 59; i++) {
		expect(&f, 1, "KEY1");
		pass(&f, 1);
	}
	pass(&f, 1);
	expect(&f, 2, "KEY2");
	aws_provider_free(f.p);
}

static void test_forced(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &quick, 0);
	assert_int_equal(aws_provider_generation(f.p), 1);
	assert_true(aws_provider_expired(f.p, 1));
	assert_true(aws_provider_expired(f.p, 1));
	expect(&f, 2, "KEY2");
	/* Those who come late were signed with the old ones. */
	assert_true(aws_provider_expired(f.p, 1));
	expect(&f, 2, "KEY2");
	aws_provider_free(f.p);

	start(&f, &quick, 0);
	f.source.same = true;
	assert_true(aws_provider_expired(f.p, 1));
	expect(&f, 2, "KEY1");
	assert_false(aws_provider_expired(f.p, 1));
	aws_provider_free(f.p);
}

static void expect_state(struct fixture *f, enum aws_provider_state state, const char *text)
{
	const struct aws_creds *c;
	struct error err = ERROR_INIT;

	assert_int_equal(aws_provider_get(f->p, &c, &err), state);
	if (text && !strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
	if (text) {
		assert_int_equal(err.kind, ERROR_SERVICE);
		assert_string_equal(err.code, "ExpiredToken");
	}
}

static void test_failures(void **state)
{
	unsigned waits = 0;
	struct fixture f;
	const struct aws_creds *c;

	(void)state;
	start(&f, &quick, 3600);
	f.source.fails = true;
	/* While the old ones hold, a failure harms nobody, and is not repeated at each call. */
	pass(&f, 3599);
	expect(&f, 2, "KEY1");
	expect(&f, 2, "KEY1");
	pass(&f, 1);
	while (aws_provider_get(f.p, &c, NULL) == AWS_PROVIDER_WAIT && waits < 100) {
		pass(&f, 1);
		waits++;
	}
	assert_in_range(waits, 3, 60);
	expect_state(&f, AWS_PROVIDER_FAILED, "the credentials from the test have expired and could not "
					      "be renewed: no luck");
	f.source.fails = false;
	pass(&f, 60);
	expect_state(&f, AWS_PROVIDER_READY, NULL);
	aws_provider_free(f.p);

	/* What no repetition can help ends at once. */
	start(&f, &quick, 3600);
	f.source.fails = true;
	f.source.kind = ERROR_SERVICE;
	f.source.status = 403;
	pass(&f, 3600);
	expect_state(&f, AWS_PROVIDER_FAILED, "no luck");
	assert_int_equal(atomic_load(&f.source.asked), 2);
	aws_provider_free(f.p);

	start(&f, &keeping, 3600);
	f.source.fails = true;
	pass(&f, 5000);
	expect(&f, 2, "KEY1");
	aws_provider_free(f.p);
}

static void wait_for(struct fixture *f, const char *key)
{
	const struct aws_creds *c;
	int tries = 0;

	while (aws_provider_get(f->p, &c, NULL) != AWS_PROVIDER_READY ||
	       strcmp(c->access_key, key) != 0) {
		assert_true(tries++ < 5000);
		usleep(1000);
	}
}

static void test_thread(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &thread, 3600);
	f.source.slow = true;
	/* In the advisory window the old ones stay in use; in the mandatory one calls wait. */
	pass(&f, 2700);
	expect(&f, 1, "KEY1");
	pass(&f, 300);
	expect_state(&f, AWS_PROVIDER_WAIT, NULL);
	atomic_store(&f.source.go, true);
	wait_for(&f, "KEY2");
	assert_int_equal(atomic_load(&f.source.asked), 2);
	/* Freed while it runs: it is told to end. */
	atomic_store(&f.source.go, false);
	assert_true(aws_provider_expired(f.p, 2));
	expect_state(&f, AWS_PROVIDER_WAIT, NULL);
	aws_provider_free(f.p);
}

/* Answers ExpiredToken to all keys below `least`. */
struct service {
	atomic_uint least, refused, served;
	unsigned delay_ms; /* before each answer */
};

static enum httpd_act serve(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct service *s = arg;
	const char *key = strstr(req->headers, "Credential=KEY");
	unsigned number = 0;

	usleep(s->delay_ms * 1000);
	if (!key || sscanf(key, "Credential=KEY%u/", &number) != 1 ||
		number < atomic_load(&s->least)) {
		atomic_fetch_add(&s->refused, 1);
		*len = httpd_answer(reply, size, "403 Forbidden",
			"x-amzn-ErrorType: ExpiredTokenException\r\n", "{\"message\":\"expired\"}");
		return HTTPD_SEND;
	}
	atomic_fetch_add(&s->served, 1);
	*len = httpd_answer(reply, size, "200 OK", "", "{}");
	return HTTPD_SEND;
}

static struct aws *client(struct fixture *f, const char *url, struct aws_clock *clock)
{
	const struct aws_opts opts = {
		.region = "us-east-1",
		.endpoint = {url, url, url, url, url},
		.provider = f->p,
		.clock = clock,
	};

	return aws_new(&opts, NULL);
}

static int64_t real_wall_s(void *arg)
{
	(void)arg;
	return (int64_t)time(NULL);
}

static uint64_t real_ms(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static double no_random(void *arg)
{
	(void)arg;
	return 0;
}

enum { NR_CALLS = 20 };

/* Many calls are refused at once, in two clients of one provider: one renewal serves all. */
static void test_calls(void **state)
{
	struct aws_clock clock = {real_wall_s, real_ms, no_random, NULL};
	struct service service = {.least = 2};
	struct aws_call calls[NR_CALLS];
	struct aws *clients[2];
	struct httpd *server = httpd_start(serve, &service);
	struct fixture f;

	(void)state;
	start(&f, &thread, 0);
	for (int i = 0; i < 2; i++)
		clients[i] = client(&f, httpd_url(server), &clock);
	for (int i = 0; i < NR_CALLS; i++) {
		assert_int_equal(aws_call_init(clients[i % 2], &calls[i], AWS_EBS, "GET", "/x", "X", NULL), 0);
		assert_int_equal(aws_start(clients[i % 2], &calls[i], NULL), 0);
	}
	while (aws_running(clients[0]) + aws_running(clients[1]) > 0) {
		assert_int_equal(aws_run(clients[0], 10, -1, NULL), 0);
		assert_int_equal(aws_run(clients[1], 10, -1, NULL), 0);
	}
	for (int i = 0; i < NR_CALLS; i++) {
		assert_true(calls[i].ok);
		aws_call_release(&calls[i]);
	}
	assert_int_equal(atomic_load(&f.source.asked), 2);
	assert_int_equal(atomic_load(&service.served), NR_CALLS);
	aws_free(clients[0]);
	aws_free(clients[1]);
	aws_provider_free(f.p);
	httpd_stop(server);
}

/* A call under way goes on while others wait for a slow renewal. */
static void test_transfers_go_on(void **state)
{
	struct aws_clock clock = {real_wall_s, real_ms, no_random, NULL};
	struct service service = {.delay_ms = 300};
	struct httpd *server = httpd_start(serve, &service);
	struct aws_call under_way, later;
	struct fixture f;
	struct aws *a;

	(void)state;
	start(&f, &thread, 0);
	f.source.slow = true;
	a = client(&f, httpd_url(server), &clock);
	assert_int_equal(aws_call_init(a, &under_way, AWS_EBS, "GET", "/x", "X", NULL), 0);
	assert_int_equal(aws_call_init(a, &later, AWS_EBS, "GET", "/y", "Y", NULL), 0);
	assert_int_equal(aws_start(a, &under_way, NULL), 0);
	assert_true(aws_provider_expired(f.p, 1));
	assert_int_equal(aws_start(a, &later, NULL), 0);
	while (!under_way.ok)
		assert_int_equal(aws_run(a, 10, -1, NULL), 0);
	assert_int_equal(aws_running(a), 1);
	assert_int_equal(later.attempts, 0);
	atomic_store(&f.source.go, true);
	while (aws_running(a) > 0)
		assert_int_equal(aws_run(a, 10, -1, NULL), 0);
	assert_true(later.ok);
	aws_call_release(&under_way);
	aws_call_release(&later);
	aws_free(a);
	aws_provider_free(f.p);
	httpd_stop(server);
}

static bool always(void)
{
	return true;
}

/* After ctrl-C nothing is renewed, but for what cleans up. */
static void test_hurry(void **state)
{
	const struct aws_creds *c;
	struct error err = ERROR_INIT;
	struct fixture f;

	(void)state;
	start(&f, &thread, 3600);
	f.world.cancelled = always;
	f.source.slow = true;
	pass(&f, 3600);
	while (aws_provider_get(f.p, &c, &err) == AWS_PROVIDER_WAIT)
		usleep(1000);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	aws_provider_hurry(f.p, true);
	atomic_store(&f.source.go, true);
	wait_for(&f, "KEY2");
	aws_provider_free(f.p);
}

/* Nothing newer is to be had: the call fails with what the service said. */
static void test_no_newer(void **state)
{
	struct aws_clock clock = {real_wall_s, real_ms, no_random, NULL};
	struct service service = {.least = 2};
	struct httpd *server = httpd_start(serve, &service);
	struct error err = ERROR_INIT;
	struct aws_call call;
	struct fixture f;
	struct aws *a;

	(void)state;
	start(&f, &quick, 0);
	f.source.same = true;
	a = client(&f, httpd_url(server), &clock);
	assert_int_equal(aws_call_init(a, &call, AWS_EBS, "GET", "/x", "X", NULL), 0);
	assert_int_equal(aws_perform(a, &call, &err), -1);
	assert_int_equal(err.kind, ERROR_SERVICE);
	assert_string_equal(err.code, "ExpiredTokenException");
	assert_int_equal(atomic_load(&service.refused), 2);
	aws_call_release(&call);
	aws_free(a);
	aws_provider_free(f.p);
	httpd_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_past_at_birth),
		cmocka_unit_test(test_forced),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_thread),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_transfers_go_on),
		cmocka_unit_test(test_hurry),
		cmocka_unit_test(test_no_newer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
