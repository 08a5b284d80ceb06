/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the serial console: what is seen whatever way the bytes come, what is kept. */
#include "builder/boot_console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "builder/boot_regex.h"

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

static void test_size_of_expressions(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} cases[] = {
		{"", 0}, {"abc", 3}, {"a{3}", 3}, {"a{2,5}b", 6}, {"(ab){10}", 30}, {"((a{10}){10}){10}", 1110},
		{"[]{]{4}", 4}, {"[[:alpha:]]{3}x", 4}, {"[^]a]", 1}, {"\\({7}", 7}, {"a|b*c+", 3}, {"a{5,}", 5},
		{"((((a{1,255}){1,255}){1,255}){1,255})", BOOT_REGEX_MAX + 1},
		{"a{99999999999999999999}", BOOT_REGEX_MAX + 1}, {"(a{200}){200}", BOOT_REGEX_MAX + 1},
		{"a{", 1}, {"(a", 2}, {"[a", 1}, {"a\\", 2}, {"a)b", 3}, {"[[:", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(boot_regex_size(cases[i].text), cases[i].size);
}

/* Without the limit this takes all memory there is. */
static void test_expressions_that_explode(void **state)
{
	struct error err = ERROR_INIT;
	struct boot_console c;
	char deep[2000];

	(void)state;
	memset(deep, '(', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(boot_console_init(&c, "((((a{1,255}){1,255}){1,255}){1,255})", &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "too large"));
	boot_console_release(&c);
	assert_int_equal(boot_console_init(&c, deep, &err), -1);
	boot_console_release(&c);
	begin(&c, "(login: ){1,3}");
	boot_console_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size_of_expressions),
		cmocka_unit_test(test_expressions_that_explode),
		cmocka_unit_test(test_expect), cmocka_unit_test(test_bad_expression),
		cmocka_unit_test(test_last_lines), cmocka_unit_test(test_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
