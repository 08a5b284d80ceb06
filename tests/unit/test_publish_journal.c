/* SPDX-License-Identifier: Apache-2.0 */
/* What a publication left is there for the next run, for one process at a time, until it is done. */
#include "builder/publish_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/lib/tmpdir.h"

static const struct publish_journal_key key = {"web/1 (x)", "us-east-1", "111122223333", "web.yaml"};

static struct publish_journal opened(const char *dir)
{
	struct publish_journal j;
	struct error err = ERROR_INIT;

	if (publish_journal_open(&j, dir, &key, &err) < 0)
		fail_msg("%s", err.text);
	return j;
}

static void test_survives(void **state)
{
	char *dir = tmpdir_new();
	struct publish_journal j = opened(dir);
	struct publish_made snap = {PUBLISH_SNAPSHOT, "us-east-1", "snap-1", "/dev/xvda"};
	struct publish_made image = {PUBLISH_IMAGE, "eu-west-1", "ami-1", NULL};
	struct publish_made got;
	struct error err = ERROR_INIT;

	(void)state;
	assert_false(j.found);
	assert_int_equal(publish_journal_intend(&j, PUBLISH_SNAPSHOT, "us-east-1", &err), 0);
	assert_int_equal(publish_journal_intend(&j, PUBLISH_IMAGE, "eu-west-1", &err), 0);
	assert_int_equal(publish_journal_made(&j, &snap, &err), 0);
	assert_int_equal(publish_journal_made(&j, &snap, &err), 0); /* once */
	assert_int_equal(publish_journal_made(&j, &image, &err), 0);
	assert_int_equal(publish_journal_done(&j, "share", "aa", "us-east-1", &err), 0);
	publish_journal_close(&j);

	j = opened(dir);
	assert_true(j.found);
	assert_true(publish_journal_item(&j, 1, &got));
	assert_int_equal(got.kind, PUBLISH_IMAGE);
	assert_string_equal(got.region, "eu-west-1");
	assert_string_equal(got.id, "ami-1");
	assert_null(got.device);
	assert_false(publish_journal_item(&j, 2, &got));
	assert_true(publish_journal_is_done(&j, "share", "aa", "us-east-1"));
	assert_false(publish_journal_is_done(&j, "share", "aa", "eu-west-1"));
	assert_false(publish_journal_is_done(&j, "share", "bb", "us-east-1"));
	assert_int_equal(publish_journal_gone(&j, &image, &err), 0);
	assert_false(publish_journal_item(&j, 1, &got));
	assert_true(publish_journal_item(&j, 0, &got));
	assert_string_equal(got.device, "/dev/xvda");
	assert_int_equal(publish_journal_finish(&j, &err), 0);
	publish_journal_close(&j);

	j = opened(dir);
	assert_false(j.found);
	publish_journal_close(&j);
	assert_int_equal(rmdir(dir), 0); /* neither journal nor lock stayed */
	free(dir);
}

static void test_one_process(void **state)
{
	char *dir = tmpdir_new();
	struct publish_journal j = opened(dir), other;
	struct publish_journal_key second = key;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(publish_journal_open(&other, dir, &key, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	assert_non_null(strstr(err.text, "is being published by another process"));
	publish_journal_close(&other);
	error_clear(&err);
	/* Who was refused has not opened the door for a third. */
	assert_int_equal(publish_journal_open(&other, dir, &key, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	publish_journal_close(&other);
	error_clear(&err);
	second.region = "eu-west-1"; /* another publication */
	assert_int_equal(publish_journal_open(&other, dir, &second, &err), 0);
	publish_journal_close(&other);
	publish_journal_close(&j);
	tmpdir_free(dir);
}

/* Where nothing can be kept a run still knows what it made. */
static void test_memory_only(void **state)
{
	struct publish_made image = {PUBLISH_IMAGE, "eu-west-1", "ami-1", NULL}, got;
	struct publish_journal j;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(publish_journal_open(&j, NULL, &key, &err), 0);
	assert_int_equal(publish_journal_made(&j, &image, &err), 0);
	assert_int_equal(publish_journal_done(&j, "share", "aa", "us-east-1", &err), 0);
	assert_true(publish_journal_item(&j, 0, &got));
	assert_string_equal(got.id, "ami-1");
	assert_int_equal(publish_journal_finish(&j, &err), 0);
	publish_journal_close(&j);
}

/* What was about to be made is known until it is made, or known not to be. */
static void test_intentions(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct publish_journal j = opened(dir);
	struct publish_made intent = {PUBLISH_IMAGE, "us-east-1", "", NULL}, got;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(publish_journal_intend(&j, PUBLISH_IMAGE, "us-east-1", &err), 0);
	assert_int_equal(publish_journal_intend(&j, PUBLISH_IMAGE, "us-east-1", &err), 0);
	publish_journal_close(&j);
	j = opened(dir);
	assert_true(j.found);
	assert_true(publish_journal_item(&j, 0, &got));
	assert_string_equal(got.id, "");
	assert_false(publish_journal_item(&j, 1, &got));
	assert_int_equal(publish_journal_gone(&j, &intent, &err), 0);
	assert_false(publish_journal_item(&j, 0, &got));
	publish_journal_close(&j);
}

/* Without an account the only journal of the name is meant; of two none is. */
static void test_unknown_account(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct publish_journal j = opened(dir);
	struct publish_journal_key nobody = key, other = key;
	struct error err = ERROR_INIT;

	(void)state;
	nobody.account = NULL;
	other.account = "222222222222";
	assert_int_equal(publish_journal_intend(&j, PUBLISH_IMAGE, "us-east-1", &err), 0);
	publish_journal_close(&j);
	assert_int_equal(publish_journal_open(&j, dir, &nobody, &err), 0);
	assert_true(j.found);
	publish_journal_close(&j);
	assert_int_equal(publish_journal_open(&j, dir, &other, &err), 0);
	assert_int_equal(publish_journal_intend(&j, PUBLISH_IMAGE, "us-east-1", &err), 0);
	publish_journal_close(&j);
	assert_int_equal(publish_journal_open(&j, dir, &nobody, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	publish_journal_close(&j);
}

static void test_damaged(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "{\"amiwright_publication\": 2}",
		"{\"amiwright_publication\": 1, \"made\": 3}"};
	char *dir = tmpdir_new();
	struct publish_journal j = opened(dir);
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "%s", j.path);
	publish_journal_close(&j);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(file_write_atomic(path, texts[i], strlen(texts[i]), 0600, false, &err), 0);
		assert_int_equal(publish_journal_open(&j, dir, &key, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, path));
		publish_journal_close(&j);
	}
	tmpdir_free(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survives),
		cmocka_unit_test(test_one_process),
		cmocka_unit_test(test_memory_only),
		cmocka_unit_test(test_intentions),
		cmocka_unit_test(test_unknown_account),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
