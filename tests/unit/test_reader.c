/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of file systems that mke2fs and mkfs.fat made, by path; and a thousand damaged ones of each,
 * which must end with content or an error, soon. Without dosfstools or mtools FAT is left out.
 */
#include "fs/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/num.h"
#include "fs/probe.h"
#include "tests/lib/bytesdev.h"
#include "tests/lib/tmpdir.h"

enum { DAMAGED = 1000 };

static int shell(const char *dir, const char *command)
{
	char line[3000];

	snprintf(line, sizeof(line), "export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8 "
		"MTOOLS_SKIP_CHECK=1; cd '%s' && (%s) >log 2>&1 || { cat log; exit 1; }", dir, command);
	return system(line);
}

/* What each file system holds: /big has the line "0000…" of its numbers, links lead around. */
static const char tree[] =
	"rm -rf tree image; mkdir -p tree/etc tree/usr/lib tree/many && "
	"echo 'ID=test' >tree/usr/lib/os-release && seq -w 1 40000 >tree/big && "
	"truncate -s 3M tree/holes && echo end >>tree/holes && : >tree/empty && "
	"for i in $(seq 1 300); do echo $i >tree/many/a-rather-long-name-of-a-file-$i; done";
static const char links[] =
	"ln -s ../usr/lib/os-release tree/etc/os-release && ln -s /usr/lib tree/lib && "
	"ln -s loop2 tree/loop && ln -s loop tree/loop2 && ln -s ../../../../big tree/up && "
	"ln -s /usr/lib/../lib/./$(printf '%0100d' 0 | sed 's/0/..\\/lib\\//g')os-release tree/long && "
	"ln -s /nowhere tree/dangling";

static void make(const char *dir, const char *command, struct buf *image)
{
	struct error err = ERROR_INIT;
	char path[300];

	assert_int_equal(shell(dir, tree), 0);
	assert_int_equal(shell(dir, links), 0);
	assert_int_equal(shell(dir, command), 0);
	snprintf(path, sizeof(path), "%s/image", dir);
	assert_int_equal(file_read(path, image, &err), 0);
}

static struct reader *open_reader(struct bytesdev *m, const struct buf *image)
{
	struct error err = ERROR_INIT;
	struct reader *r;
	struct probe probe;

	bytesdev_init(m, image->data, image->len);
	assert_int_equal(probe_dev(&m->dev, &probe, &err), 0);
	if (reader_open(&m->dev, probe.type, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(r);
	return r;
}

static void assert_content(struct reader *r, const char *path, uint64_t off, size_t max, const char *text)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	if (r->ops->read(r, path, off, max, &out, &err) < 0)
		fail_msg("%s: %s", path, err.text);
	if (strcmp(buf_str(&out), text) != 0)
		fail_msg("%s: \"%.40s\", not \"%s\"", path, buf_str(&out), text);
}

static void assert_kind(struct reader *r, const char *path, enum reader_kind kind, uint64_t size)
{
	struct error err = ERROR_INIT;
	enum reader_kind found;
	uint64_t has;

	if (r->ops->stat(r, path, &found, &has, &err) < 0)
		fail_msg("%s: %s", path, err.text);
	assert_int_equal(found, kind);
	assert_int_equal(has, size);
}

static int count_name(void *arg, const char *name, struct error *err)
{
	unsigned *nr = arg;

	(void)err;
	assert_true(strncmp(name, "a-rather-long-name-of-a-file-", 29) == 0);
	++*nr;
	return 0;
}

static void check_files(struct reader *r)
{
	struct error err = ERROR_INIT;
	unsigned nr = 0;

	assert_content(r, "/usr/lib/os-release", 0, 100, "ID=test\n");
	assert_content(r, "//usr//lib/os-release", 3, 4, "test");
	assert_content(r, "/big", 6 * 39999, 100, "40000\n");
	assert_content(r, "/big", 6 * 12345, 6, "12346\n");
	assert_content(r, "/big", 6 * 40000, 100, "");
	assert_content(r, "/holes", 3 << 20, 100, "end\n");
	assert_content(r, "/many/a-rather-long-name-of-a-file-299", 0, 100, "299\n");
	assert_content(r, "/usr", 0, 100, "");
	assert_kind(r, "/", READER_FOLDER, 0);
	assert_kind(r, "/empty", READER_FILE, 0);
	assert_kind(r, "/big", READER_FILE, 240000);
	assert_kind(r, "/big/no", READER_NONE, 0);
	assert_kind(r, "/usr/li", READER_NONE, 0);
	assert_int_equal(r->ops->list(r, "/many", count_name, &nr, &err), 0);
	assert_int_equal(nr, 300);
	assert_int_equal(r->ops->list(r, "/none", count_name, &nr, &err), 0);
}

static void check_links(struct reader *r)
{
	struct error err = ERROR_INIT;
	enum reader_kind kind;
	uint64_t size;

	assert_content(r, "/etc/os-release", 0, 100, "ID=test\n");
	assert_content(r, "/lib/os-release", 0, 100, "ID=test\n");
	assert_content(r, "/long", 0, 100, "ID=test\n");
	assert_content(r, "/up", 0, 6, "00001\n");
	assert_kind(r, "/dangling", READER_NONE, 0);
	assert_int_equal(r->ops->stat(r, "/loop", &kind, &size, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "symbolic links"));
}

static void test_ext(void **state)
{
	static const char *const makes[] = {
		"mke2fs -q -F -t ext4 -d tree image 8M",
		"mke2fs -q -F -t ext4 -b 1024 -O inline_data -I 256 -d tree image 8M",
		"mke2fs -q -F -t ext3 -b 2048 -d tree image 8M",
		"mke2fs -q -F -t ext2 -b 1024 -O ^filetype -d tree image 8M",
	};

	for (size_t i = 0; i < ARRAY_SIZE(makes); i++) {
		CLEANUP_BUF struct buf image = BUF_INIT(0);
		struct bytesdev m;
		struct reader *r;

		make(*state, makes[i], &image);
		r = open_reader(&m, &image);
		check_files(r);
		check_links(r);
		reader_close(r);
	}
}

static void need_vfat(void)
{
	if (system("PATH=$PATH:/usr/sbin; command -v mkfs.fat mcopy >/dev/null") == 0)
		return;
	print_message("skipped: needs dosfstools and mtools\n");
	skip();
}

/* FAT has no links: the tree goes in before they are made. */
static const char *const vfat_makes[] = {
	"find tree -type l -delete; truncate -s 8M image; mkfs.fat -F 12 -s 8 image && mcopy -s -i image tree/* ::/",
	"find tree -type l -delete; truncate -s 16M image; mkfs.fat -F 16 -s 1 image && mcopy -s -i image tree/* ::/",
	"find tree -type l -delete; truncate -s 40M image; mkfs.fat -F 32 -s 1 image && mcopy -s -i image tree/* ::/",
};

static void test_vfat(void **state)
{
	need_vfat();
	for (size_t i = 0; i < ARRAY_SIZE(vfat_makes); i++) {
		CLEANUP_BUF struct buf image = BUF_INIT(0);
		struct bytesdev m;
		struct reader *r;

		make(*state, vfat_makes[i], &image);
		r = open_reader(&m, &image);
		check_files(r);
		/* Case does not matter, and the short alias leads there as well. */
		assert_content(r, "/USR/Lib/OS-Release", 0, 100, "ID=test\n");
		assert_content(r, "/usr/lib/OS-REL~1", 0, 100, "ID=test\n");
		reader_close(r);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Bytes in the parts that say where things are, so that most of the damage matters. */
static void damage(uint8_t *data, size_t len, uint32_t *seed)
{
	unsigned nr = 1 + next_random(seed) % 40;

	while (nr--) {
		size_t reach = next_random(seed) % 3 ? MIN(len, 64 << 10) : len;

		data[next_random(seed) % reach] = next_random(seed) % 4 ? (uint8_t)next_random(seed) : 0xff;
	}
}

static int look(void *arg, const char *name, struct error *err)
{
	struct reader *r = arg;
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP_FREE char *path = buf_strf(err, "/%s", name);

	return path ? r->ops->read(r, path, 0, 64 << 10, &out, err) : -1;
}

static void assert_failure(const struct error *err)
{
	assert_true(err->kind == ERROR_INPUT && err->text[0]);
}

/* Every reading is limited, whatever is claimed. */
static void try_damaged(const struct buf *image, size_t len, const char *type)
{
	static const char *const paths[] = {"/etc/os-release", "/long", "/many/a-rather-long-name-of-a-file-7",
		"/big"};
	struct error err = ERROR_INIT;
	struct bytesdev m;
	struct reader *r;

	bytesdev_init(&m, image->data, len);
	if (reader_open(&m.dev, type, &r, &err) < 0) {
		assert_failure(&err);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		CLEANUP_BUF struct buf out = BUF_INIT(0);

		if (r->ops->read(r, paths[i], 0, 64 << 10, &out, &err) < 0)
			assert_failure(&err);
	}
	if (r->ops->list(r, "/", look, r, &err) < 0)
		assert_failure(&err);
	reader_close(r);
	assert_true(m.reads < 3000000);
}

static void try_thousand(void **state, const char *command, const char *type)
{
	CLEANUP_BUF struct buf image = BUF_INIT(0), copy = BUF_INIT(0);
	struct error err = ERROR_INIT;
	uint32_t seed = 1;

	make(*state, command, &image);
	for (unsigned i = 0; i < DAMAGED; i++) {
		size_t len = i % 5 ? image.len : next_random(&seed) % image.len;

		buf_clear(&copy);
		assert_int_equal(buf_add(&copy, image.data, image.len, &err), 0);
		damage((uint8_t *)copy.data, copy.len, &seed);
		try_damaged(&copy, len, type);
	}
}

static void test_damaged_ext(void **state)
{
	try_thousand(state, "mke2fs -q -F -t ext4 -b 1024 -O ^metadata_csum,^has_journal,inline_data -I 256 "
		"-N 400 -d tree image 2M", "ext4");
	try_thousand(state, "mke2fs -q -F -t ext2 -b 1024 -N 400 -d tree image 2M", "ext4");
}

/* A superblock whose first data block is 53 made libext2fs write beyond its bitmap. */
static void test_wrong_first_block(void **state)
{
	CLEANUP_BUF struct buf image = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct probe probe;
	struct bytesdev m;
	struct reader *r;

	make(*state, "mke2fs -q -F -t ext4 -b 1024 -O ^metadata_csum -N 400 -d tree image 2M", &image);
	num_put_le32(image.data + 1024 + 20, 53);
	bytesdev_init(&m, image.data, image.len);
	assert_int_equal(probe_dev(&m.dev, &probe, &err), 0);
	assert_string_equal(probe.type, "ext4");
	assert_false(probe.usage_known);
	assert_int_equal(reader_open(&m.dev, "ext4", &r, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "superblock"));
}

static void test_damaged_vfat(void **state)
{
	need_vfat();
	try_thousand(state, "rm tree/holes; find tree -type l -delete; truncate -s 2M image; "
		"mkfs.fat -F 12 -s 1 image && mcopy -s -i image tree/* ::/", "vfat");
}

static int setup(void **state)
{
	*state = tmpdir_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	tmpdir_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ext, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vfat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_ext, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_first_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_vfat, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
