/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that succeed, fail, die, talk a lot, will not end, or are not there. */
#include "base/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/lib/tmpdir.h"

static char *dir;
static const struct program_opts none;

static int prepare(void **state)
{
	(void)state;
	log_set_fd(-1);
	dir = tmpdir_new();
	return dir ? 0 : -1;
}

static int clean(void **state)
{
	(void)state;
	tmpdir_free(dir);
	return 0;
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

/* Runs a line of shell; no descriptor and no child may be left. */
static int run(const char *script, struct program_opts opts, struct error *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	unsigned fds = count_fds();
	int r;

	if (!opts.argv)
		opts.argv = argv;
	error_clear(err);
	r = program_run(&opts, err);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return r;
}

static void test_output(void **state)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buf_add_str(&out, "before ", &err), 0);
	assert_int_equal(run("echo hello; echo noise >&2",
		(struct program_opts){.output = &out}, &err), 0);
	assert_string_equal(out.data, "before hello\n");
	buf_clear(&out);
	assert_int_equal(run("head -c 1000000 /dev/zero | tr '\\0' x",
		(struct program_opts){.output = &out}, &err), 0);
	assert_int_equal(out.len, 1000000);
	assert_int_equal(run("head -c 1000000 /dev/zero",
		(struct program_opts){.output = NULL}, &err), 0);
	/* Standard input is empty, not ours. */
	assert_int_equal(run("test -z \"$(cat)\"", (struct program_opts){.output = NULL}, &err), 0);
}

static void test_more_than_the_buffer_takes(void **state)
{
	CLEANUP_BUF struct buf out = BUF_INIT(1000);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run("cat /dev/zero", (struct program_opts){.output = &out}, &err), -1);
	assert_true(err.kind != ERROR_NONE && err.kind != ERROR_INTERRUPTED);
}

static void test_descriptors(void **state)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/in", dir);
	struct error err = ERROR_INIT;
	char got[20] = "", script[200];
	int in = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(write(in, "some input", 10), 10);
	assert_int_equal(lseek(in, 5, SEEK_SET), 5);
	/* Neither may it have any other of our descriptors. */
	snprintf(script, sizeof(script), "cat; test -e /proc/$$/fd/%d && echo leak; test -e /proc/$$/fd/%d && "
		"echo leak; echo", in, pipe_fds[0]);
	assert_int_equal(run(script, (struct program_opts){.in = in, .out = pipe_fds[1]}, &err), 0);
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], got, sizeof(got) - 1), 6);
	assert_string_equal(got, "input\n");
	close(pipe_fds[0]);
	close(in);
}

static void test_failures(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run("echo one >&2; printf 'two\\tthree\\n\\n' >&2; exit 3", none, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.text, "sh failed (exit status 3): one two three");
	assert_int_equal(run("exit 255", none, &err), -1);
	assert_string_equal(err.text, "sh failed (exit status 255): it said nothing");
	assert_int_equal(run("echo dying >&2; kill -9 $$", none, &err), -1);
	assert_string_equal(err.text, "sh was killed by signal 9: dying");
	assert_int_equal(run("printf 'a\\0b' >&2; exit 1", none, &err), -1);
	assert_string_equal(err.text, "sh failed (exit status 1): a b");
}

/* More than a pipe holds, before and besides its output; the end of it is told. */
static void test_much_to_say(void **state)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	for (unsigned len = 65500; len <= 65600; len += 25) {
		char script[200];

		snprintf(script, sizeof(script), "head -c %u /dev/zero | tr '\\0' x >&2; echo out; "
			"echo the end >&2; exit 1", len);
		buf_clear(&out);
		assert_int_equal(run(script, (struct program_opts){.output = &out}, &err), -1);
		assert_string_equal(out.data, "out\n");
		assert_non_null(strstr(err.text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxthe end"));
	}
	assert_int_equal(run("yes | head -c 5000000 >&2; exit 1", none, &err), -1);
	assert_true(strlen(err.text) < 500);
	assert_int_equal(run("i=0; while [ $i -lt 300 ]; do printf 'a\\303\\244' >&2; i=$((i+1)); done; printf b >&2; "
		"exit 1", none, &err), -1);
	assert_null(strstr(err.text, ": \244"));
}

static void hide_x(char *text)
{
	char *out = text;

	for (; *text; text++)
		if (*text != 'x')
			*out++ = *text;
	*out = '\0';
}

/* Cleaned before it is cut, and then the last lines alone. */
static void test_cleaned(void **state)
{
	struct program_opts opts = {.clean = hide_x};
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run("printf 'one\ntwo\nthrexe\n\nfour\n\n' >&2; exit 3", opts, &err), -1);
	assert_string_equal(err.text, "sh failed (exit status 3): three  four");
	assert_int_equal(run("printf 'a\\0x\\n' >&2; exit 3", opts, &err), -1);
	assert_string_equal(err.text, "sh failed (exit status 3): a");
	assert_int_equal(run("printf 'xx' >&2; exit 3", opts, &err), -1);
	assert_string_equal(err.text, "sh failed (exit status 3): it said nothing");
	assert_int_equal(run("yes | tr -d '\\n' | head -c 500 >&2; kill -9 $$", opts, &err), -1);
	assert_int_equal(strlen(err.text), strlen("sh was killed by signal 9: ") + 400);
}

static bool at_once(void)
{
	return true;
}

/* When the script has made the file "ready": then its traps are set. */
static bool when_ready(void)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/ready", dir);

	return !unlink(path);
}

static void test_cancelled(void **state)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run("sleep 100", (struct program_opts){.cancelled = at_once}, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	/* The whole group, and a program that may clean up. */
	assert_int_equal(run("trap 'echo cleaned; exit 0' TERM; sleep 100 & >ready; wait",
		(struct program_opts){.cancelled = when_ready, .output = &out, .dir = dir}, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_string_equal(buf_str(&out), "cleaned\n");
	/* One that has closed its output. */
	assert_int_equal(run("exec >&- 2>&-; >ready; sleep 100",
		(struct program_opts){.cancelled = when_ready, .dir = dir}, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
}

static void test_will_not_end(void **state)
{
	struct error err = ERROR_INIT;
	time_t start = time(NULL);

	(void)state;
	assert_int_equal(run("trap '' TERM; >ready; while :; do sleep 1; done",
		(struct program_opts){.cancelled = when_ready, .dir = dir}, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_true(time(NULL) - start >= 4 && time(NULL) - start < 30);
}

static void test_not_there(void **state)
{
	static const char *const argv[] = {"no-such-program", NULL}, *const folder[] = {"/usr", NULL},
		*const nowhere[] = {"/no/such", NULL};
	struct error err = ERROR_INIT;
	CLEANUP_FREE char *file = NULL;
	CLEANUP_FREE char *path = buf_strf(NULL, "PATH=%s:/usr/bin:/bin", dir);
	CLEANUP_FREE char *made = buf_strf(NULL, "%s/tool", dir);
	CLEANUP_FREE char *old = strdup(getenv("PATH"));

	(void)state;
	assert_int_equal(run(NULL, (struct program_opts){.argv = argv, .package = "some-package"}, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_string_equal(err.text, "no-such-program is not installed: install the package 'some-package'");
	assert_int_equal(program_need("no-such-program", NULL, &err), -1);
	assert_string_equal(err.text, "no-such-program is not installed: install the package 'no-such-program'");
	assert_int_equal(program_need("sh", NULL, &err), 0);
	assert_int_equal(run(NULL, (struct program_opts){.argv = folder}, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_string_equal(err.text, "cannot run '/usr': it is not a file");
	/* A path is not the name of a package. */
	assert_int_equal(run(NULL, (struct program_opts){.argv = nowhere}, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_string_equal(err.text, "cannot run '/no/such': No such file or directory");
	assert_int_equal(program_need("/etc/passwd", NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_string_equal(err.text, "cannot run '/etc/passwd': it is not executable");
	/* Nor do we know who packages a program of the user's own. */
	assert_int_equal(run(NULL, (struct program_opts){.argv = argv, .inherit = true}, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_string_equal(err.text, "there is no program 'no-such-program' in PATH");
	/* A folder of that name in PATH is passed over, and so is a file that is not executable. */
	putenv(path);
	assert_int_equal(mkdir(made, 0755), 0);
	error_clear(&err);
	assert_null(program_find("tool", &err));
	assert_int_equal(err.kind, ERROR_NONE);
	assert_int_equal(rmdir(made), 0);
	close(open(made, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	file = program_find("tool", &err);
	assert_string_equal(file, made);
	setenv("PATH", old, 1);
	assert_int_equal(run("true", (struct program_opts){.dir = "/no/such/dir"}, &err), -1);
	assert_non_null(strstr(err.text, "'/no/such/dir'"));
}

static void test_sbin_is_found(void **state)
{
	CLEANUP_FREE char *old = strdup(getenv("PATH"));
	CLEANUP_FREE char *file = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	setenv("PATH", "/usr/bin:/bin", 1);
	file = program_find("mke2fs", &err);
	setenv("PATH", old, 1);
	assert_non_null(file);
}

static void test_environment_and_folder(void **state)
{
	static const char *const env[] = {"env", NULL};
	static const char *const more[] = {"EXTRA=1", "TZ=Asia/Tokyo", "HOME=/other", NULL};
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	setenv("SECRET", "x", 1);
	setenv("LANG", "de_DE.UTF-8", 1);
	setenv("LC_TIME", "de_DE.UTF-8", 1);
	setenv("TZ", "Europe/Berlin", 1);
	setenv("HOME", "/home/joe", 1);
	setenv("https_proxy", "http://p:1", 1);
	assert_int_equal(run("env | grep -E '^(SECRET|LANG|LC_|TZ|HOME|https_proxy|EXTRA)' | sort; pwd",
		(struct program_opts){.output = &out, .dir = "/usr"}, &err), 0);
	assert_string_equal(out.data, "HOME=/home/joe\nLC_ALL=C\nTZ=UTC\nhttps_proxy=http://p:1\n/usr\n");
	buf_clear(&out);
	/* env shows what it was given, also if a name came twice. */
	assert_int_equal(run(NULL, (struct program_opts){.argv = env, .output = &out, .environment = more}, &err), 0);
	for (size_t i = 0; more[i]; i++)
		assert_non_null(strstr(out.data, more[i]));
	assert_null(strstr(out.data, "TZ=UTC"));
	assert_null(strstr(out.data, "/home/joe"));
	buf_clear(&out);
	/* A program of the user's own gets the user's own. */
	assert_int_equal(run(NULL, (struct program_opts){.argv = env, .output = &out, .inherit = true}, &err), 0);
	assert_non_null(strstr(out.data, "SECRET=x\n"));
	assert_non_null(strstr(out.data, "TZ=Europe/Berlin\n"));
	assert_null(strstr(out.data, "LC_ALL=C\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_more_than_the_buffer_takes),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_much_to_say),
		cmocka_unit_test(test_cleaned),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_will_not_end),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_sbin_is_found),
		cmocka_unit_test(test_environment_and_folder),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
