/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initrds made by cpio and the compressors, in all the ways that distributions join them, and broken
 * ones. With a file as its argument the program lists that one's names: the integration tests compare
 * them with lsinitramfs.
 */
#include "fs/initrd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "fs/tree_edit.h"
#include "tests/lib/allocfail.h"
#include "tests/lib/tmpdir.h"

static char *dir;

static int add_name(void *arg, const char *path, uint32_t mode, struct error *err)
{
	return buf_addf(arg, err, "%s%s\n", path, S_ISDIR(mode) ? "/" : "");
}

/* Runs shell commands in the test's folder; they leave their result in "out". */
static void make(const char *commands)
{
	CLEANUP_FREE char *line = buf_strf(NULL, "cd '%s' && { %s; } 2>/dev/null", dir, commands);

	assert_non_null(line);
	assert_int_equal(system(line), 0);
}

static void read_out(struct buf *data)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/out", dir);
	struct error err = ERROR_INIT;

	assert_int_equal(file_read(path, data, &err), 0);
}

/* The names in "out", through memory and through a tree. */
static int walk_out(struct buf *names, struct error *err)
{
	CLEANUP_BUF struct buf data = BUF_INIT(0);
	CLEANUP_BUF struct buf again = BUF_INIT(0);
	struct tree *t = tree_new(dir, err);
	struct error second = ERROR_INIT;
	tree_node node;
	int r;

	read_out(&data);
	r = initrd_walk_mem(buf_str(&data), data.len, "out", add_name, names, err);
	assert_non_null(t);
	assert_int_equal(tree_edit_write(t, "/i", buf_str(&data), data.len, 0600,
		(struct tree_edit_owner){0, 0}, 0, &second), 0);
	assert_int_equal(tree_lookup(t, "/i", false, &node, &second), 0);
	assert_int_equal(initrd_walk(t, node, "out", add_name, &again, &second), r);
	assert_string_equal(buf_str(&again), buf_str(names));
	assert_string_equal(second.text, err->text);
	tree_free(t);
	return r;
}

static void check_names(const char *commands, const char *want)
{
	CLEANUP_BUF struct buf names = BUF_INIT(0);
	struct error err = ERROR_INIT;

	make(commands);
	if (walk_out(&names, &err) < 0)
		fail_msg("%s: %s", commands, err.text);
	if (strcmp(buf_str(&names), want))
		fail_msg("%s: got %s", commands, buf_str(&names));
}

static void check_error(const char *commands, int errnum, const char *text)
{
	CLEANUP_BUF struct buf names = BUF_INIT(0);
	struct error err = ERROR_INIT;

	make(commands);
	assert_int_equal(walk_out(&names, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(err.errnum, errnum);
	if (!strstr(err.text, text) || !strstr(err.text, "'out'"))
		fail_msg("%s: %s", commands, err.text);
}

/* a: a microcode; m: a module and a file of some size that no compressor makes small. */
static int prepare(void **state)
{
	(void)state;
	dir = tmpdir_new();
	if (!dir)
		return -1;
	make("mkdir -p a/kernel/x86 m/lib/modules && echo 1 >a/kernel/x86/u.bin && echo 2 >m/lib/modules/nvme.ko && "
	     "head -c 70001 /dev/urandom >m/big && ln -s lib m/usr && "
	     "(cd a && find . | LC_ALL=C sort | cpio -o -H newc --quiet >../a.cpio) && "
	     "(cd m && find . | LC_ALL=C sort | cpio -o -H newc --quiet >../m.cpio)");
	return 0;
}

static int clean(void **state)
{
	(void)state;
	tmpdir_free(dir);
	return 0;
}

#define A "/\nkernel/\nkernel/x86/\nkernel/x86/u.bin\n"
#define M "/\nbig\nlib/\nlib/modules/\nlib/modules/nvme.ko\nusr\n"

static const char *const packers[] = {"gzip -9", "xz --check=crc32", "lzma", "zstd -q -9",
	"zstd -q --no-check", "{ cat >t; zstd -q -c t; }", "lz4 -q -l", "lz4 -q", "bzip2"};

static void test_plain(void **state)
{
	(void)state;
	check_names("cp m.cpio out", M);
	check_names("cat a.cpio m.cpio >out", A M);
	/* Paths from the root, and cpio's form with sums. */
	check_names("echo $PWD/m/big | cpio -o -H crc --quiet | sed \"s|$PWD/m|/////////$(echo $PWD | "
		    "sed 's/........//;s/./\\//g')m|\" >out", "m/big\n");
	check_names("head -c 4 /dev/zero >out; cat a.cpio >>out; head -c 4092 /dev/zero >>out", A);
	/* The kernel does without the mark of the end. */
	check_names("echo m/big | cpio -o -H newc --quiet | head -c 70120 >out", "m/big\n");
}

static void test_packed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
		char commands[300];

		snprintf(commands, sizeof(commands), "%s <m.cpio >out", packers[i]);
		check_names(commands, M);
		snprintf(commands, sizeof(commands), "{ cat a.cpio; %s <m.cpio; } >out", packers[i]);
		check_names(commands, A M);
		snprintf(commands, sizeof(commands), "cat m.cpio a.cpio | %s >out", packers[i]);
		check_names(commands, M A);
	}
}

/* What follows a compressed archive: zeros, and archives of every kind. */
static void test_packed_and_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
		char commands[500];

		if (!strcmp(packers[i], "lzma"))
			continue;
		snprintf(commands, sizeof(commands), "{ %s <m.cpio; head -c 512 /dev/zero; } >out",
			packers[i]);
		check_names(commands, M);
		snprintf(commands, sizeof(commands),
			"{ %s <m.cpio; head -c 4 /dev/zero; cat a.cpio; } >out", packers[i]);
		check_names(commands, M A);
		snprintf(commands, sizeof(commands), "{ %s <m.cpio; %s <a.cpio; } >out", packers[i],
			packers[i]);
		check_names(commands, M A);
		snprintf(commands, sizeof(commands),
			"{ %s <m.cpio; head -c 8 /dev/zero; %s <a.cpio; } >out", packers[i],
			packers[(i + 1) % (sizeof(packers) / sizeof(packers[0]))]);
		check_names(commands, M A);
	}
}

static void test_damage(void **state)
{
	(void)state;
	check_error(": >out", 0, "is empty");
	check_error("head -c 1000 /dev/zero >out", 0, "is empty");
	check_error("echo hello >out", 0, "is no initrd");
	check_error("head -c 50000 m.cpio >out", 0, "ends inside an archive");
	check_error("head -c 50 m.cpio >out", 0, "ends inside an archive");
	check_error("head -c 112 m.cpio | tr -d '\\0' >out", 0, "is damaged");
	check_error("{ cat a.cpio; echo hello; } >out", 0, "there is no archive");
	check_error("echo m/big | cpio -o -H odc --quiet >out", 0, "newc");
	check_error("lzop <m.cpio >out", ENOTSUP, "lzop");
	for (size_t i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
		char commands[300];

		snprintf(commands, sizeof(commands), "%s <m.cpio | head -c 50000 >out", packers[i]);
		check_error(commands, 0, "the initrd 'out' is damaged");
	}
	check_error("gzip <m/big >out", 0, "there is no cpio header");
}

static void test_limits(void **state)
{
	(void)state;
	check_error("i=0; while [ $i -lt 65 ]; do cat a.cpio; i=$((i+1)); done >out", 0,
		"more than 64 archives");
	check_error("python3 -c \"print(('%s%s' % ('070701', '00000000' * 11 + '00000002' + '0' * 8) + "
		    "'a\\0') * 200001, end='')\" >out", 0, "more than 200000 entries");
	check_error("python3 -c \"print('070701' + '00000000' * 11 + 'FFFFFFFF' + '0' * 8 + 'a')\" >out", 0,
		"impossible length");
	check_error("head -c 100000000 /dev/zero | zstd -q -1 >t; for i in 1 2 3 4 5 6 7 8 9 10 11; do "
		    "cat t t; done >out", 0, "more than 2 GiB");
}

static int stop(void *arg, const char *path, uint32_t mode, struct error *err)
{
	(void)arg;
	(void)mode;
	return error_set(err, ERROR_POLICY, 0, "stopped at '%s'", path);
}

static void test_callback_stops(void **state)
{
	CLEANUP_BUF struct buf data = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	make("gzip <m.cpio >out");
	read_out(&data);
	assert_int_equal(initrd_walk_mem(buf_str(&data), data.len, "out", stop, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	assert_string_equal(err.text, "stopped at ''");
}

static struct buf torture_data;

static int torture_walk(struct error *err)
{
	CLEANUP_BUF struct buf names = BUF_INIT(0);

	return initrd_walk_mem(torture_data.data, torture_data.len, "out", add_name, &names, err);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	buf_init(&torture_data, 0);
	make("cat a.cpio a.cpio >out");
	read_out(&torture_data);
	assert_true(allocfail_torture(torture_walk));
	buf_release(&torture_data);
}

static int list(const char *path)
{
	CLEANUP_BUF struct buf data = BUF_INIT(1u << 30);
	CLEANUP_BUF struct buf names = BUF_INIT(0);
	struct error err = ERROR_INIT;

	if (file_read(path, &data, &err) < 0 ||
		initrd_walk_mem(buf_str(&data), data.len, path, add_name, &names, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	fputs(buf_str(&names), stdout);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_packed_and_more),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_callback_stops),
		cmocka_unit_test(test_out_of_memory),
	};

	if (argc > 1)
		return list(argv[1]);
	return cmocka_run_group_tests(tests, prepare, clean);
}
