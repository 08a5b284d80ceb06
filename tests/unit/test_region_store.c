/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the local region below its calls: the map of blocks, tokens, forms, wildcards, XML,
 * and the folder over restarts.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/num.h"
#include "tests/lib/tmpdir.h"
#include "uploader/region/ec2_internal.h"
#include "uploader/region/keys.h"
#include "uploader/region/region.h"
#include "uploader/region/settings.h"
#include "uploader/region/token.h"

static int64_t now = 1800000000;
static uint8_t next_byte;

static int64_t fake_wall_s(void)
{
	return now;
}

static int counted_random(void *buf, size_t len)
{
	uint8_t *out = buf;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(next_byte++ * 37 + 11);
	return 0;
}

static void digest_of(uint64_t i, uint8_t digest[SHA256_SIZE])
{
	assert_int_equal(sha256(&i, sizeof(i), digest, NULL), 0);
}

static void test_blockmap_order(void **state)
{
	static const uint64_t written[] = {0, 1, 63, 64, 255, 256, 5000, 65535};
	uint8_t digest[SHA256_SIZE], want[SHA256_SIZE], got[SHA256_SIZE];
	CLEANUP_BUF struct buf all = BUF_INIT(0);
	struct blockmap m;
	uint64_t at = 0;

	(void)state;
	assert_int_equal(blockmap_init(&m, 65536, NULL), 0);
	for (size_t i = ARRAY_SIZE(written); i-- > 0;) {
		digest_of(written[i], digest);
		assert_int_equal(blockmap_put(&m, written[i], digest, NULL), 0);
	}
	assert_int_equal(m.nr_written, ARRAY_SIZE(written));
	for (size_t i = 0; i < ARRAY_SIZE(written); i++) {
		at = blockmap_next(&m, i ? at + 1 : 0);
		assert_int_equal(at, written[i]);
		digest_of(at, digest);
		assert_memory_equal(blockmap_digest(&m, at), digest, SHA256_SIZE);
		assert_int_equal(buf_add(&all, digest, SHA256_SIZE, NULL), 0);
	}
	assert_int_equal(blockmap_next(&m, at + 1), 65536);
	assert_int_equal(sha256(all.data, all.len, want, NULL), 0);
	assert_int_equal(blockmap_aggregate(&m, got, NULL), 0);
	assert_memory_equal(got, want, SHA256_SIZE);
	assert_int_equal(blockmap_put(&m, 65536, digest, NULL), -1);
	assert_null(blockmap_digest(&m, 65536));
	blockmap_release(&m);
}

static void test_blockmap_replay(void **state)
{
	uint8_t a[SHA256_SIZE], b[SHA256_SIZE], record[BLOCKMAP_RECORD_SIZE];
	CLEANUP_BUF struct buf log = BUF_INIT(0), dump = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct blockmap m;

	(void)state;
	digest_of(1, a);
	digest_of(2, b);
	static const struct {
		uint64_t index;
		bool second;
	} steps[] = {{7, false}, {3, false}, {7, true}, {9, false}, {9 | BLOCKMAP_VOID, false}};
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		blockmap_record(record, steps[i].index, steps[i].second ? b : a);
		assert_int_equal(buf_add(&log, record, sizeof(record), NULL), 0);
	}
	assert_int_equal(buf_add(&log, "torn", 4, NULL), 0);
	assert_int_equal(blockmap_init(&m, 2048, NULL), 0);
	assert_int_equal(blockmap_replay(&m, log.data, log.len, NULL), 0);
	assert_int_equal(m.nr_written, 2);
	assert_memory_equal(blockmap_digest(&m, 7), b, SHA256_SIZE);
	assert_null(blockmap_digest(&m, 9));
	assert_int_equal(blockmap_dump(&m, &dump, NULL), 0);
	assert_int_equal(dump.len, 2 * BLOCKMAP_RECORD_SIZE);
	assert_int_equal(num_get_le64(dump.data), 3);
	blockmap_record(record, 2048, a);
	assert_int_equal(blockmap_replay(&m, record, sizeof(record), &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	blockmap_release(&m);
}

static void test_tokens(void **state)
{
	uint8_t key[SHA256_SIZE] = {1}, other[SHA256_SIZE] = {2};
	char token[TOKEN_SIZE], damaged[TOKEN_SIZE];
	uint64_t value = 0;

	(void)state;
	assert_int_equal(token_make(key, "block snap-1", 77, 1000, token, NULL), 0);
	assert_int_equal(strlen(token), TOKEN_SIZE - 1);
	assert_false(token_open(key, "block snap-1", token, 1000, &value));
	assert_int_equal(value, 77);
	assert_true(token_open(key, "block snap-1", token, 1001, &value));
	assert_true(token_open(key, "block snap-2", token, 1000, &value));
	assert_true(token_open(other, "block snap-1", token, 1000, &value));
	for (size_t i = 0; i < TOKEN_SIZE - 1; i++) {
		memcpy(damaged, token, sizeof(damaged));
		damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
		assert_true(token_open(key, "block snap-1", damaged, 1000, &value));
	}
	assert_true(token_open(key, "block snap-1", "", 1000, &value));
	assert_true(token_open(key, "block snap-1", "????", 1000, &value));
}

static void test_forms(void **state)
{
	static const char text[] = "Action=X&Name=a+b%20c%C3%A9&Empty=&Alone&&L.1=x&L.2=y";
	static const char *const bad[] = {"a=%", "a=%1", "a=%zz", "a=%00"};
	struct form f = FORM_INIT;

	(void)state;
	assert_int_equal(form_parse(&f, text, strlen(text), NULL), 0);
	assert_string_equal(form_get(&f, "Action"), "X");
	assert_string_equal(form_get(&f, "Name"), "a b c\xc3\xa9");
	assert_string_equal(form_get(&f, "Empty"), "");
	assert_string_equal(form_get(&f, "Alone"), "");
	assert_string_equal(form_getf(&f, "L.%d", 2), "y");
	assert_null(form_get(&f, "name"));
	assert_true(form_has_prefix(&f, "L."));
	assert_string_equal(form_unused(&f), "L.1");
	form_release(&f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(form_parse(&f, bad[i], strlen(bad[i]), NULL), -1);
		form_release(&f);
	}
	assert_int_equal(form_parse(&f, "a\0b", 3, NULL), -1);
	form_release(&f);
}

static void test_wildcards(void **state)
{
	(void)state;
	assert_true(ec2_wildcard("*", ""));
	assert_true(ec2_wildcard("a*b?d", "axxbcd"));
	assert_true(ec2_wildcard("*a*a*", "banana"));
	assert_true(ec2_wildcard("a\\*b", "a*b"));
	assert_true(ec2_wildcard("a[b]", "a[b]"));
	assert_false(ec2_wildcard("a\\*b", "axb"));
	assert_false(ec2_wildcard("a?", "a"));
	assert_false(ec2_wildcard("abc", "abcd"));
	assert_false(ec2_wildcard("*b", "abc"));
	assert_false(ec2_wildcard("", "x"));
}

static void test_xml_escapes(void **state)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct xml x;

	(void)state;
	xml_init(&x, &out);
	xml_str(&x, "t", "a<b>&\"c\x01");
	assert_false(x.failed);
	assert_non_null(strstr(out.data, "<t>a&lt;b&gt;&amp;&quot;c\xef\xbf\xbd</t>"));
}

static struct json *snapshot_doc(void)
{
	struct json *doc = json_new_object(NULL);

	assert_non_null(doc);
	assert_int_equal(json_set_str(doc, "status", "pending", NULL), 0);
	assert_int_equal(json_set_int(doc, "size", 1, NULL), 0);
	assert_int_equal(json_set_int(doc, "start", now, NULL), 0);
	assert_int_equal(json_set_int(doc, "timeout", 10, NULL), 0);
	return doc;
}

static struct snapshot *new_snapshot(struct store *s, char id[STORE_ID_SIZE])
{
	struct snapshot *snap;

	assert_int_equal(store_new_id(s, "snap-", id, NULL), 0);
	snap = store_add_snapshot(s, id, snapshot_doc(), NULL);
	assert_non_null(snap);
	return snap;
}

static void test_timeout_cancels(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	CLEANUP(store_cleanup) struct store *s = store_open(dir, "us-east-1", counted_random, NULL);
	static uint8_t block[STORE_BLOCK_SIZE];
	uint8_t digest[SHA256_SIZE];
	char id[STORE_ID_SIZE];
	struct snapshot *snap;

	(void)state;
	assert_non_null(s);
	snap = new_snapshot(s, id);
	block[0] = 1;
	assert_int_equal(sha256(block, sizeof(block), digest, NULL), 0);
	assert_int_equal(snapshot_write_block(snap, 3, block, digest, now + 500, NULL),
		SNAPSHOT_WRITTEN);
	assert_int_equal(snapshot_settle(snap, now + 1100, 0, NULL), 0);
	assert_int_equal(snap->status, SNAPSHOT_PENDING);
	assert_int_equal(snapshot_settle(snap, now + 1101, 0, NULL), 0);
	assert_int_equal(snap->status, SNAPSHOT_ERROR);
	assert_int_equal(snapshot_write_block(snap, 4, block, digest, now, NULL), SNAPSHOT_CLOSED);
}

static void test_store_over_restart(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	CLEANUP(store_cleanup) struct store *s = store_open(dir, "us-east-1", counted_random, NULL);
	char id[STORE_ID_SIZE], gone[STORE_ID_SIZE];
	struct error err = ERROR_INIT;

	(void)state;
	assert_non_null(s);
	new_snapshot(s, id);
	assert_int_equal(store_delete_snapshot(s, new_snapshot(s, gone), NULL), 0);
	store_close(steal_ptr(&s));
	s = store_open(dir, "us-east-1", counted_random, NULL);
	assert_non_null(s);
	assert_non_null(store_find_snapshot(s, id));
	assert_null(store_find_snapshot(s, gone));
	store_close(steal_ptr(&s));
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/snapshots/%s.json", dir, id);
	assert_int_equal(file_write_atomic(path, "{}", 2, 0644, false, NULL), 0);
	s = store_open(dir, "us-east-1", counted_random, &err);
	assert_null(s);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, id));
}

/* A disk that takes nothing more: files can be read, and made, but not written. */
static void disk_is_full(bool full)
{
	static struct rlimit usual;
	struct rlimit limit;

	if (full) {
		signal(SIGXFSZ, SIG_IGN);
		assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
	}
	limit = usual;
	limit.rlim_cur = full ? 0 : usual.rlim_cur;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Whatever an answer is made of, it is what the disk has. */
static void test_full_disk_changes_nothing(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	CLEANUP(store_cleanup) struct store *s = store_open(dir, "us-east-1", counted_random, NULL);
	char id[STORE_ID_SIZE], arn[KEY_ARN_SIZE];
	struct json *doc = json_new_object(NULL);
	struct snapshot *snap;
	struct image *image;

	(void)state;
	assert_non_null(s);
	snap = new_snapshot(s, id);
	assert_int_equal(json_set_str(doc, "imageState", "available", NULL), 0);
	image = store_add_image(s, "ami-1", doc, NULL);
	assert_non_null(image);
	disk_is_full(true);
	assert_int_equal(settings_set(s, "1", SETTING_ENCRYPTION, "true", NULL), -1);
	assert_null(settings_get(s, "1", SETTING_ENCRYPTION));
	disk_is_full(false);
	assert_int_equal(settings_set(s, "1", SETTING_ENCRYPTION, "true", NULL), 0);
	disk_is_full(true);
	assert_int_equal(settings_set(s, "1", SETTING_ENCRYPTION, NULL, NULL), -1);
	assert_string_equal(settings_get(s, "1", SETTING_ENCRYPTION), "true");
	assert_int_equal(keys_create(s, "1", "d", "{}", now, arn, NULL), -1);
	assert_int_equal(json_length(json_get(s->keys, "keys")), 0);
	assert_int_equal(json_set_str(image->doc, "imageState", "deregistered", NULL), 0);
	assert_int_equal(store_save_image(s, image, NULL), -1);
	assert_string_equal(json_get_str(image->doc, "imageState", ""), "available");
	assert_int_equal(snapshot_settle(snap, now + 1101, 0, NULL), -1);
	assert_int_equal(snap->status, SNAPSHOT_PENDING);
	disk_is_full(false);
	assert_int_equal(snapshot_settle(snap, now + 1101, 0, NULL), 0);
	assert_int_equal(snap->status, SNAPSHOT_ERROR);
}

static void test_region_lock_and_endpoint(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct region_opts opts = {.wall_s = fake_wall_s, .random = counted_random};
	struct aws_creds first = {0}, second = {0};
	struct error err = ERROR_INIT;
	struct region *r, *other;
	char *endpoint = NULL;

	(void)state;
	assert_int_equal(region_endpoint_of(dir, &endpoint, NULL), 0);
	assert_null(endpoint);
	assert_int_equal(region_creds(dir, &opts, &first, NULL), 0);
	r = region_start(dir, &opts, &err);
	assert_non_null(r);
	assert_string_equal(region_name(r), "us-east-1");
	other = region_start(dir, &opts, &err);
	assert_null(other);
	assert_int_equal(err.errnum, EAGAIN);
	assert_int_equal(region_endpoint_of(dir, &endpoint, NULL), 0);
	assert_string_equal(endpoint, region_endpoint(r));
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/endpoint", dir);
	region_stop(r);
	/* A killed server leaves the file behind, but not the lock. */
	assert_int_equal(file_write_atomic(path, endpoint, strlen(endpoint), 0644, false, NULL), 0);
	free(endpoint);
	assert_int_equal(region_endpoint_of(dir, &endpoint, NULL), 0);
	assert_null(endpoint);
	assert_int_equal(region_creds(dir, &opts, &second, NULL), 0);
	assert_string_equal(first.secret_key, second.secret_key);
	opts.name = "eu-west-99";
	assert_null(region_start(dir, &opts, &err));
	assert_int_equal(err.kind, ERROR_USAGE);
	aws_creds_release(&first);
	aws_creds_release(&second);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blockmap_order),
		cmocka_unit_test(test_blockmap_replay),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_wildcards),
		cmocka_unit_test(test_xml_escapes),
		cmocka_unit_test(test_timeout_cancels),
		cmocka_unit_test(test_store_over_restart),
		cmocka_unit_test(test_full_disk_changes_nothing),
		cmocka_unit_test(test_region_lock_and_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
