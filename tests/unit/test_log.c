/* SPDX-License-Identifier: Apache-2.0 */
/* The log: levels, redaction, control characters, lines above the status line. */
#include "base/log.h"

#include <pthread.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int pipe_fds[2];
static char shown[65536];

static int open_log(void **state)
{
	(void)state;
	if (pipe(pipe_fds) < 0)
		return -1;
	log_set_fd(pipe_fds[1]);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

static int close_log(void **state)
{
	(void)state;
	log_release();
	log_set_fd(2);
	return close(pipe_fds[0]) || close(pipe_fds[1]);
}

/*
 * What was written since the last call; the NUL that is added lets read() return when that is
 * nothing.
 */
static const char *get(void)
{
	ssize_t n;

	assert_int_equal(write(pipe_fds[1], "", 1), 1);
	n = read(pipe_fds[0], shown, sizeof(shown) - 1);
	assert_true(n > 0);
	shown[n] = '\0';
	return shown;
}

static void test_levels(void **state)
{
	(void)state;
	log_info("one %d", 1);
	log_debug("never");
	log_warn("two\n");
	log_error("three");
	assert_string_equal(get(), "one 1\nwarning: two\nerror: three\n");
	log_set_level(LOG_LEVEL_WARN);
	log_info("never");
	log_warn("four");
	assert_string_equal(get(), "warning: four\n");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("five");
	assert_string_equal(get(), "debug: five\n");
	log_set_fd(-1);
	log_error("never");
	log_set_fd(pipe_fds[1]);
	assert_string_equal(get(), "");
}

static void test_redact(void **state)
{
	struct error err = ERROR_INIT;
	char text[] = "key=secretkey,again secretkey;secret.";

	(void)state;
	assert_int_equal(log_redact("secret", &err), 0);
	assert_int_equal(log_redact("secretkey", &err), 0);
	assert_int_equal(log_redact("secretkey", &err), 0);
	assert_int_equal(log_redact("abc", &err), 0);
	log_redact_text(text);
	assert_string_equal(text, "key=***,again ***;***.");
	log_info("%s", "secretsecretkeyx abc secre");
	assert_string_equal(get(), "******x abc secre\n");
	log_release();
	log_info("secret");
	assert_string_equal(get(), "secret\n");
}

/* A secret that lies across the end of the buffer for ordinary lines is found too. */
static void test_redact_long(void **state)
{
	struct error err = ERROR_INIT;
	char text[4000];

	(void)state;
	assert_int_equal(log_redact("topsecret", &err), 0);
	for (size_t at = 2030; at < 2060; at++) {
		memset(text, 'x', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		memcpy(text + at, "topsecret", 9);
		log_info("%s", text);
		assert_null(strstr(get(), "ecret"));
		assert_int_equal(strlen(shown), sizeof(text) - 1 - 6 + 1);
	}
}

static void test_controls(void **state)
{
	(void)state;
	log_info("%s", "a\033[2Jb\tc\rd\177");
	assert_string_equal(get(), "a?[2Jb\tc?d?\n");
	log_info("%s", "a\302\2332Jb\303\233c\302");
	assert_string_equal(get(), "a??2Jb\303\233c\302\n");
}

static void test_status_line(void **state)
{
	(void)state;
	log_status_line("50%");
	assert_string_equal(get(), "50%");
	log_info("line");
	assert_string_equal(get(), "\r\033[Kline\n50%");
	log_status_line("60%");
	assert_string_equal(get(), "\r\033[K60%");
	log_status_line("100%\n");
	log_info("after");
	assert_string_equal(get(), "\r\033[K100%\nafter\n");
	log_status_line("x");
	log_status_line(NULL);
	assert_string_equal(get(), "x\r\033[K");
	log_set_level(LOG_LEVEL_WARN);
	log_status_line("x");
	assert_string_equal(get(), "");
}

static void *talk(void *arg)
{
	for (int i = 0; i < 100; i++) {
		log_info("%s", (const char *)arg);
		log_status_line("status");
	}
	return NULL;
}

/* Whole lines only, for ThreadSanitizer above all. */
static void test_threads(void **state)
{
	static char texts[4][8] = {"aaaa", "bbbb", "cccc", "dddd"};
	pthread_t threads[4];
	int lines = 0;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, talk, texts[i]), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (const char *p = get(); (p = strchr(p, '\n')); p++) {
		assert_true(p[-1] == p[-4] && p[-1] >= 'a' && p[-1] <= 'd');
		lines++;
	}
	assert_int_equal(lines, 400);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_log(test_levels),
		with_log(test_redact),
		with_log(test_redact_long),
		with_log(test_controls),
		with_log(test_status_line),
		with_log(test_threads),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
