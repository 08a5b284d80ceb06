/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the serial console: what is seen whatever way the bytes come, what is kept. */
#include "builder/boot_console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void begin(struct boot_console *c, const char *expect)
{
	struct error err = ERROR_INIT;

	assert_int_equal(boot_console_init(c, expect, &err), 0);
}

static bool sees(const char *expect, const char *text)
{
	struct boot_console c;
	bool whole, bytes;

	begin(&c, expect);
	boot_console_feed(&c, text, strlen(text));
	whole = c.seen;
	boot_console_release(&c);
	begin(&c, expect);
	for (const char *t = text; *t; t++)
		boot_console_feed(&c, t, 1);
	bytes = c.seen;
	boot_console_release(&c);
	/* A byte at a time, a line is looked at in more states: never in fewer. */
	assert_true(bytes || !whole);
	return whole;
}

static void test_expect(void **state)
{
	(void)state;
	assert_true(sees("login:", "\r\nip-1 login: "));
	assert_true(sees("^ip-[0-9]+ login: $", "x\nip-1 login: "));
	assert_true(sees("^\\[  OK  \\] Started", "\r\n[\033[0;32m  OK  \033[0m] Started \033[0;1;39mssh\033[0m\r\n"));
	assert_true(sees("^ab$", "\033]0;title\007a\033(Bb\n"));
	assert_false(sees("ab", "a\nb"));
	assert_false(sees("title", "\033]0;title\007a\n"));
	assert_false(sees("x", ""));
}

static void test_bad_expression(void **state)
{
	struct boot_console c;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(boot_console_init(&c, "(", &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "--expect"));
	boot_console_release(&c);
}

static void test_last_lines(void **state)
{
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct boot_console c;
	char line[16];

	(void)state;
	begin(&c, NULL);
	for (int i = 0; i < 40; i++) {
		snprintf(line, sizeof(line), "line %d\r\n\r\n", i);
		boot_console_feed(&c, line, strlen(line));
	}
	boot_console_feed(&c, "half", 4);
	assert_int_equal(boot_console_last(&c, &out, &err), 0);
	assert_int_equal(strncmp(buf_str(&out), "  line 28\n", 10), 0);
	assert_non_null(strstr(buf_str(&out), "  line 39\n  half\n"));
	boot_console_release(&c);
}

static void test_long_line(void **state)
{
	struct boot_console c;
	char text[5000];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 4990, "the end", 7);
	begin(&c, "the end");
	boot_console_feed(&c, text, sizeof(text));
	assert_true(c.seen);
	boot_console_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expect), cmocka_unit_test(test_bad_expression),
		cmocka_unit_test(test_last_lines), cmocka_unit_test(test_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
