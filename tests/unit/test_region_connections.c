/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes when there are too many connections: over sockets, of which the other end tells who went. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "uploader/region/connections.h"

enum { ROOM = 4, NR = 12 };

static struct connections all;
static int ends[NR][2];
static struct connection *who[NR];

static int setup(void **state)
{
	(void)state;
	connections_init(&all, ROOM);
	for (unsigned i = 0; i < NR; i++) {
		who[i] = NULL;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]) < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		connections_remove(&all, who[i]);
		close(ends[i][0]);
		close(ends[i][1]);
	}
	connections_release(&all);
	return 0;
}

static void come(unsigned i, uint64_t now)
{
	who[i] = connections_add(&all, ends[i][0], now);
	assert_non_null(who[i]);
}

static int is_ended(unsigned i)
{
	char byte;

	return recv(ends[i][1], &byte, 1, MSG_DONTWAIT) == 0;
}

/* The server's thread finds its connection ended. */
static void go(unsigned i)
{
	connections_remove(&all, who[i]);
	who[i] = NULL;
}

static void test_longest_waiting_stranger_goes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROOM; i++)
		come(i, i);
	for (unsigned i = 0; i < ROOM; i++)
		assert_false(is_ended(i));
	come(4, 4);
	assert_true(is_ended(0));
	assert_false(is_ended(1));
	come(5, 5);
	assert_true(is_ended(1));
	assert_false(is_ended(2));
	assert_int_equal(connections_count(&all), 6);
	go(0);
	go(1);
	connections_wait(&all, who[2], 6); /* answered, though not signed: waits anew */
	come(6, 7);
	assert_true(is_ended(3));
	assert_false(is_ended(2));
}

static void test_strangers_go_before_the_known(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		come(i, i);
		connections_work(&all, who[i]);
	}
	connections_wait(&all, who[0], 10);
	connections_wait(&all, who[1], 11);
	come(3, 12);
	come(4, 13);
	assert_true(is_ended(3)); /* though it came last */
	connections_work(&all, who[4]);
	come(5, 14);
	assert_true(is_ended(0)); /* no stranger is left but the new one */
	assert_false(is_ended(1));
	assert_false(is_ended(2));
}

static void test_who_is_at_work_stays(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		come(i, i * UINT64_C(1000000));
		connections_work(&all, who[i]);
	}
	connections_drop(&all);
	for (unsigned i = 0; i < NR; i++)
		assert_false(is_ended(i));
	connections_wait(&all, who[7], 0);
	connections_drop(&all);
	assert_true(is_ended(7));
	assert_false(is_ended(8));
}

static void test_slow_heads_go_when_somebody_comes(void **state)
{
	(void)state;
	come(0, 1000);
	come(1, 2000);
	connections_work(&all, who[1]);
	connections_wait(&all, who[1], 2000);
	come(2, 1000 + CONNECTIONS_HEAD_S * 1000);
	assert_false(is_ended(0));
	come(3, 500); /* another thread's clock, read before: nobody's time is over */
	assert_false(is_ended(2));
	come(4, 1001 + CONNECTIONS_HEAD_S * 1000);
	assert_true(is_ended(0));
	assert_false(is_ended(1)); /* known: may rest */
	assert_false(is_ended(2));
}

static void test_nobody(void **state)
{
	(void)state;
	connections_remove(&all, NULL);
	connections_work(&all, NULL);
	connections_wait(&all, NULL, 0);
	connections_drop(&all);
	assert_int_equal(connections_count(&all), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_longest_waiting_stranger_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers_go_before_the_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_is_at_work_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_heads_go_when_somebody_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
