/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar archives into a tree. Archives come from a small writer here, which can also write what no
 * archiver would, and from GNU tar with its compressors.
 */
#include "fs/tree_tar.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "tests/lib/tarmaker.h"
#include "tests/lib/treedump.h"

static char dir[256];

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/amiwright-tar-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int shell(const char *command)
{
	char line[2000];

	snprintf(line, sizeof(line), "cd '%s' && %s", dir, command);
	return system(line);
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
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct tree *new_tree(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(dir, &err);

	assert_non_null(t);
	return t;
}

static void write_file(const char *name, const struct buf *b)
{
	struct error err = ERROR_INIT;

	assert_int_equal(file_write_atomic(in_dir(name), b->data, b->len, 0600, false, &err), 0);
}

/* Both ways of reading must agree: by reference from a file (and its outcome), and from memory. */
static int load(struct tree *t, struct buf *b, const struct tree_tar_opts *opts, struct error *err)
{
	struct tree *other = new_tree();
	struct error other_err = ERROR_INIT;
	int r, other_r;

	write_file("x.tar", b);
	r = tree_tar_add(t, in_dir("x.tar"), opts, err);
	other_r = tree_tar_add_mem(other, b->data, b->len, "x.tar", opts, &other_err);
	assert_int_equal(r, other_r);
	if (r == 0)
		assert_int_equal(tree_nr_nodes(t), tree_nr_nodes(other));
	tree_free(other);
	buf_release(b);
	return r;
}

static tree_node find(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node = TREE_NONE;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	return node;
}

static struct tree_attr attr_of(const struct tree *t, const char *path)
{
	struct tree_attr attr;
	tree_node node = find(t, path);

	if (node == TREE_NONE)
		fail_msg("no '%s' in the tree", path);
	tree_get(t, node, &attr);
	return attr;
}

static void assert_content(struct tree *t, const char *path, const char *want)
{
	struct error err = ERROR_INIT;
	char got[200] = "";
	struct tree_attr attr = attr_of(t, path);

	assert_true(S_ISREG(attr.mode) && attr.size == strlen(want));
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	if (tree_pread(t, find(t, path), got, attr.size, 0, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got, want);
}

static void assert_refused(struct buf *b, const char *what, const char *entry)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	assert_int_equal(load(t, b, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, what) || !strstr(err.text, entry) || !strstr(err.text, "x.tar"))
		fail_msg("'%s' does not say '%s' of '%s'", err.text, what, entry);
	tree_free(t);
}

static void test_kinds_and_attributes(void **state)
{
	struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	struct tree_attr a;

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./", .type = '5', .mode = 0751, .mtime = 11, .uid = 3});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./dir/", .type = '5', .mode = 01777, .mtime = 22});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./dir/file", .mode = 04755, .mtime = 33, .uid = 1000,
		.content = "hello"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./null", .type = '3', .mode = 0666});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./disk", .type = '4', .mode = 0660});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./pipe", .type = '6'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./sym", .type = '2',
		.link = "/dir/../dir/file", .mode = 0777});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./old", .mtime = -86400});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./many", .uid = 4000000000});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, NULL, &err), 0);
	a = attr_of(t, "/");
	assert_true(a.mode == (S_IFDIR | 0751) && a.mtime == 11 && a.uid == 3 && a.gid == 3);
	a = attr_of(t, "dir");
	assert_true(a.mode == (S_IFDIR | 01777) && a.mtime == 22);
	a = attr_of(t, "dir/file");
	assert_true(a.mode == (S_IFREG | 04755) && a.mtime == 33 && a.uid == 1000 && a.gid == 1000);
	assert_content(t, "dir/file", "hello");
	a = attr_of(t, "null");
	assert_true(a.mode == (S_IFCHR | 0666) && a.rdev_major == 5 && a.rdev_minor == 7);
	assert_true(S_ISBLK(attr_of(t, "disk").mode) && S_ISFIFO(attr_of(t, "pipe").mode));
	assert_string_equal(attr_of(t, "sym").target, "/dir/../dir/file");
	assert_int_equal(attr_of(t, "old").mtime, -86400);
	assert_true(attr_of(t, "many").uid == 4000000000);
	tree_free(t);
}

static void test_options(void **state)
{
	static const struct tree_tar_opts opts = {.root_owner = true, .no_devices = true};
	struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "null", .type = '3'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "file", .uid = 77});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, &opts, &err), 0);
	assert_int_equal(find(t, "null"), TREE_NONE);
	assert_int_equal(attr_of(t, "file").uid, 0);
	tree_free(t);
}

static void test_names_are_made_safe(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "/etc//./passwd", .content = "root"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "etc/x/../shadow", .content = "star"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib", .type = '2', .link = "../../usr/lib"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "usr/lib/", .type = '5'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib/libc.so", .content = "elf"});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, NULL, &err), 0);
	assert_content(t, "etc/passwd", "root");
	assert_content(t, "etc/shadow", "star");
	assert_content(t, "usr/lib/libc.so", "elf");
	assert_true(S_ISLNK(attr_of(t, "lib").mode));
	tree_free(t);
}

static void test_names_that_leave_are_refused(void **state)
{
	static const char *const names[] = {"../../etc/passwd", "/..", "a/../../b", "./../x"};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		buf_init(&b, 0);
		tarmaker_add(&b, (struct tarmaker_entry){.name = names[i], .content = "evil"});
		tarmaker_end(&b);
		assert_refused(&b, "would leave the tree", names[i]);
	}
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "ok", .type = '1', .link = "../../etc/shadow"});
	tarmaker_end(&b);
	assert_refused(&b, "would leave the tree", "../../etc/shadow");
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = ".", .content = "root is a file"});
	tarmaker_end(&b);
	assert_refused(&b, "root", ".");
}

static void test_bytes_in_names(void **state)
{
	/* Composed, decomposed, invalid UTF-8, Latin-1; in ustar headers and in pax ones. */
	static const char *const names[] = {"\xc3\xa4", "a\xcc\x88", "\xff\xfe", "f\xfcr", "\xe2\x82\xac"};
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	char path[40];

	(void)state;
	buf_init(&b, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "ustar/%s", names[i]);
		tarmaker_add(&b, (struct tarmaker_entry){.name = path, .content = names[i]});
		snprintf(path, sizeof(path), "pax/%s", names[i]);
		tarmaker_pax(&b, "path", path, strlen(path));
		tarmaker_add(&b, (struct tarmaker_entry){.name = "cut", .content = names[i]});
		snprintf(path, sizeof(path), "target/%s", names[i]);
		tarmaker_pax(&b, "linkpath", path, strlen(path));
		snprintf(path, sizeof(path), "link%zu", i);
		tarmaker_add(&b, (struct tarmaker_entry){.name = path, .type = '2', .link = "cut"});
		snprintf(path, sizeof(path), "pax/%s", names[i]);
		tarmaker_pax(&b, "linkpath", path, strlen(path));
		snprintf(path, sizeof(path), "hard%zu", i);
		tarmaker_add(&b, (struct tarmaker_entry){.name = path, .type = '1', .link = "cut"});
	}
	tarmaker_end(&b);
	if (load(t, &b, NULL, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "ustar/%s", names[i]);
		assert_content(t, path, names[i]);
		snprintf(path, sizeof(path), "pax/%s", names[i]);
		assert_content(t, path, names[i]);
		snprintf(path, sizeof(path), "link%zu", i);
		assert_string_equal(attr_of(t, path).target + 7, names[i]);
		snprintf(path, sizeof(path), "hard%zu", i);
		assert_content(t, path, names[i]);
	}
	tree_free(t);
}

static void test_long_names(void **state)
{
	char name[300], path[500], deep[5000];
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	snprintf(path, sizeof(path), "%.100s/%s", name, name);
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "././@LongLink", .type = 'L', .size = strlen(path) + 1});
	tarmaker_put(&b, path, strlen(path) + 1);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "cut", .content = "gnu"});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, NULL, &err), 0);
	assert_content(t, path, "gnu");
	tree_free(t);
	name[255] = 'n';
	name[256] = '\0';
	buf_init(&b, 0);
	tarmaker_pax(&b, "path", name, 256);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "cut"});
	tarmaker_end(&b);
	assert_refused(&b, "over 255", "nnn");

	for (size_t i = 0; i < sizeof(deep) - 1; i++)
		deep[i] = i % 100 == 99 ? '/' : 'd';
	deep[sizeof(deep) - 1] = '\0';
	buf_init(&b, 0);
	tarmaker_pax(&b, "path", deep, sizeof(deep) - 1);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "cut"});
	tarmaker_end(&b);
	assert_refused(&b, "over 4095", "ddd");
}

static void test_last_wins(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "a", .content = "first"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "b", .type = '1', .link = "a"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "a", .content = "second"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "d/e/f", .content = "below"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "d/e", .content = "a file now"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "g", .content = "file"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "g/", .type = '5'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "g/h", .content = "in it"});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, NULL, &err), 0);
	assert_content(t, "a", "second");
	assert_content(t, "b", "first");
	assert_content(t, "d/e", "a file now");
	assert_content(t, "g/h", "in it");
	tree_free(t);
}

static void test_hard_links(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "x/early", .type = '1', .link = "./x/mid"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "x/mid", .type = '1', .link = "/x/file"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "won", .type = '1', .link = "x/file"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "won", .content = "the later entry"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "x/file", .content = "content"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "late", .type = '1', .link = "x/file"});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, NULL, &err), 0);
	assert_content(t, "x/early", "content");
	assert_content(t, "late", "content");
	assert_content(t, "won", "the later entry");
	assert_int_equal(attr_of(t, "x/mid").nlink, 4);
	assert_int_equal(attr_of(t, "x/early").inode, attr_of(t, "late").inode);
	tree_free(t);
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "here", .type = '1', .link = "nowhere"});
	tarmaker_end(&b);
	assert_refused(&b, "'nowhere', which is not in the archive", "here");
}

static void test_hard_links_with_data(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "file", .content = "content"});
	tarmaker_pax(&b, "comment", "pax", 3);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "link", .type = '1', .link = "file", .content = "content"});
	tarmaker_pax(&b, "comment", "pax", 3);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "first", .type = '1', .link = "gone", .content = "own"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "after", .content = "still in step"});
	tarmaker_end(&b);
	assert_int_equal(load(t, &b, NULL, &err), 0);
	assert_content(t, "link", "content");
	assert_content(t, "first", "own");
	assert_content(t, "after", "still in step");
	assert_int_equal(attr_of(t, "file").nlink, 2);
	tree_free(t);
}

static void test_pax_attributes(void **state)
{
	static const uint8_t cap[20] = {1, 0, 0, 2, 0, 4, 0, 0};
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xf6, 1, 0, 0,
		2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 5, 0, 255, 255, 255,
		255, 32, 0, 0, 0, 255, 255, 255, 255};
	static const char text[] = "user::rw-,user:joe:r--:1000,user:lisa:rwx:502,group::r--,mask::r-x,other::---";
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	const char *name;
	const void *value;
	size_t len;

	(void)state;
	buf_init(&b, 0);
	tarmaker_pax(&b, "SCHILY.xattr.security.capability", cap, sizeof(cap));
	tarmaker_add(&b, (struct tarmaker_entry){.name = "ping", .mode = 0755, .content = "elf"});
	tarmaker_pax(&b, "LIBARCHIVE.xattr.user.a%20b", "aGVsbG8", 7);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "base64"});
	tarmaker_pax(&b, "SCHILY.acl.access", text, strlen(text));
	tarmaker_add(&b, (struct tarmaker_entry){.name = "acl", .mode = 0650});
	tarmaker_pax(&b, "mtime", "1700000000.123456789", 20);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "ns"});
	tarmaker_pax(&b, "mtime", "-1.25", 5);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "negative"});
	tarmaker_pax(&b, "uid", "4000000000", 10);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "uid"});
	tarmaker_end(&b);
	if (load(t, &b, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(tree_xattr(t, find(t, "ping"), 0, &name, &value, &len));
	assert_string_equal(name, "security.capability");
	assert_int_equal(len, sizeof(cap));
	assert_memory_equal(value, cap, len);
	assert_true(tree_xattr(t, find(t, "base64"), 0, &name, &value, &len));
	assert_string_equal(name, "user.a b");
	assert_int_equal(len, 5);
	assert_memory_equal(value, "hello", 5);
	assert_true(tree_xattr(t, find(t, "acl"), 0, &name, &value, &len));
	assert_string_equal(name, "system.posix_acl_access");
	assert_int_equal(len, sizeof(acl));
	assert_memory_equal(value, acl, len);
	assert_int_equal(attr_of(t, "acl").mode, S_IFREG | 0650);
	assert_int_equal(attr_of(t, "ns").mtime, 1700000000);
	assert_int_equal(attr_of(t, "ns").mtime_ns, 123456789);
	assert_int_equal(attr_of(t, "negative").mtime, -2);
	assert_int_equal(attr_of(t, "negative").mtime_ns, 750000000);
	assert_true(attr_of(t, "uid").uid == 4000000000);
	tree_free(t);
	buf_init(&b, 0);
	tarmaker_pax(&b, "SCHILY.acl.default", "user::rwx,user:lisa:rwx,group::r--,mask::rwx,other::---", 55);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "d/", .type = '5'});
	tarmaker_end(&b);
	assert_refused(&b, "names 'lisa' without its number", "d/");
}

static void test_damage_is_found(void **state)
{
	struct buf b, cut;
	struct error err = ERROR_INIT;
	struct tree *t;

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "one", .content = "1"});
	tarmaker_pax(&b, "path", "deux", 4);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "two", .content = "2"});
	tarmaker_end(&b);
	/* Wherever it is cut before the mark of the end, it is an error. */
	for (size_t len = 0; len < b.len - 1024; len += 256) {
		buf_init(&cut, 0);
		assert_int_equal(buf_add(&cut, b.data, len, &err), 0);
		t = new_tree();
		if (load(t, &cut, NULL, &err) == 0)
			fail_msg("an archive that was cut at %zu was taken", len);
		assert_int_equal(err.kind, ERROR_INPUT);
		tree_free(t);
	}
	b.data[512 * 2 + 150] ^= 1;
	assert_refused(&b, "damaged in or behind", "one");
}

static void test_content_that_ends_early(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "big", .size = 9 * GIB});
	tarmaker_put(&b, "x", 1);
	assert_refused(&b, "cut off", "big");
	buf_init(&b, 0);
	assert_refused(&b, "is no tar", "x.tar");
	buf_init(&b, 0);
	tarmaker_put(&b, "this is some text", 17);
	tarmaker_put(&b, "and some more", 13);
	assert_refused(&b, "is no tar", "x.tar");
}

static void test_compressed_archives(void **state)
{
	static const char *const programs[] = {"gzip", "xz", "zstd", "bzip2", "lz4"};
	char command[400];
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(shell("mkdir -p c/d && seq 1 100000 >c/d/numbers && echo hello >c/hello && "
		"tar cf c.tar -b 2000 -C c ."), 0);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct tree *t = new_tree();

		snprintf(command, sizeof(command), "command -v %s >/dev/null", programs[i]);
		if (shell(command) != 0)
			continue;
		snprintf(command, sizeof(command), "%s -c c.tar >c.z && "
			"head -c $(($(stat -c %%s c.z) - 3)) c.z >cut.z && "
			"head -c $(($(stat -c %%s c.z) / 2)) c.z >half.z", programs[i]);
		assert_int_equal(shell(command), 0);
		if (tree_tar_add(t, in_dir("c.z"), NULL, &err) < 0)
			fail_msg("%s: %s", programs[i], err.text);
		assert_content(t, "hello", "hello\n");
		assert_int_equal(attr_of(t, "d/numbers").size, 588895);
		/*
		 * The last bytes lie behind all of the tar, and behind a megabyte of its padding.
		 */
		if (tree_tar_add(t, in_dir("cut.z"), NULL, &err) == 0 && strcmp(programs[i], "lz4") != 0)
			fail_msg("%s that lacks 3 bytes was taken", programs[i]);
		assert_int_equal(tree_tar_add(t, in_dir("half.z"), NULL, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		tree_free(t);
	}
}

static void test_pipe(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	FILE *pipe;
	char command[400];

	(void)state;
	snprintf(command, sizeof(command), "cd '%s' && mkdir -p p && echo piped >p/f && tar c -C p .",
		dir);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(tree_tar_add_fd(t, fileno(pipe), "pipe", NULL, &err), 0);
	assert_int_equal(pclose(pipe), 0);
	assert_content(t, "f", "piped\n");
	tree_free(t);
}

/* Sparse files in each of GNU tar's formats: holes stay holes, data is where it was. */
static void test_sparse_files(void **state)
{
	static const char *const formats[] = {"--format=gnu", "--format=pax --sparse-version=0.0",
		"--format=pax --sparse-version=0.1", "--format=pax --sparse-version=1.0"};
	char command[500], byte;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(shell("mkdir -p s && truncate -s 20M s/hole && truncate -s 9G s/sparse && "
		"for at in 1 40 41 300 70000; do echo here$at | "
		"dd of=s/sparse bs=64K seek=$at conv=notrunc status=none; done"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tree *t = new_tree();
		tree_node node;
		struct tree_piece piece;
		char text[8];

		snprintf(command, sizeof(command), "tar cSf s.tar %s -C s . && gzip -c1 s.tar >s.tar.gz",
			formats[i]);
		assert_int_equal(shell(command), 0);
		for (int z = 0; z < 2; z++) {
			if (tree_tar_add(t, in_dir(z ? "s.tar.gz" : "s.tar"), NULL, &err) < 0)
				fail_msg("%s: %s", formats[i], err.text);
			assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
			node = find(t, "sparse");
			assert_true(attr_of(t, "sparse").size == 9 * GIB);
			assert_int_equal(attr_of(t, "hole").size, 20 * MIB);
			assert_true(treedump_data_bytes(t, node) < MIB);
			assert_int_equal(tree_nr_pieces(t, find(t, "hole")), 0);
			tree_piece(t, node, 0, &piece);
			assert_int_equal(piece.off, 65536);
			assert_int_equal(tree_pread(t, node, text, 7, 300 * 65536, &err), 0);
			assert_memory_equal(text, "here300", 7);
			assert_int_equal(tree_pread(t, node, text, 8, UINT64_C(70000) * 65536, &err), 0);
			assert_memory_equal(text, "here7000", 8);
			assert_int_equal(tree_pread(t, node, &byte, 1, 9 * GIB - 1, &err), 0);
			assert_int_equal(byte, 0);
		}
		tree_free(t);
	}
}

/* GNU tar is the oracle for many files of all sizes: each byte is where it belongs. */
static void test_references_are_exact(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	assert_int_equal(shell("mkdir -p r && for i in 1 2 3 511 512 513 1023 1500 3000 4095 4096 4097 "
		"9000 70000 300000; do seq $i 999999 | head -c $i >r/$i; cp r/$i "
		"r/$i-$(printf %0150d $i); done; tar cf r.tar --format=pax -C r ."), 0);
	assert_int_equal(tree_tar_add(t, in_dir("r.tar"), NULL, &err), 0);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	for (tree_node n = tree_first_child(t, TREE_ROOT); n != TREE_NONE; n = tree_next_sibling(t, n)) {
		struct tree_attr attr;
		struct buf want = BUF_INIT(0);
		char path[300];
		size_t len;
		char *got;

		buf_init(&want, 0);
		tree_get(t, n, &attr);
		snprintf(path, sizeof(path), "r/%s", tree_name(t, n, &len));
		assert_int_equal(file_read(in_dir(path), &want, &err), 0);
		assert_int_equal(want.len, attr.size);
		if (tree_nr_pieces(t, n) != 1)
			fail_msg("%s of %zu bytes has %u pieces", path, want.len, tree_nr_pieces(t, n));
		got = malloc(want.len);
		assert_non_null(got);
		assert_int_equal(tree_pread(t, n, got, want.len, 0, &err), 0);
		assert_memory_equal(got, want.data, want.len);
		free(got);
		buf_release(&want);
	}
	assert_int_equal(tree_nr_nodes(t), 31);
	tree_free(t);
}

static void test_a_changed_archive_is_noticed(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	struct buf b;
	char text[5];

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "file", .content = "hello"});
	tarmaker_end(&b);
	write_file("y.tar", &b);
	buf_release(&b);
	assert_int_equal(tree_tar_add(t, in_dir("y.tar"), NULL, &err), 0);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	assert_int_equal(tree_pread(t, find(t, "file"), text, 5, 0, &err), 0);
	assert_int_equal(shell("touch y.tar"), 0);
	assert_int_equal(tree_pread(t, find(t, "file"), text, 5, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "changed while it was read"));
	tree_free(t);
}

static void test_what_cannot_be_opened(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	(void)state;
	assert_int_equal(tree_tar_add(t, in_dir("missing.tar"), NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	assert_non_null(strstr(err.text, "missing.tar"));
	assert_int_equal(tree_tar_add(t, dir, NULL, &err), -1);
	assert_non_null(strstr(err.text, "is a directory"));
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_and_attributes),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_names_are_made_safe),
		cmocka_unit_test(test_names_that_leave_are_refused),
		cmocka_unit_test(test_bytes_in_names),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_last_wins),
		cmocka_unit_test(test_hard_links),
		cmocka_unit_test(test_hard_links_with_data),
		cmocka_unit_test(test_pax_attributes),
		cmocka_unit_test(test_damage_is_found),
		cmocka_unit_test(test_content_that_ends_early),
		cmocka_unit_test(test_compressed_archives),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_sparse_files),
		cmocka_unit_test(test_references_are_exact),
		cmocka_unit_test(test_a_changed_archive_is_noticed),
		cmocka_unit_test(test_what_cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
