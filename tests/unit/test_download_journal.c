/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a download: what was written is found again, and nothing else is taken for it.
 */
#include "uploader/download_journal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/lib/tmpdir.h"

#define SNAP "snap-0123456789abcdef0"

static char path[4200];

static int setup(void **state)
{
	char *dir = tmpdir_new();

	*state = dir;
	snprintf(path, sizeof(path), "%s/j", dir);
	return 0;
}

static int teardown(void **state)
{
	tmpdir_free(*state);
	return 0;
}

static struct download_journal reopen(const char *snapshot, const char *region, uint64_t size_gib,
	bool expected)
{
	struct download_journal j = DOWNLOAD_JOURNAL_INIT;
	struct error err = ERROR_INIT;
	bool found;

	if (download_journal_open(&j, path, snapshot, region, size_gib, &found, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(found, expected);
	return j;
}

static unsigned count(const struct download_journal *j)
{
	static uint8_t digests[4096][SHA256_SIZE];
	unsigned nr = 0;

	assert_in_range(j->nr_blocks, 1, 4096);
	assert_int_equal(download_journal_read(j, 0, j->nr_blocks, digests, NULL), 0);
	for (uint64_t i = 0; i < j->nr_blocks; i++)
		nr += !download_journal_is_empty(digests[i]);
	return nr;
}

static void test_kept(void **state)
{
	struct download_journal j = reopen(SNAP, "us-east-1", 1, false);
	uint8_t two[2][SHA256_SIZE], sum[SHA256_SIZE], expected[SHA256_SIZE];

	(void)state;
	memset(two[0], 1, SHA256_SIZE);
	memset(two[1], 2, SHA256_SIZE);
	/* Against the order of the blocks: the aggregate is in their order. */
	assert_int_equal(download_journal_write(&j, 2047, two[1], NULL), 0);
	assert_int_equal(download_journal_write(&j, 5, two[0], NULL), 0);
	download_journal_close(&j, false);
	j = reopen(SNAP, "us-east-1", 1, true);
	assert_int_equal(count(&j), 2);
	assert_int_equal(download_journal_aggregate(&j, sum, NULL), 0);
	assert_int_equal(sha256(two, sizeof(two), expected, NULL), 0);
	assert_memory_equal(sum, expected, SHA256_SIZE);
	assert_int_equal(download_journal_reset(&j, NULL), 0);
	assert_int_equal(count(&j), 0);
	download_journal_close(&j, true);
	assert_int_equal(access(path, F_OK), -1);
}

/* Of another snapshot, region or size; cut; and something else altogether. */
static void test_of_something_else(void **state)
{
	static const uint8_t one[SHA256_SIZE] = {1};
	static const struct {
		const char *snapshot, *region;
		uint64_t size_gib;
	} others[] = {
		{"snap-0123456789abcdef1", "us-east-1", 1},
		{SNAP, "us-east-2", 1},
		{SNAP, "us-east-1", 2},
	};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct download_journal j = reopen(SNAP, "us-east-1", 1, false);

		assert_int_equal(download_journal_write(&j, 9, one, NULL), 0);
		if (i == 3)
			assert_int_equal(ftruncate(j.fd, 3000), 0);
		download_journal_close(&j, false);
		if (i < 3)
			j = reopen(others[i].snapshot, others[i].region, others[i].size_gib, false);
		else
			j = reopen(SNAP, "us-east-1", 1, false);
		assert_int_equal(count(&j), 0);
		download_journal_close(&j, true);
	}
}

static void test_no_file(void **state)
{
	struct download_journal j = DOWNLOAD_JOURNAL_INIT;
	struct error err = ERROR_INIT;
	bool found;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(download_journal_open(&j, path, SNAP, "r", 1, &found, &err), -1);
	assert_non_null(strstr(err.text, "is not a regular file"));
	download_journal_close(&j, false);
	unlink(path);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_int_equal(download_journal_open(&j, path, SNAP, "r", 1, &found, &err), -1);
	download_journal_close(&j, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_something_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
