/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading with a ceiling; atomic files: nothing under the final name until it is whole, nothing
 * left after.
 */
#include "base/file.h"
#include "tests/lib/allocfail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *old_cwd;
static char folder[256];

static int enter(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(folder, sizeof(folder), "%s/amiwright-file-XXXXXX", tmp ? tmp : "/tmp");
	old_cwd = get_current_dir_name();
	return old_cwd && mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	DIR *dir = opendir(".");
	struct dirent *d;
	int ret;

	(void)state;
	while ((d = readdir(dir)))
		(void)(unlink(d->d_name) < 0 && rmdir(d->d_name));
	closedir(dir);
	ret = chdir(old_cwd);
	free(old_cwd);
	return ret < 0 || rmdir(folder) < 0 ? -1 : 0;
}

/* Names in the folder, "." and ".." not counted. */
static int count_names(void)
{
	DIR *dir = opendir(".");
	int n = -2;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void assert_content(const char *path, const char *want)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;

	assert_int_equal(file_read(path, &b, &err), 0);
	assert_string_equal(buf_str(&b), want);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_read(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT(5), proc = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(file_write_atomic("five", "12345", 5, 0600, false, &err), 0);
	assert_int_equal(file_write_atomic("six", "123456", 6, 0600, false, &err), 0);
	assert_int_equal(file_write_atomic("empty", "", 0, 0600, false, &err), 0);
	assert_int_equal(file_read("empty", &b, &err), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(file_read("six", &b, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "'six'"));
	assert_int_equal(b.len, 0);
	assert_int_equal(file_read("five", &b, &err), 0);
	assert_string_equal(buf_str(&b), "12345");
	assert_int_equal(file_read("five", &b, &err), -1);
	assert_string_equal(buf_str(&b), "12345");
	assert_int_equal(file_read("none", &b, &err), -1);
	assert_string_equal(err.text, "cannot open 'none': No such file or directory");
	assert_int_equal(file_read(".", &b, &err), -1);
	assert_int_equal(err.errnum, EISDIR);
	/* A file that says it is empty and is not. */
	assert_int_equal(file_read("/proc/self/status", &proc, &err), 0);
	assert_true(proc.len > 100);
}

static void test_pread_pwrite(void **state)
{
	CLEANUP_CLOSE int fd = open("io", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct error err = ERROR_INIT;
	char text[8] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, "abc", 3, "io", &err), 0);
	assert_int_equal(file_pwrite_all(fd, "XY", 2, 5, "io", &err), 0);
	assert_int_equal(file_pread_all(fd, text, 7, 0, "io", &err), 0);
	assert_memory_equal(text, "abc\0\0XY", 7);
	assert_int_equal(file_pread_all(fd, text, 3, 5, "io", &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "offset 7"));
	close(steal_fd(&fd));
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		assert_int_equal(file_write_all(fd, "abc", 3, "full", &err), -1);
		assert_int_equal(err.errnum, ENOSPC);
	}
}

static void test_atomic(void **state)
{
	struct atomic_file f = ATOMIC_FILE_INIT;
	struct error err = ERROR_INIT;
	mode_t mask = umask(077);

	(void)state;
	for (int round = 0; round < 2; round++) {
		const char *want = round ? "second" : "first";

		assert_int_equal(atomic_file_open(&f, "out", 0644, &err), 0);
		assert_int_equal(file_write_all(f.fd, want, strlen(want), "out", &err), 0);
		if (round == 0)
			assert_int_equal(access("out", F_OK), -1);
		else
			assert_content("out", "first");
		assert_int_equal(atomic_file_commit(&f, round == 1, &err), 0);
		assert_int_equal(f.fd, -1);
		assert_null(f.path);
		assert_content("out", want);
		assert_int_equal(mode_of("out"), 0644);
	}
	umask(mask);
	assert_int_equal(count_names(), 1);
}

static void test_abort(void **state)
{
	struct atomic_file f = ATOMIC_FILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	atomic_file_abort(&f);
	assert_int_equal(file_write_atomic("out", "old", 3, 0600, false, &err), 0);
	assert_int_equal(atomic_file_open(&f, "out", 0644, &err), 0);
	assert_int_equal(file_write_all(f.fd, "new", 3, "out", &err), 0);
	atomic_file_abort(&f);
	atomic_file_abort(&f);
	assert_content("out", "old");
	assert_int_equal(count_names(), 1);
}

/* The temporary name is longer than the final one and must fit all the same. */
static void test_long_name(void **state)
{
	struct error err = ERROR_INIT;
	char name[256];

	(void)state;
	memset(name, 'n', 255);
	name[255] = '\0';
	for (int round = 0; round < 2; round++)
		assert_int_equal(file_write_atomic(name, "x", 1, 0600, false, &err), 0);
	assert_content(name, "x");
	assert_int_equal(count_names(), 1);
}

/* From here on the kernel refuses O_TMPFILE to this process, as file systems without it do. */
static int forbid_nameless(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In the child: writes "out" by the named way; the exit status says which step was wrong. */
static int write_named(void)
{
	struct atomic_file f = ATOMIC_FILE_INIT;
	struct error err = ERROR_INIT;

	if (forbid_nameless() < 0)
		return 77;
	if (atomic_file_open(&f, "out", 0640, &err) < 0 || !f.tmp_path)
		return 1;
	if (access(f.tmp_path, F_OK) < 0 || f.tmp_path[0] != '.')
		return 2;
	if (file_write_all(f.fd, "named", 5, "out", &err) < 0 ||
		atomic_file_commit(&f, true, &err) < 0)
		return 3;
	if (atomic_file_open(&f, "out", 0640, &err) < 0)
		return 4;
	atomic_file_abort(&f);
	return 0;
}

static void test_named(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(write_named());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_content("out", "named");
	assert_int_equal(mode_of("out"), 0640);
	assert_int_equal(count_names(), 1);
}

static void test_commit_fails(void **state)
{
	struct atomic_file f = ATOMIC_FILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(atomic_file_open(&f, "out", 0644, &err), 0);
	assert_int_equal(mkdir("out", 0700), 0);
	assert_int_equal(atomic_file_commit(&f, false, &err), -1);
	assert_int_equal(err.errnum, EISDIR);
	assert_int_equal(f.fd, -1);
	assert_int_equal(count_names(), 1);
}

static void test_refused_names(void **state)
{
	struct atomic_file f = ATOMIC_FILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(atomic_file_open(&f, "/dev/null", 0644, &err), -1);
	assert_non_null(strstr(err.text, "/dev/null"));
	assert_int_equal(atomic_file_open(&f, ".", 0644, &err), -1);
	assert_int_equal(atomic_file_open(&f, "dir/", 0644, &err), -1);
	assert_int_equal(atomic_file_open(&f, "", 0644, &err), -1);
	assert_int_equal(atomic_file_open(&f, "none/out", 0644, &err), -1);
	assert_string_equal(err.text, "cannot create 'none/out': No such file or directory");
	assert_int_equal(f.fd, -1);
	assert_int_equal(count_names(), 0);
}

static void test_mkdirs(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(file_mkdirs("a//b/c/", 0755, &err), 0);
	assert_int_equal(file_mkdirs("a/b/c", 0755, &err), 0);
	assert_int_equal(access("a/b/c", F_OK), 0);
	assert_int_equal(file_mkdirs("/", 0755, &err), 0);
	assert_int_equal(file_write_atomic("file", "", 0, 0600, false, &err), 0);
	assert_int_equal(file_mkdirs("file/x", 0755, &err), -1);
	assert_string_equal(err.text, "cannot create folder 'file': Not a directory");
	assert_int_equal(file_mkdirs("/proc/none", 0755, &err), -1);
	assert_int_equal(rmdir("a/b/c") || rmdir("a/b"), 0);
}

static void test_join(void **state)
{
	static const char *const cases[][3] = {{"d", "r", "d/r"}, {"d/", "r", "d/r"},
		{NULL, "r", "r"}, {"d", "/r", "/r"}, {"", "r", "r"}, {"/", "r", "/r"}};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP_FREE char *joined = file_join(cases[i][0], cases[i][1], &err);

		assert_string_equal(joined, cases[i][2]);
	}
}

static int use_files(struct error *err)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	CLEANUP_FREE char *path = NULL;

	if (file_mkdirs("sub", 0755, err) < 0)
		return -1;
	path = file_join("sub", "../out", err);
	if (!path || file_write_atomic(path, "text", 4, 0600, true, err) < 0)
		return -1;
	return file_read(path, &b, err);
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(allocfail_torture(use_files));
	if (allocfail_available())
		assert_int_equal(count_names(), 2);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_folder(test_read),
		in_folder(test_pread_pwrite),
		in_folder(test_atomic),
		in_folder(test_abort),
		in_folder(test_long_name),
		in_folder(test_named),
		in_folder(test_commit_fails),
		in_folder(test_refused_names),
		in_folder(test_mkdirs),
		in_folder(test_no_memory),
		cmocka_unit_test(test_join),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
