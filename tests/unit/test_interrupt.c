/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that a signal ends: made again unless the user wants us to stop. */
#include "base/interrupt.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/lib/tmpdir.h"

static int ends[2];
static volatile sig_atomic_t alarms;
static bool stop;

static void on_alarm(int number)
{
	(void)number;
	/* The third one lets the reader go on. */
	if (++alarms == 3 && write(ends[1], "x", 1) != 1)
		abort();
}

static bool wanted(void)
{
	return stop;
}

static int setup(void **state)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 20000}, {0, 20000}};

	(void)state;
	alarms = 0;
	interrupt_ask(wanted);
	return pipe(ends) < 0 || sigaction(SIGALRM, &action, NULL) < 0 ||
	       setitimer(ITIMER_REAL, &often, NULL) < 0;
}

static int teardown(void **state)
{
	struct itimerval never = {{0, 0}, {0, 0}};

	(void)state;
	interrupt_ask(NULL);
	close(ends[0]);
	close(ends[1]);
	return setitimer(ITIMER_REAL, &never, NULL);
}

static void test_harmless(void **state)
{
	struct error err = ERROR_INIT;
	char byte;

	(void)state;
	stop = false;
	assert_int_equal(interrupt_read(ends[0], &byte, 1, "the pipe", &err), 1);
	assert_in_range(alarms, 3, 1000);
}

static void test_nobody_to_ask(void **state)
{
	struct error err = ERROR_INIT;
	char byte;

	(void)state;
	stop = true;
	interrupt_ask(NULL);
	assert_int_equal(interrupt_read(ends[0], &byte, 1, "the pipe", &err), 1);
	assert_in_range(alarms, 3, 1000);
}

static void test_stopped(void **state)
{
	struct error err = ERROR_INIT;
	char byte;

	(void)state;
	stop = true;
	assert_int_equal(interrupt_read(ends[0], &byte, 1, "the pipe", &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_string_equal(err.text, "reading 'the pipe': interrupted");
	assert_int_equal(alarms, 1);
}

static void test_open_stopped(void **state)
{
	char *dir = tmpdir_new(), path[4200];
	struct error err = ERROR_INIT;

	(void)state;
	stop = true;
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(interrupt_open(path, O_RDONLY | O_CLOEXEC, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_non_null(strstr(err.text, "fifo': interrupted"));
	snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(interrupt_open(path, O_RDONLY | O_CLOEXEC, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	tmpdir_free(dir);
}

static void *read_late(void *arg)
{
	static char room[64 << 10];

	for (size_t left = *(size_t *)arg; left;) {
		ssize_t n = read(ends[0], room, sizeof(room));

		left -= n > 0 ? (size_t)n : 0;
		usleep(10000);
	}
	return NULL;
}

/* More than a pipe takes: signals come between pieces, and while nothing is taken. */
static void test_write(void **state)
{
	static char data[1 << 20];
	size_t len = sizeof(data);
	struct error err = ERROR_INIT;
	pthread_t reader;

	(void)state;
	alarms = 3;
	stop = false;
	assert_int_equal(pthread_create(&reader, NULL, read_late, &len), 0);
	assert_int_equal(file_write_all(ends[1], data, len, "the pipe", &err), 0);
	assert_int_equal(pthread_join(reader, NULL), 0);
	stop = true;
	assert_int_equal(file_write_all(ends[1], data, len, "the pipe", &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_string_equal(err.text, "writing 'the pipe': interrupted");
	/* It is full now. */
	assert_int_equal(file_write_all(ends[1], data, 1, "the pipe", &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_harmless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_to_ask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
