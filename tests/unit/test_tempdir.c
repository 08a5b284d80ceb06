/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary folders: private, gone with all in them, and nothing outside goes with them. */
#include "base/tempdir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "tests/lib/tmpdir.h"

static void shell(const char *dir, const char *commands)
{
	CLEANUP_FREE char *line = buf_strf(NULL, "cd '%s' && { %s; }", dir, commands);

	assert_int_equal(system(line), 0);
}

static void test_private_and_distinct(void **state)
{
	CLEANUP_TMPDIR char *below = tmpdir_new();
	struct error err = ERROR_INIT;
	mode_t old = umask(0);
	char *a = tempdir_new(below, &err), *b = tempdir_new(below, &err);
	struct stat st;

	(void)state;
	umask(old);
	assert_non_null(a);
	assert_non_null(b);
	assert_string_not_equal(a, b);
	assert_memory_equal(a, below, strlen(below));
	assert_non_null(strstr(a, "/.amiwright-"));
	assert_int_equal(stat(a, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	tempdir_remove(a);
	tempdir_remove(b);
	assert_int_equal(rmdir(below), 0);
	assert_int_equal(mkdir(below, 0700), 0);
}

static void test_all_goes(void **state)
{
	CLEANUP_TMPDIR char *below = tmpdir_new();
	struct error err = ERROR_INIT;
	char *a = tempdir_new(below, &err);

	(void)state;
	assert_non_null(a);
	shell(below, "mkdir outside && echo keep >outside/file && chmod 0555 outside");
	shell(a, "mkdir -p x/y/z && touch x/y/z/f .hidden && ln -s ../outside link && ln -s nowhere x/broken && "
		 "mkfifo x/fifo && ln ../outside/file hard && chmod 0 x/y/z && chmod 0500 x");
	tempdir_remove(a);
	shell(below, "test \"$(ls -A)\" = outside && test \"$(cat outside/file)\" = keep && "
		     "test $(stat -c %a outside) = 555 && chmod 0755 outside");
}

/* Folders one in another, by one descriptor after the other, since no path reaches so far. */
static void make_deep(const char *dir, unsigned depth)
{
	int at = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	for (unsigned i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(at, "sub", 0700), 0);
		next = openat(at, "sub", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		close(at);
		at = next;
	}
	assert_true(at >= 0);
	close(at);
}

/* Deeper than there are descriptors, and than a path may be long. */
static void test_deep(void **state)
{
	CLEANUP_TMPDIR char *below = tmpdir_new();
	struct error err = ERROR_INIT;
	char *a = tempdir_new(below, &err);

	(void)state;
	assert_non_null(a);
	make_deep(a, 1500);
	tempdir_remove(a);
	shell(below, "test -z \"$(ls -A)\"");
}

static void test_errors(void **state)
{
	struct error err = ERROR_INIT;
	char *a;

	(void)state;
	assert_null(tempdir_new("/no/such/folder", &err));
	assert_int_equal(err.kind, ERROR_IO);
	assert_non_null(strstr(err.text, "'/no/such/folder'"));
	tempdir_remove(NULL);
	a = tempdir_new(NULL, &err);
	assert_non_null(a);
	assert_memory_equal(a, "/var/tmp/.amiwright-", 20);
	/* Somebody else has removed it: a line of log, no more. */
	assert_int_equal(rmdir(a), 0);
	tempdir_remove(a);
}

static int quiet(void **state)
{
	(void)state;
	log_set_fd(-1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private_and_distinct),
		cmocka_unit_test(test_all_goes),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
