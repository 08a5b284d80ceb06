/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages as a layer, with scripts in the place of mmdebstrap: no network, no minute of
 * waiting.
 */
#include "fs/tree_debian.h"

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
#include "base/file.h"
#include "base/log.h"
#include "fs/tree_debian_internal.h"

static char dir[256];

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	log_set_fd(-1);
	snprintf(dir, sizeof(dir), "%s/amiwright-debian-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char line[300];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf '%s'", dir);
	return system(line);
}

static const char *in_dir(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Runs body (with $D for the test's folder) in the place of mmdebstrap. */
static int run(struct tree *t, const char *body, struct tree_debian_opts opts, struct error *err)
{
	struct error file_err = ERROR_INIT;
	char script[2000], program[300];
	int len = snprintf(script, sizeof(script), "#!/bin/sh\nD='%s'\n%s\n", dir, body);

	snprintf(program, sizeof(program), "%s", in_dir("fake"));
	assert_int_equal(
		file_write_atomic(program, script, (size_t)len, 0755, false, &file_err), 0);
	opts.program = program;
	if (!opts.suite)
		opts.suite = "bookworm";
	return tree_debian_add(t, &opts, err);
}

static struct tree *new_tree(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(dir, &err);

	assert_non_null(t);
	return t;
}

static bool has(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node = TREE_NONE;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	return node != TREE_NONE;
}

static void assert_file(const char *name, const char *want)
{
	struct buf got = BUF_INIT(1 << 16);
	struct error err = ERROR_INIT;

	assert_int_equal(file_read(in_dir(name), &got, &err), 0);
	assert_string_equal(buf_str(&got), want);
	buf_release(&got);
}

static void test_arguments_and_environment(void **state)
{
	static const char *const packages[] = {"systemd", "linux-image-cloud-amd64", NULL};
	static const char *const components[] = {"main", "non-free-firmware", NULL};
	static const char *const mirrors[] = {"http://mirror.example/debian",
		"deb http://x.example/ sid main", NULL};
	static const char *const environment[] = {"HOME=/home/joe", "LANG=de_DE.UTF-8", "TZ=Asia/Tokyo",
		"PATH=/usr/bin:/bin", "http_proxy=http://p:3128", "SECRET=1", "SOURCE_DATE_EPOCH=1", NULL};
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run(t, "for a; do echo \"$a\"; done >$D/args; env | grep -v ^PWD= | sort >$D/env; "
		"mkdir -p $D/r; tar c -C $D/r .",
		(struct tree_debian_opts){.architecture = "arm64", .packages = packages,
			.components = components, .mirrors = mirrors, .keyring = "/k e y.gpg",
			.epoch = 1735689600, .environment = environment}, &err), 0);
	assert_file("args", "--mode=auto\n--format=tar\n--variant=minbase\n"
		"--components=main,non-free-firmware\n--architectures=arm64\n"
		"--include=systemd,linux-image-cloud-amd64\n--keyring=/k e y.gpg\nbookworm\n-\n"
		"http://mirror.example/debian\ndeb http://x.example/ sid main\n");
	assert_file("env", "HOME=/home/joe\nLC_ALL=C\nPATH=/usr/bin:/bin:/usr/sbin:/sbin\n"
		"SOURCE_DATE_EPOCH=1735689600\nTZ=UTC\nhttp_proxy=http://p:3128\n");
	tree_free(t);
}

/* The hook as it is given to mmdebstrap, run with a chroot that only goes there. */
static void test_files_before_packages(void **state)
{
	static const struct tree_debian_file files[] = {
		{"/etc/dracut.conf.d/50-x.conf", "add=\" $HOME 'q' `id`\"\n", 23},
		{"/empty", "", 0},
	};
	static const struct tree_debian_file bad[] = {
		{"etc/x", "", 0}, {"/etc/$(id)", "", 0}, {"/etc/'", "", 0}, {"/etc/", "", 0},
		{"/etc/x", "", (64 << 10) + 1},
	};
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run(t, "mkdir -p $D/r; for a; do case $a in --essential-hook=*) "
		"set -- $D/r; (PATH=/usr/bin:/bin; chroot() { shift 3; s=$1; "
		"(cd $D/r; sh -c \"$(echo \"$s\" | sed 's,\"\\([$][{0]\\),\".\\1,g')\" \"$2\"); }; "
		"eval \"${a#--essential-hook=}\");; esac; done; tar c -C $D/r .",
		(struct tree_debian_opts){.files = files, .nr_files = 2}, &err), 0);
	assert_true(has(t, "/empty"));
	assert_true(has(t, "/etc/dracut.conf.d/50-x.conf"));
	assert_file("r/etc/dracut.conf.d/50-x.conf", files[0].content);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(run(t, "exit 1", (struct tree_debian_opts){.files = &bad[i],
			.nr_files = 1}, &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
		assert_non_null(strstr(err.text, bad[i].path));
	}
	tree_free(t);
}

static void test_snapshot_sources(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	const char *body = "for a; do echo \"$a\"; done >$D/args; mkdir -p $D/r; tar c -C $D/r .";

	(void)state;
	assert_int_equal(run(t, body, (struct tree_debian_opts){.snapshot = "20260101T000000Z"}, &err), 0);
	assert_file("args", "--mode=auto\n--format=tar\n--variant=minbase\nbookworm\n-\n"
		"deb [check-valid-until=no] https://snapshot.debian.org/archive/debian/20260101T000000Z/ "
		"bookworm main\n"
		"deb [check-valid-until=no] https://snapshot.debian.org/archive/debian/20260101T000000Z/ "
		"bookworm-updates main\n"
		"deb [check-valid-until=no] "
		"https://snapshot.debian.org/archive/debian-security/20260101T000000Z/ "
		"bookworm-security main\n");
	assert_int_equal(run(t, body, (struct tree_debian_opts){.snapshot = "20260101"}, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	tree_free(t);
}

static void test_words_that_are_no_words(void **state)
{
	static const char *const packages[] = {"a,b", NULL}, *const options[] = {"--setup-hook=x", NULL};
	static const char *const mirrors[] = {"-", NULL};
	static const struct tree_debian_opts bad[] = {
		{.suite = "--help"}, {.suite = ""}, {.suite = "a b"}, {.packages = packages},
		{.packages = options}, {.mirrors = mirrors}, {.architecture = "a;b"},
		{.mirrors = packages, .snapshot = "20260101T000000Z"}};
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(run(t, "touch $D/was-run; exit 1", bad[i], &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
	}
	assert_int_equal(access(in_dir("was-run"), F_OK), -1);
	tree_free(t);
}

static void test_what_belongs_to_no_image_is_taken_out(void **state)
{
	struct tree *t = new_tree();
	struct tree_attr attr;
	struct error err = ERROR_INIT;
	tree_node node = TREE_NONE;

	(void)state;
	assert_int_equal(run(t, "mkdir -p $D/i/etc/ssh $D/i/var/log/apt $D/i/var/lib/dbus; cd $D/i; "
		"for f in etc/ssh/ssh_host_rsa_key etc/ssh/ssh_host_rsa_key.pub etc/ssh/sshd_config "
		"etc/machine-id etc/hostname etc/resolv.conf var/log/dpkg.log var/log/apt/term.log "
		"var/lib/dbus/machine-id etc/passwd; do echo $f >$f; done; tar c .",
		(struct tree_debian_opts){.suite = "sid"}, &err), 0);
	assert_true(has(t, "/etc/passwd") && has(t, "/etc/ssh/sshd_config") && has(t, "/var/log/apt"));
	assert_false(has(t, "/etc/ssh/ssh_host_rsa_key") || has(t, "/etc/ssh/ssh_host_rsa_key.pub"));
	assert_false(has(t, "/etc/hostname") || has(t, "/etc/resolv.conf"));
	assert_false(has(t, "/var/log/dpkg.log") || has(t, "/var/log/apt/term.log"));
	assert_false(has(t, "/var/lib/dbus/machine-id"));
	assert_int_equal(tree_lookup(t, "/etc/machine-id", false, &node, &err), 0);
	assert_int_not_equal(node, TREE_NONE);
	tree_get(t, node, &attr);
	assert_int_equal(attr.size, 0);
	tree_free(t);
	t = new_tree();
	assert_int_equal(run(t, "mkdir -p $D/l/etc; cd $D/l; ln -sf ../run/resolv.conf etc; tar c .",
		(struct tree_debian_opts){.suite = "sid"}, &err), 0);
	assert_true(has(t, "/etc/resolv.conf"));
	tree_free(t);
}

/* More messages than a pipe holds, before, within and after the tar. */
static void test_both_pipes_are_drained(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run(t, "mkdir -p $D/b; head -c 3000000 /dev/zero >$D/b/f; seq 1 60000 >&2; "
		"tar c -C $D/b .; seq 1 60000 >&2; echo 'I: done' >&2",
		(struct tree_debian_opts){.suite = "sid"}, &err), 0);
	assert_true(has(t, "/f"));
	tree_free(t);
}

static void test_failure_carries_the_reasons(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run(t, "echo 'I: working' >&2; echo 'E: Unable to locate package foo' >&2; "
		"echo 'E: apt-get failed' >&2; exit 25",
		(struct tree_debian_opts){.suite = "sid"}, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "(exit status 25): E: Unable to locate package foo; "
		"E: apt-get failed"));
	/* A whole tar does not make up for it. */
	assert_int_equal(run(t, "mkdir -p $D/e; tar c -C $D/e .; printf 'a\\nb\\nlast words' >&2; exit 1",
		(struct tree_debian_opts){.suite = "sid"}, &err), -1);
	assert_non_null(strstr(err.text, "(exit status 1): a; b; last words"));
	assert_int_equal(run(t, "echo 'E: unable to pick chroot mode automatically' >&2; exit 25",
		(struct tree_debian_opts){.suite = "sid"}, &err), -1);
	assert_non_null(strstr(err.text, "/etc/subuid"));
	assert_int_equal(run(t, "kill -9 $$", (struct tree_debian_opts){.suite = "sid"}, &err), -1);
	assert_non_null(strstr(err.text, "killed by signal 9"));
	tree_free(t);
}

/* It would write for ever: a tar that we cannot take must end it. */
static void test_the_child_is_stopped_when_we_fail(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(run(t, "trap 'touch $D/stopped; exit 1' TERM PIPE; "
		"while :; do echo no tar at all || exit 1; done",
		(struct tree_debian_opts){.suite = "sid"}, &err), -1);
	assert_non_null(strstr(err.text, "tar from mmdebstrap"));
	tree_free(t);
}

static void test_a_missing_program(void **state)
{
	struct tree_debian_opts opts = {.suite = "sid", .program = "/nowhere/mmdebstrap"};
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(tree_debian_add(t, &opts, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "/nowhere/mmdebstrap"));
	tree_free(t);
}

/* A program of the user's PATH, which is the test's folder alone then. */
static void fake_program(const char *name, const char *body)
{
	struct error err = ERROR_INIT;
	char script[500];
	int len = snprintf(script, sizeof(script), "#!/bin/sh\n%s\n", body);

	assert_int_equal(file_write_atomic(in_dir(name), script, (size_t)len, 0755, false, &err), 0);
	assert_int_equal(setenv("PATH", dir, 1), 0);
}

static void write_text(const char *name, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(file_write_atomic(in_dir(name), text, strlen(text), 0644, false, &err), 0);
}

static void assert_foreign(const char *binfmt, const char *words)
{
	struct error err = ERROR_INIT;
	int r = debian_check_foreign("arm64", binfmt, &err);

	assert_int_equal(r, words ? -1 : 0);
	if (!words)
		return;
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "packages for arm64 cannot be installed on this machine: "));
	assert_non_null(strstr(err.text, words));
}

/* Each missing part, in the order in which one would install them. */
static void test_what_another_architecture_needs(void **state)
{
	static const char registered[] = "enabled\ninterpreter /usr/libexec/q\nflags: POCF\noffset 0\n";
	char *path = strdup(getenv("PATH")), binfmt[300];

	(void)state;
	snprintf(binfmt, sizeof(binfmt), "%s", dir);
	/* Fails as arch-test does. */
	fake_program("arch-test", "[ \"$1\" = arm64 ] || exit 9; echo not supported; exit 1");
	if (access("/usr/sbin/qemu-aarch64-static", F_OK) < 0)
		assert_foreign(binfmt, "install the package 'qemu-user-static'");
	fake_program("qemu-aarch64-static", "");
	assert_foreign(binfmt, "binfmt_misc is not mounted");
	write_text("status", "enabled\n");
	assert_foreign(binfmt, "does not know the emulator qemu-aarch64: install the package 'binfmt-support'");
	write_text("qemu-aarch64", "disabled\n");
	assert_foreign(binfmt, "is disabled");
	write_text("qemu-aarch64", registered);
	assert_foreign(binfmt, "does not run");
	fake_program("arch-test", "[ \"$1\" = arm64 ] && echo arm64: ok");
	assert_foreign(binfmt, NULL);
	write_text("qemu-aarch64", "enabled\ninterpreter /usr/bin/F\nflags: PO\noffset 0\n");
	assert_foreign(binfmt, "without the flag F");
	assert_int_equal(unlink(in_dir("qemu-aarch64")), 0);
	assert_foreign(binfmt, NULL);
	assert_int_equal(unlink(in_dir("arch-test")), 0);
	assert_foreign(binfmt, "install the package 'arch-test'");
	assert_int_equal(setenv("PATH", path, 1), 0);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments_and_environment),
		cmocka_unit_test(test_files_before_packages),
		cmocka_unit_test(test_snapshot_sources),
		cmocka_unit_test(test_words_that_are_no_words),
		cmocka_unit_test(test_what_belongs_to_no_image_is_taken_out),
		cmocka_unit_test(test_both_pipes_are_drained),
		cmocka_unit_test(test_failure_carries_the_reasons),
		cmocka_unit_test(test_the_child_is_stopped_when_we_fail),
		cmocka_unit_test(test_a_missing_program),
		cmocka_unit_test(test_what_another_architecture_needs),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
