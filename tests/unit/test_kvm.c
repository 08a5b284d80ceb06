/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of QEMU's answers; each trial in a process of its own, since one has one trial. */
#include "base/kvm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

#ifdef __x86_64__
#define QEMU "qemu-system-x86_64"
#else
#define QEMU "qemu-system-aarch64"
#endif

static char folder[] = "/tmp/amiwright-kvm-XXXXXX", path[100], places[100];

static int enter(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/%s", folder, QEMU);
	snprintf(places, sizeof(places), "%s:/usr/bin:/bin", folder);
	return setenv("PATH", places, 1);
}

static int leave(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

/* Whether it works when QEMU is that script. why gets the reason. */
static bool works(const char *script, char why[200])
{
	int ends[2], status;
	const char *text;
	ssize_t n;
	pid_t pid;

	assert_int_equal(file_write_atomic(path, script, strlen(script), 0755, false, NULL), 0);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		bool yes = kvm_works(&text);

		if (!strcmp(text, "") != yes || kvm_works(&text) != yes)
			_exit(100);
		(void)!write(ends[1], text, strlen(text));
		_exit(yes);
	}
	close(ends[1]);
	n = read(ends[0], why, 199);
	close(ends[0]);
	why[n > 0 ? n : 0] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status);
}

static void test_answers(void **state)
{
	char why[200];

	(void)state;
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		skip();
#ifdef __x86_64__
	assert_true(works("#!/bin/sh\nexit 85\n", why));
	assert_false(works("#!/bin/sh\nexit 0\n", why));
#else
	assert_true(works("#!/bin/sh\nexit 0\n", why));
#endif
	assert_string_equal(why, "a trial failed");
	assert_false(works("#!/bin/sh\necho cannot set up a processor >&2; echo more >&2; exit 1\n", why));
	assert_string_equal(why, "cannot set up a processor");
	assert_false(works("#!/bin/sh\nkill -ABRT $$\n", why));
}

/* As QEMU waits for ever when a guest cannot go on: that is seen at once, and nothing of it stays. */
static void test_stands_still(void **state)
{
	char why[200], script[300];
	struct stat st;

	(void)state;
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		skip();
	snprintf(script, sizeof(script), "#!/bin/sh\necho 'KVM internal error. Suberror: 1' >&2\nsleep 1\n>%s/lives\n",
		folder);
	assert_false(works(script, why));
	assert_string_equal(why, "KVM internal error. Suberror: 1");
	sleep(2);
	snprintf(script, sizeof(script), "%s/lives", folder);
	assert_int_equal(stat(script, &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers), cmocka_unit_test(test_stands_still),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
