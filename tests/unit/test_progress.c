/* SPDX-License-Identifier: Apache-2.0 */
/* Progress with a clock that the test turns: texts, widths, intervals. */
#include "base/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"

static uint64_t clock_ms;
static int pipe_fds[2];
static char shown[65536];

static uint64_t now(void)
{
	return clock_ms;
}

static const struct progress_opts on_tty = {.tty = true, .now_ms = now};
static const struct progress_opts plain = {.now_ms = now};

static int open_log(void **state)
{
	(void)state;
	clock_ms = 5000;
	if (pipe(pipe_fds) < 0)
		return -1;
	log_set_fd(pipe_fds[1]);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

static int close_log(void **state)
{
	(void)state;
	log_set_fd(2);
	return close(pipe_fds[0]) || close(pipe_fds[1]);
}

/*
 * What was shown since the last call; the NUL that is added lets read() return when that is
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

static void test_text(void **state)
{
	struct progress p;
	char text[256];

	(void)state;
	progress_begin(&p, &on_tty, "upload snap-0123", 4 * GIB);
	assert_string_equal(progress_text(&p, 5000, text, sizeof(text)),
		"upload snap-0123  [---------------]   0%  0 B / 4 GiB");
	p.done = GIB;
	assert_string_equal(progress_text(&p, 9000, text, sizeof(text)),
		"upload snap-0123  [###------------]  25%  1 GiB / 4 GiB  256 MiB/s  0:12 left");
	p.done = 5 * GIB;
	progress_text(&p, 9000, text, sizeof(text));
	assert_non_null(strstr(text, "] 100%  5 GiB / 4 GiB"));
	assert_non_null(strstr(text, "0:00 left"));
	progress_begin(&p, &on_tty, "scan\033[2J", 0);
	p.done = 3 * MIB;
	assert_string_equal(
		progress_text(&p, 6000, text, sizeof(text)), "scan?[2J  3 MiB  3 MiB/s");
	progress_begin(&p, &plain, "slow", 100);
	p.done = 1;
	assert_string_equal(progress_text(&p, 5000 + 3600000, text, sizeof(text)),
		"slow   1%  1 B / 100 B  0 B/s  99:00:00 left");
}

/* Never as wide as the terminal; the bar goes first, then the end of the text. */
static void test_width(void **state)
{
	struct progress_opts opts = on_tty;
	struct progress p;
	char text[256];

	(void)state;
	progress_begin(&p, &opts, "t\xc3\xa9st", GIB);
	p.done = GIB / 3;
	for (opts.width = 1; opts.width < 200; opts.width++) {
		size_t columns = 0;

		progress_text(&p, 15000, text, sizeof(text));
		for (const char *c = text; *c; c++)
			columns += ((unsigned char)*c & 0xc0) != 0x80;
		assert_true(columns < (size_t)opts.width);
		assert_true(opts.width < 80 || strchr(text, '['));
	}
	assert_string_equal(progress_text(&p, 15000, text, 9), "t\xc3\xa9st  [");
}

static void test_color(void **state)
{
	struct progress_opts opts = on_tty;
	struct progress p;
	char text[256];

	(void)state;
	opts.color = true;
	opts.width = 70;
	progress_begin(&p, &opts, "x", 100);
	p.done = 50;
	progress_text(&p, 5000, text, sizeof(text));
	assert_non_null(strstr(text, "[\033[32m####"));
	assert_non_null(strstr(text, "#\033[0m-"));
}

static void test_tty_interval(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, &on_tty, "x", 1000);
	progress_add(&p, 1);
	assert_string_equal(get(), "");
	clock_ms += 99;
	progress_add(&p, 1);
	assert_string_equal(get(), "");
	clock_ms += 1;
	progress_add(&p, 1);
	assert_non_null(strstr(get(), "x  ["));
	progress_tick(&p);
	assert_string_equal(get(), "");
	clock_ms += 1900;
	progress_set_total(&p, 3);
	progress_end(&p, true);
	assert_string_equal(get(), "\r\033[Kx: 3 B in 0:02, 1 B/s\n");
	progress_end(&p, true);
	progress_tick(&p);
	assert_string_equal(get(), "");
}

static void test_tty_failed(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, &on_tty, "x", 1000);
	clock_ms += 1000;
	progress_add(&p, 10);
	get();
	progress_end(&p, false);
	assert_string_equal(shown + strlen(get()) - 1, "\n");
	log_info("after");
	assert_string_equal(get(), "after\n");
}

static void test_plain_interval(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, &plain, "x", 1000);
	for (int i = 0; i < 25; i++) {
		clock_ms += 1000;
		progress_add(&p, 10);
	}
	assert_string_equal(get(), "x  10%  100 B / 1000 B  10 B/s  1:30 left\n"
				   "x  20%  200 B / 1000 B  10 B/s  1:20 left\n");
	progress_end(&p, true);
	assert_string_equal(get(), "x: 250 B in 0:25, 10 B/s\n");
	progress_begin(&p, &plain, "x", 1000);
	progress_end(&p, false);
	assert_string_equal(get(), "");
}

static void test_quiet(void **state)
{
	struct progress_opts opts = on_tty;
	struct progress p;
	char text[64] = "x";

	(void)state;
	opts.quiet = true;
	for (int round = 0; round < 2; round++) {
		progress_begin(&p, round ? &opts : NULL, "x", 1000);
		clock_ms += 20000;
		progress_add(&p, 10);
		progress_end(&p, true);
		assert_string_equal(progress_text(&p, clock_ms, text, sizeof(text)), "");
	}
	log_set_level(LOG_LEVEL_WARN);
	progress_begin(&p, &on_tty, "x", 1000);
	clock_ms += 20000;
	progress_add(&p, 10);
	progress_end(&p, false);
	assert_string_equal(get(), "");
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_log(test_text),
		with_log(test_width),
		with_log(test_color),
		with_log(test_tty_interval),
		with_log(test_tty_failed),
		with_log(test_plain_interval),
		with_log(test_quiet),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
