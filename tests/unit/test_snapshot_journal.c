/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: what is read back is what was written, whatever became of the file's end. */
#include "uploader/snapshot_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/lib/tmpdir.h"

static char *dir;
static char path[4200];

static int setup(void **state)
{
	(void)state;
	dir = tmpdir_new();
	snprintf(path, sizeof(path), "%s/journal", dir);
	return dir ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	tmpdir_free(dir);
	return 0;
}

static struct json *head(const char *token, const char *source, const char *parent)
{
	struct error err = ERROR_INIT;
	struct json *h = json_new_object(&err);

	assert_non_null(h);
	assert_int_equal(json_set_str(h, "token", token, &err), 0);
	assert_int_equal(json_set_str(h, "source", source, &err), 0);
	assert_int_equal(json_set_str(h, "parent", parent, &err), 0);
	return h;
}

static struct snapshot_journal *try_open(const char *source, const char *parent, struct error *err)
{
	struct json *h = head("token-1", source, parent);
	struct snapshot_journal *j = snapshot_journal_open(path, h, err);

	json_free(h);
	return j;
}

static struct snapshot_journal *open_it(void)
{
	struct error err = ERROR_INIT;
	struct snapshot_journal *j = try_open("s", NULL, &err);

	if (!j)
		fail_msg("%s", err.text);
	return j;
}

static const uint8_t *digest_of(uint8_t byte)
{
	static uint8_t digest[SHA256_SIZE];

	memset(digest, byte, sizeof(digest));
	return digest;
}

static void put(struct snapshot_journal *j, uint64_t index, uint8_t byte)
{
	struct error err = ERROR_INIT;

	assert_int_equal(snapshot_journal_sending(j, index, &err), 0);
	if (byte)
		assert_int_equal(snapshot_journal_sent(j, index, digest_of(byte), &err), 0);
}

static uint8_t got(const struct snapshot_table *t, uint64_t index)
{
	struct error err = ERROR_INIT;
	uint8_t digest[SHA256_SIZE];

	assert_int_equal(snapshot_table_get(t, index, digest, &err), 0);
	return digest[5];
}

static struct snapshot_table *load(struct snapshot_journal *j)
{
	struct error err = ERROR_INIT;
	struct snapshot_table *t = snapshot_table_new(2048, NULL, &err);

	assert_non_null(t);
	if (snapshot_journal_load(j, t, &err) < 0)
		fail_msg("%s", err.text);
	return t;
}

static void write_some(void)
{
	struct snapshot_journal *j = open_it();
	struct error err = ERROR_INIT;

	assert_string_equal(snapshot_journal_state(j)->snapshot, "");
	assert_int_equal(snapshot_journal_started(j, "snap-0123", "123456789012", 77, &err), 0);
	put(j, 3, 0x33);
	put(j, 1, 0x11);
	put(j, 2047, 0);
	put(j, 1, 0x12);
	put(j, 3, 0);
	snapshot_journal_close(j);
}

static void test_back(void **state)
{
	struct snapshot_journal *j;
	struct snapshot_table *t;
	const struct snapshot_journal_state *st;
	struct error err = ERROR_INIT;

	(void)state;
	write_some();
	j = open_it();
	st = snapshot_journal_state(j);
	assert_string_equal(st->snapshot, "snap-0123");
	assert_string_equal(st->owner, "123456789012");
	assert_int_equal(st->start_s, 77);
	assert_int_equal(st->done, 3);
	assert_false(st->completing || st->ended || st->source_changed);
	t = load(j);
	assert_int_equal(snapshot_table_count(t), 3);
	assert_int_equal(got(t, 1), 0x12);
	assert_int_equal(got(t, 3), 0); /* sent once more: nobody knows what is there */
	assert_true(snapshot_table_has(t, 2047));
	snapshot_table_free(t);
	assert_int_equal(snapshot_journal_completing(j, 9, digest_of(9), &err), 0);
	snapshot_journal_close(j);
	j = open_it();
	assert_true(snapshot_journal_state(j)->completing);
	assert_int_equal(snapshot_journal_state(j)->count, 9);
	assert_memory_equal(snapshot_journal_state(j)->aggregate, digest_of(9), SHA256_SIZE);
	put(j, 4, 4);
	snapshot_journal_close(j);
	/* Something was sent after all. */
	j = open_it();
	assert_false(snapshot_journal_state(j)->completing);
	assert_int_equal(snapshot_journal_remove(j, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* Cut at every byte: what is whole is taken, the rest is gone, and writing goes on behind it. */
static void test_torn(void **state)
{
	char *bytes;
	struct stat st;
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf file = BUF_INIT(0);
	uint64_t before = 0;

	(void)state;
	write_some();
	assert_int_equal(file_read(path, &file, &err), 0);
	bytes = file.data;
	for (size_t len = 0; len <= file.len; len++) {
		struct snapshot_journal *j;
		struct snapshot_table *t;

		assert_int_equal(file_write_atomic(path, bytes, len, 0600, false, &err), 0);
		j = open_it();
		assert_true(snapshot_journal_state(j)->done >= before);
		before = snapshot_journal_state(j)->done;
		put(j, 100, 0x64);
		snapshot_journal_close(j);
		j = open_it();
		t = load(j);
		assert_int_equal(got(t, 100), 0x64);
		assert_int_equal(snapshot_journal_state(j)->done, before + 1);
		snapshot_table_free(t);
		assert_int_equal(snapshot_journal_remove(j, &err), 0);
	}
	assert_int_equal(before, 3);
	assert_int_equal(stat(path, &st), -1);
}

/* Changes the byte that lies so far behind the text, and writes the file anew. */
static void spoil(struct buf *file, const char *text, size_t behind, char c)
{
	char *at = strstr(buf_str(file), text);
	struct error err = ERROR_INIT;

	assert_non_null(at);
	at[behind] = c;
	assert_int_equal(file_write_atomic(path, file->data, file->len, 0600, false, &err), 0);
}

/* What is lost in the middle is told, at each opening, and what comes behind it is read. */
static void test_damage(void **state)
{
	static const char spoilers[] = {'!', '\n', '\0'};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(spoilers); i++) {
		CLEANUP_BUF struct buf file = BUF_INIT(0);

		write_some();
		assert_int_equal(file_read(path, &file, &err), 0);
		spoil(&file, "D 1 ", 6, spoilers[i]);
		for (int n = 0; n < 2; n++) {
			struct snapshot_journal *j = open_it();

			assert_true(snapshot_journal_state(j)->damaged);
			assert_int_equal(snapshot_journal_state(j)->done, 2);
			assert_string_equal(snapshot_journal_state(j)->snapshot, "snap-0123");
			if (n)
				assert_int_equal(snapshot_journal_remove(j, &err), 0);
			else
				snapshot_journal_close(j);
		}
	}
}

/* More than a line can be, without a newline. */
static void test_damage_overlong(void **state)
{
	static const char zeros[300000];
	CLEANUP_BUF struct buf file = BUF_INIT(0), bad = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct snapshot_journal *j;
	size_t cut;

	(void)state;
	write_some();
	assert_int_equal(file_read(path, &file, &err), 0);
	cut = (size_t)(strstr(buf_str(&file), "D 1 ") - file.data);
	assert_int_equal(buf_add(&bad, file.data, cut, &err), 0);
	assert_int_equal(buf_add(&bad, zeros, sizeof(zeros), &err), 0);
	/* As a tail it is torn: of a machine that died. */
	assert_int_equal(file_write_atomic(path, bad.data, bad.len, 0600, false, &err), 0);
	j = open_it();
	assert_false(snapshot_journal_state(j)->damaged);
	assert_int_equal(snapshot_journal_state(j)->done, 1);
	snapshot_journal_close(j);
	assert_int_equal(buf_add(&bad, file.data + cut, file.len - cut, &err), 0);
	assert_int_equal(file_write_atomic(path, bad.data, bad.len, 0600, false, &err), 0);
	j = open_it();
	assert_true(snapshot_journal_state(j)->damaged);
	assert_int_equal(snapshot_journal_state(j)->done, 2);
	assert_int_equal(snapshot_journal_remove(j, &err), 0);
}

/* Count and aggregate are whole in one record: they hold if nothing is lost behind it. */
static void test_damage_and_completing(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	for (int behind = 0; behind < 2; behind++) {
		CLEANUP_BUF struct buf file = BUF_INIT(0);
		struct snapshot_journal *j;

		write_some();
		j = open_it();
		assert_int_equal(snapshot_journal_completing(j, 9, digest_of(9), &err), 0);
		if (behind) {
			put(j, 500, 0x50);
			put(j, 501, 0x51);
		}
		snapshot_journal_close(j);
		assert_int_equal(file_read(path, &file, &err), 0);
		spoil(&file, behind ? "S 500" : "D 1 ", 2, '!');
		j = open_it();
		assert_true(snapshot_journal_state(j)->damaged);
		assert_int_equal(snapshot_journal_state(j)->completing, !behind);
		assert_int_equal(snapshot_journal_remove(j, &err), 0);
	}
}

/* Without the head or the snapshot's id there is no going on; the file stays, and the cure is told. */
static void test_damage_at_the_beginning(void **state)
{
	static const char *const lost[] = {"amiwright-upload", "\"token\"", "N snap-"};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
		CLEANUP_BUF struct buf file = BUF_INIT(0), after = BUF_INIT(0);

		write_some();
		assert_int_equal(file_read(path, &file, &err), 0);
		spoil(&file, lost[i], 3, '!');
		for (int any = 0; any < 2; any++) {
			error_clear(&err);
			assert_null(any ? snapshot_journal_open_any(path, &err) : try_open("s", NULL, &err));
			assert_int_equal(err.kind, ERROR_INPUT);
			assert_non_null(strstr(err.text, "damaged"));
			assert_non_null(strstr(err.text, "move it away"));
			assert_non_null(strstr(err.text, "--cleanup IMAGE"));
		}
		assert_int_equal(file_read(path, &after, &err), 0);
		assert_int_equal(after.len, file.len);
		assert_memory_equal(after.data, file.data, file.len);
		unlink(path);
	}
}

static void test_locked(void **state)
{
	struct snapshot_journal *j = open_it();
	struct error err = ERROR_INIT;

	(void)state;
	assert_null(try_open("s", NULL, &err));
	assert_int_equal(err.kind, ERROR_POLICY);
	assert_non_null(strstr(err.text, "another process is uploading"));
	assert_int_equal(snapshot_journal_remove(j, &err), 0);
}

static void test_other_heads(void **state)
{
	struct error err = ERROR_INIT;
	struct snapshot_journal *j = open_it();

	(void)state;
	snapshot_journal_close(j);
	assert_null(try_open("s", "snap-1", &err));
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "its parent is not set, now it is \"snap-1\""));
	j = try_open("another source", NULL, &err);
	assert_non_null(j);
	assert_true(snapshot_journal_state(j)->source_changed);
	assert_string_equal(snapshot_journal_state(j)->token, "token-1");
	assert_int_equal(snapshot_journal_remove(j, &err), 0);
}

/* A file of somebody else is left as it is. */
static void test_not_a_journal(void **state)
{
	static const char text[] = "precious\n";
	CLEANUP_BUF struct buf file = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, false, &err), 0);
	assert_null(try_open("s", NULL, &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(file_read(path, &file, &err), 0);
	assert_string_equal(buf_str(&file), text);
	assert_null(snapshot_journal_open_any(path, &err));
	unlink(path);
	assert_null(snapshot_journal_open_any(path, &err));
	assert_int_equal(err.kind, ERROR_IO);
}

static void test_reset(void **state)
{
	struct error err = ERROR_INIT;
	struct snapshot_journal *j;
	struct json *h = head("token-2", "s", NULL);

	(void)state;
	write_some();
	j = open_it();
	assert_int_equal(snapshot_journal_reset(j, h, &err), 0);
	json_free(h);
	assert_string_equal(snapshot_journal_state(j)->snapshot, "");
	snapshot_journal_close(j);
	j = open_it();
	assert_string_equal(snapshot_journal_state(j)->token, "token-2");
	assert_int_equal(snapshot_journal_state(j)->done, 0);
	assert_int_equal(snapshot_journal_remove(j, &err), 0);
}

/* All tags that EC2 allows, at their longest, come back. */
static void test_longest_head(void **state)
{
	struct error err = ERROR_INIT;
	struct json *tags = json_new_object(&err), *h = head("token-1", "s", NULL);
	char key[129], value[256 * 4 + 1];
	struct snapshot_journal *j;

	(void)state;
	assert_non_null(tags);
	for (size_t i = 0; i < 256; i++)
		memcpy(value + 4 * i, "\xf0\x9f\x98\x80", 4);
	value[256 * 4] = '\0';
	for (int i = 0; i < 50; i++) {
		memset(key, '\x1f', sizeof(key) - 1);
		snprintf(key + sizeof(key) - 3, 3, "%02d", i);
		assert_int_equal(json_set_str(tags, key, value, &err), 0);
	}
	assert_int_equal(json_set(h, "tags", tags, &err), 0);
	for (int i = 0; i < 2; i++) {
		j = snapshot_journal_open(path, h, &err);
		if (!j)
			fail_msg("%s", err.text);
		assert_int_equal(snapshot_journal_state(j)->made, i == 0);
		if (i == 0)
			snapshot_journal_close(j);
	}
	json_free(h);
	assert_int_equal(snapshot_journal_remove(j, &err), 0);
}

/* A full disk: told once, and nothing stays. */
static void test_no_space(void **state)
{
	struct rlimit before, none;
	struct error err = ERROR_INIT;
	struct snapshot_journal *j;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = before;
	none.rlim_cur = 5;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	j = try_open("s", NULL, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_null(j);
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(err.errnum, EFBIG);
	assert_non_null(strstr(err.text, path));
	assert_null(strstr(strstr(err.text, path) + 1, path));
	assert_int_equal(access(path, F_OK), -1);
}

static void test_not_a_file(void **state)
{
	struct error err = ERROR_INIT;
	struct json *h = head("token-1", "s", NULL);

	(void)state;
	assert_null(snapshot_journal_open("/dev/null", h, &err));
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "'/dev/null' is not a regular file"));
	json_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_damage_overlong),
		cmocka_unit_test(test_damage_and_completing),
		cmocka_unit_test(test_damage_at_the_beginning),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_other_heads),
		cmocka_unit_test(test_not_a_journal),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_longest_head),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_not_a_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
