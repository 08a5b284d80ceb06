/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a bundle's upload: what a second run reads, what it refuses, and two runs that begin at once. */
#include "builder/bundle_journal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/lib/bundlekeys.h"
#include "tests/lib/tmpdir.h"

enum { ROUNDS = 100 };

static const char place[] = "s3://bucket/a prefix/web";

struct world {
	char *dir, *path;
	struct crypto_rsa_key *key;
	struct crypto_certificate *certificate;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char *key, *certificate;

	assert_non_null(w);
	w->dir = tmpdir_new();
	assert_non_null(w->dir);
	w->path = file_join(w->dir, "journal", NULL);
	key = file_join(w->dir, "key", NULL);
	certificate = file_join(w->dir, "crt", NULL);
	assert_true(w->path && key && certificate);
	assert_int_equal(file_write_atomic(key, bundle_test_key, strlen(bundle_test_key), 0600, false, NULL), 0);
	assert_int_equal(file_write_atomic(certificate, bundle_test_certificate, strlen(bundle_test_certificate),
				 0644, false, NULL), 0);
	w->key = crypto_rsa_key_open(key, NULL, NULL, NULL);
	w->certificate = crypto_certificate_open(certificate, NULL);
	assert_true(w->key && w->certificate);
	free(key);
	free(certificate);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	crypto_rsa_key_free(w->key);
	crypto_certificate_free(w->certificate);
	free(w->path);
	tmpdir_free(w->dir);
	free(w);
	return 0;
}

static struct bundle_journal *open_journal(const struct world *w, uint8_t seed[BUNDLE_SEED_SIZE], bool *resumed,
	struct error *err)
{
	return bundle_journal_open(w->path, place, w->key, w->certificate, seed, resumed, err);
}

static void make_journal(const struct world *w)
{
	uint8_t seed[BUNDLE_SEED_SIZE], digest[SHA256_SIZE];
	struct bundle_journal *j;
	bool resumed, known;

	memset(seed, 7, sizeof(seed));
	memset(digest, 1, sizeof(digest));
	j = open_journal(w, seed, &resumed, NULL);
	assert_non_null(j);
	assert_false(resumed);
	assert_int_equal(bundle_journal_begin(j, "a prefix/web.part.00", digest, &known, NULL), 0);
	assert_false(known);
	bundle_journal_free(j);
}

static void append(const struct world *w, const char *text)
{
	FILE *file = fopen(w->path, "ae");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_goes_on(void **state)
{
	const struct world *w = *state;
	uint8_t seed[BUNDLE_SEED_SIZE] = {0}, was[BUNDLE_SEED_SIZE], digest[SHA256_SIZE];
	struct error err = ERROR_INIT;
	struct bundle_journal *j;
	bool resumed, known;

	make_journal(w);
	append(w, "part 0123 cut o");
	j = open_journal(w, seed, &resumed, &err);
	assert_non_null(j);
	assert_true(resumed);
	memset(was, 7, sizeof(was));
	assert_memory_equal(seed, was, sizeof(seed));
	memset(digest, 1, sizeof(digest));
	assert_int_equal(bundle_journal_begin(j, "a prefix/web.part.00", digest, &known, &err), 0);
	assert_true(known);
	digest[0] = 2;
	assert_int_equal(bundle_journal_begin(j, "a prefix/web.part.01", digest, &known, &err), 0);
	assert_false(known);
	assert_int_equal(bundle_journal_begin(j, "a prefix/web.part.00", digest, &known, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	bundle_journal_free(j);
	/* What was cut off is gone, what came behind it is read. */
	j = open_journal(w, seed, &resumed, &err);
	assert_non_null(j);
	assert_int_equal(bundle_journal_begin(j, "a prefix/web.part.01", digest, &known, &err), 0);
	assert_true(known);
	bundle_journal_free(j);
}

/* Nothing was begun under a seed whose record was not whole. */
static void test_begun_anew(void **state)
{
	static const char *const texts[] = {
		"", "amiwright-bu", "amiwright-bundle 2 0123", "amiwright-bundle 2 0123 x 00000000\n"};
	const struct world *w = *state;
	uint8_t seed[BUNDLE_SEED_SIZE] = {0};
	bool resumed;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct bundle_journal *j;

		unlink(w->path);
		append(w, texts[i]);
		j = open_journal(w, seed, &resumed, NULL);
		assert_non_null(j);
		assert_false(resumed);
		bundle_journal_free(j);
		j = open_journal(w, seed, &resumed, NULL);
		assert_non_null(j);
		assert_true(resumed);
		bundle_journal_free(j);
	}
}

static void refused(const struct world *w, const char *at)
{
	uint8_t seed[BUNDLE_SEED_SIZE] = {0};
	struct error err = ERROR_INIT;
	bool resumed;

	assert_null(bundle_journal_open(w->path, at, w->key, w->certificate, seed, &resumed, &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "--cleanup removes it"));
}

static void test_damaged(void **state)
{
	const struct world *w = *state;

	append(w, "somebody's notes\n");
	refused(w, place);
	unlink(w->path);
	make_journal(w);
	refused(w, "s3://bucket/another");
	append(w, "part 00 lost 00000000\npart 00 web.part.02 00000000\n");
	refused(w, place);
}

struct racer {
	const struct world *w;
	pthread_barrier_t *line;
	struct bundle_journal *journal;
	struct error err;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	uint8_t seed[BUNDLE_SEED_SIZE] = {0};
	bool resumed;

	pthread_barrier_wait(r->line);
	r->journal = open_journal(r->w, seed, &resumed, &r->err);
	pthread_barrier_wait(r->line);
	return NULL;
}

static void test_two_begin_at_once(void **state)
{
	pthread_barrier_t line;

	assert_int_equal(pthread_barrier_init(&line, NULL, 2), 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct racer racers[2] = {{*state, &line, NULL, ERROR_INIT}, {*state, &line, NULL, ERROR_INIT}};
		pthread_t threads[2];
		const struct racer *loser;

		for (int k = 0; k < 2; k++)
			assert_int_equal(pthread_create(&threads[k], NULL, race, &racers[k]), 0);
		for (int k = 0; k < 2; k++)
			pthread_join(threads[k], NULL);
		loser = &racers[racers[0].journal ? 1 : 0];
		assert_true(!racers[0].journal != !racers[1].journal);
		assert_int_equal(loser->err.kind, ERROR_POLICY);
		for (int k = 0; k < 2; k++) {
			if (racers[k].journal)
				assert_int_equal(bundle_journal_remove(racers[k].journal, NULL), 0);
			bundle_journal_free(racers[k].journal);
		}
	}
	pthread_barrier_destroy(&line);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_goes_on),
		TEST(test_begun_anew),
		TEST(test_damaged),
		TEST(test_two_begin_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
