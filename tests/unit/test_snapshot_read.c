/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading snapshots from a server that pages, whose tokens expire, and that lies.
 */
#include "uploader/snapshot_read.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"

#define SNAP "snap-0123456789abcdef0"

enum { PAGE = 12 };

/* A snapshot of nr blocks at the indices 0, 3, 6 …; block i is filled with byte i. */
struct fixture {
	struct httpd *server;
	struct test_clock clock;
	struct aws *aws;
	pthread_mutex_t lock;
	unsigned nr, lists, gets;
	unsigned epoch;          /* tokens of an earlier one are refused */
	unsigned expire_at_get, expire_at_list; /* the number of the call at which it moves on */
	unsigned damage;         /* so many answers for block 6 are damaged */
	unsigned circle;         /* the next page's token is one of so many */
	bool repeat, stuck, empty, outside, forget;
	bool fickle;             /* every token is refused */
};

static int query(const char *line, const char *key, char *out, size_t size)
{
	const char *at = strstr(line, key);

	if (!at)
		return -1;
	at += strlen(key);
	snprintf(out, size, "%.*s", (int)strcspn(at, "& "), at);
	return 0;
}

static size_t refuse(char *reply, size_t size, const char *reason)
{
	char body[200];

	snprintf(body, sizeof(body), "{\"Message\":\"no\",\"Reason\":\"%s\"}", reason);
	return httpd_answer(reply, size, "400 Bad Request",
		"x-amzn-ErrorType: ValidationException\r\n", body);
}

static size_t answer_list(struct fixture *f, const char *line, char *reply, size_t size)
{
	char text[64], body[4000];
	unsigned epoch, from = 0, next;
	size_t len;

	if (++f->lists == f->expire_at_list)
		f->epoch++;
	if (query(line, "pageToken=", text, sizeof(text)) == 0) {
		if (sscanf(text, "p%u-%u", &epoch, &from) != 2 || epoch != f->epoch || f->fickle)
			return refuse(reply, size, "INVALID_PAGE_TOKEN");
	} else if (query(line, "startingBlockIndex=", text, sizeof(text)) == 0) {
		from = ((unsigned)atoi(text) + 2) / 3;
	}
	next = f->stuck ? PAGE : from + PAGE;
	if (f->circle)
		next %= f->circle * PAGE;
	if (f->repeat)
		from = 0;
	len = (size_t)snprintf(body, sizeof(body), "{\"VolumeSize\":1,\"BlockSize\":524288,\"Blocks\":[");
	for (unsigned i = from; i < f->nr && i < from + PAGE && !f->empty; i++) {
		if (f->forget && f->epoch > 0 && i == 2)
			continue;
		len += (size_t)snprintf(body + len, sizeof(body) - len,
			"%s{\"BlockIndex\":%u,\"BlockToken\":\"b%u-%u\"}", body[len - 1] == '[' ? "" : ",",
			f->outside && i == 2 ? 2048 : i * 3, f->epoch, i * 3);
	}
	len += (size_t)snprintf(body + len, sizeof(body) - len, "]");
	if (from + PAGE < f->nr || f->empty)
		len += (size_t)snprintf(body + len, sizeof(body) - len, ",\"NextToken\":\"p%u-%u\"",
			f->epoch, next);
	snprintf(body + len, sizeof(body) - len, "}");
	return httpd_answer(reply, size, "200 OK", "", body);
}

static size_t answer_get(struct fixture *f, const char *line, char *reply, size_t size)
{
	unsigned index = 0, epoch = 0, of = 0;
	char sum[SHA256_BASE64_SIZE];
	uint8_t digest[SHA256_SIZE];
	const char *at = strstr(line, "/blocks/");
	char *block;
	size_t len;

	if (++f->gets == f->expire_at_get)
		f->epoch++;
	if (!at || sscanf(at, "/blocks/%u?blockToken=b%u-%u", &index, &epoch, &of) != 3 ||
	    of != index || epoch != f->epoch)
		return refuse(reply, size, "INVALID_BLOCK_TOKEN");
	block = malloc(EBS_BLOCK_SIZE);
	memset(block, (int)index, EBS_BLOCK_SIZE);
	if (sha256(block, EBS_BLOCK_SIZE, digest, NULL) < 0)
		return 0;
	if (index == 6 && f->damage > 0) {
		f->damage--;
		block[77] ^= 1;
	}
	len = (size_t)snprintf(reply, size,
		"HTTP/1.1 200 OK\r\nx-amz-Checksum: %s\r\nContent-Length: %d\r\n\r\n",
		base64_sha256(sum, digest), EBS_BLOCK_SIZE);
	memcpy(reply + len, block, EBS_BLOCK_SIZE);
	free(block);
	return len + EBS_BLOCK_SIZE;
}

static enum httpd_act serve(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	*len = strstr(req->line, "/blocks?") ? answer_list(f, req->line, reply, size)
					     : answer_get(f, req->line, reply, size);
	pthread_mutex_unlock(&f->lock);
	return HTTPD_SEND;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_fd(-1);
	pthread_mutex_init(&f->lock, NULL);
	f->nr = 35;
	f->server = httpd_start(serve, f);
	f->aws = test_client(httpd_url(f->server), &f->clock);
	*state = f;
	return f->aws ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	aws_free(f->aws);
	httpd_stop(f->server);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static void check_list(struct fixture *f)
{
	struct ebs_block_list list;
	struct error err = ERROR_INIT;

	if (snapshot_list(f->aws, SNAP, &list, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(list.nr, f->nr);
	assert_int_equal(list.size_gib, 1);
	for (unsigned i = 0; i < f->nr; i++)
		assert_int_equal(list.items[i].index, i * 3);
	ebs_block_list_release(&list);
}

static void test_list(void **state)
{
	struct fixture *f = *state;

	check_list(f);
	assert_int_equal(f->lists, 3);
	f->nr = 0;
	check_list(f);
}

static void test_page_token_expires(void **state)
{
	struct fixture *f = *state;

	f->expire_at_list = 3;
	check_list(f);
	assert_int_equal(f->lists, 4);
}

/* The page that begins in the middle. */
static void test_start_index(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	struct snapshot_pages *p = snapshot_pages_open(f->aws, SNAP, 31, &err);
	const struct ebs_block_list *page;

	assert_non_null(p);
	assert_int_equal(snapshot_pages_next(p, &page, &err), 1);
	assert_int_equal(page->items[0].index, 33);
	snapshot_pages_close(p);
}

static void list_fails(struct fixture *f, const char *text)
{
	struct ebs_block_list list;
	struct error err = ERROR_INIT;

	assert_int_equal(snapshot_list(f->aws, SNAP, &list, &err), -1);
	assert_int_equal(err.kind, ERROR_SERVICE);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
	ebs_block_list_release(&list);
}

static void test_list_lies(void **state)
{
	struct fixture *f = *state;

	f->repeat = true;
	list_fails(f, "comes a second time");
	f->repeat = false;
	f->stuck = true;
	list_fails(f, "list of " SNAP ": the pages go round in a circle: the token 'p0-12'");
	f->stuck = false;
	f->empty = true;
	f->lists = 0;
	list_fails(f, "100 pages in a row have nothing in them");
	assert_int_equal(f->lists, 100);
	/* There and back again. */
	f->circle = 3;
	f->lists = 0;
	list_fails(f, "in a circle");
	assert_in_range(f->lists, 4, 9);
	f->circle = 0;
	/* Tokens that are never taken, a list anew each time that gets nowhere. */
	f->fickle = true;
	f->lists = 0;
	list_fails(f, "100 pages in a row have nothing in them");
	f->fickle = f->empty = false;
	f->outside = true;
	f->nr = 3;
	list_fails(f, "lies behind the volume's end");
}

struct seen {
	unsigned nr;
	bool got[64], unordered;
	uint64_t last;
	unsigned fail_at;
};

static int see(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct seen *s = arg;
	const uint8_t *bytes = data;
	uint8_t ours[SHA256_SIZE];

	assert_true(index % 3 == 0 && index / 3 < 64);
	assert_false(s->got[index / 3]);
	assert_int_equal(bytes[0], index);
	assert_int_equal(bytes[EBS_BLOCK_SIZE - 1], index);
	assert_int_equal(sha256(data, EBS_BLOCK_SIZE, ours, NULL), 0);
	assert_memory_equal(ours, digest, SHA256_SIZE);
	s->got[index / 3] = true;
	if (s->nr++ > 0 && index < s->last)
		s->unordered = true;
	s->last = index;
	return s->nr == s->fail_at ? error_set(err, ERROR_IO, 0, "enough") : 0;
}

static int read_all(struct fixture *f, struct seen *seen, bool ordered, struct error *err)
{
	struct snapshot_read_opts opts = {.max_inflight = 7, .ordered = ordered};
	struct ebs_block_list list;
	int ret;

	*seen = (struct seen){.fail_at = seen->fail_at};
	assert_int_equal(snapshot_list(f->aws, SNAP, &list, NULL), 0);
	ret = snapshot_read_blocks(f->aws, SNAP, list.items, list.nr, &opts, see, seen, err);
	ebs_block_list_release(&list);
	return ret;
}

static void test_read(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.nr = 0};
	struct error err = ERROR_INIT;

	if (read_all(f, &seen, false, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(seen.nr, 35);
	if (read_all(f, &seen, true, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(seen.nr, 35);
	assert_false(seen.unordered);
	assert_int_equal(snapshot_read_blocks(f->aws, SNAP, NULL, 0, NULL, see, &seen, &err), 0);
}

/* All tokens expire in the middle: one list gives new ones for a page, not one for each block. */
static void test_block_token_expires(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.nr = 0};
	struct error err = ERROR_INIT;

	f->expire_at_get = 12;
	if (read_all(f, &seen, true, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(seen.nr, 35);
	assert_false(seen.unordered);
	assert_in_range(f->lists, 3 + 2, 3 + 5);
}

static void test_block_gone(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.nr = 0};
	struct error err = ERROR_INIT;

	f->expire_at_get = 1;
	f->forget = true;
	assert_int_equal(read_all(f, &seen, true, &err), -1);
	assert_non_null(strstr(err.text, "block 6 is no longer listed"));
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.nr = 0};
	struct error err = ERROR_INIT;

	f->damage = 2;
	if (read_all(f, &seen, false, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(seen.nr, 35);
	f->damage = 1000;
	assert_int_equal(read_all(f, &seen, false, &err), -1);
	assert_non_null(strstr(err.text, "block 6: the block's SHA-256 is"));
	assert_false(seen.got[2]);
	assert_int_equal(f->damage, 997);
}

static bool always(void)
{
	return true;
}

static void test_stops(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.fail_at = 5};
	struct ebs_block block = {.index = 0, .token = "b0-0"};
	struct snapshot_read_opts opts = {.cancelled = always};
	struct error err = ERROR_INIT;

	assert_int_equal(read_all(f, &seen, false, &err), -1);
	assert_string_equal(err.text, "enough");
	assert_int_equal(seen.nr, 5);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(
		snapshot_read_blocks(f->aws, SNAP, &block, 1, &opts, see, &seen, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_int_equal(aws_running(f->aws), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_token_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_token_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stops, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
