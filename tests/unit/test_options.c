/* SPDX-License-Identifier: Apache-2.0 */
/* Option parsing: all forms, all mistakes, and help from the same table. */
#include "builder/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

struct values {
	const char *output, *format;
	uint64_t number, size;
	struct options_list tags;
	bool quiet, all;
};

#define FIELD(name) offsetof(struct values, name)

static const char *const formats[] = {"raw", "vmdk", NULL};

static const struct options_def defs[] = {
	{"output", 'o', OPTIONS_TEXT, FIELD(output), "FILE", "where it goes", 0, 0, NULL},
	{"format", 0, OPTIONS_CHOICE, FIELD(format), "FORMAT", "which", 0, 0, formats},
	{"number", 'n', OPTIONS_NUMBER, FIELD(number), "N",
		"a text that is so long that it has to be broken into several lines of the help", 2, 9,
		NULL},
	{"size-with-a-long-name", 0, OPTIONS_SIZE, FIELD(size), "BYTES", "how much", 0, 0, NULL},
	{"tag", 't', OPTIONS_LIST, FIELD(tags), "K=V", "many", 0, 0, NULL},
	{0},
};

static const struct options_def global_defs[] = {
	{"quiet", 'q', OPTIONS_FLAG, FIELD(quiet), NULL, "say less", 0, 0, NULL},
	{"all", 'a', OPTIONS_FLAG, FIELD(all), NULL, "everything", 0, 0, NULL},
	{0},
};

struct parsed {
	struct values v;
	struct options_args args;
	struct error err;
	size_t used;
	int ret;
};

static void parse(struct parsed *p, bool stop, const char *const *argv)
{
	struct options_target targets[] = {{defs, &p->v}, {global_defs, &p->v}};
	size_t argc = 0;

	memset(p, 0, sizeof(*p));
	while (argv[argc])
		argc++;
	p->ret = options_parse(targets, 2, argv, argc, stop, &p->args, &p->used, &p->err);
}

static void done(struct parsed *p)
{
	struct options_target target = {defs, &p->v};

	options_release(&target);
	options_args_release(&p->args);
}

#define PARSE(p, ...) parse(p, false, (const char *const[]){__VA_ARGS__, NULL})

static void test_forms(void **state)
{
	struct parsed p;

	(void)state;
	PARSE(&p, "one", "--output", "a", "-n3", "--size-with-a-long-name=2K", "-qa", "-t", "x=1",
		"--tag=y", "two", "--format=vmdk", "--", "-o");
	assert_int_equal(p.ret, 0);
	assert_string_equal(p.v.output, "a");
	assert_string_equal(p.v.format, "vmdk");
	assert_int_equal(p.v.number, 3);
	assert_int_equal(p.v.size, 2048);
	assert_true(p.v.quiet && p.v.all);
	assert_int_equal(p.v.tags.nr, 2);
	assert_string_equal(p.v.tags.items[1], "y");
	assert_null(p.v.tags.items[2]);
	assert_int_equal(p.args.nr, 3);
	assert_string_equal(p.args.items[2], "-o");
	done(&p);
}

static void test_short_forms(void **state)
{
	struct parsed p;

	(void)state;
	PARSE(&p, "-qo", "file", "-");
	assert_int_equal(p.ret, 0);
	assert_string_equal(p.v.output, "file");
	assert_string_equal(p.args.items[0], "-");
	done(&p);
	PARSE(&p, "-qofile");
	assert_string_equal(p.v.output, "file");
	done(&p);
}

static void test_stop(void **state)
{
	static const char *const argv[] = {"-q", "command", "--output", "x", NULL};
	struct parsed p;

	(void)state;
	parse(&p, true, argv);
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.used, 1);
	assert_int_equal(p.args.nr, 0);
	assert_null(p.v.output);
	done(&p);
}

static void refused(const char *text, const char *const *argv)
{
	struct parsed p;

	parse(&p, false, argv);
	assert_int_equal(p.ret, -1);
	assert_int_equal(p.err.kind, ERROR_USAGE);
	if (!strstr(p.err.text, text))
		fail_msg("no '%s' in '%s'", text, p.err.text);
	done(&p);
}

#define REFUSED(text, ...) refused(text, (const char *const[]){__VA_ARGS__, NULL})

static void test_mistakes(void **state)
{
	(void)state;
	REFUSED("unknown option '--outptu': did you mean '--output'?", "--outptu", "x");
	REFUSED("unknown option '--zzzzzzzz'", "--zzzzzzzz");
	REFUSED("unknown option '-z'", "-qz");
	REFUSED("--output needs a value: FILE", "--output");
	REFUSED("-o needs a value: FILE", "-qo");
	REFUSED("--quiet takes no value", "--quiet=yes");
	REFUSED("--output: the value is empty", "--output=");
	REFUSED("'qcow' is no value of --format: it takes raw, vmdk", "--format", "qcow");
	REFUSED("--number", "--number", "10");
	REFUSED("--number: 1 is too small, the least is 2", "--number", "1");
	REFUSED("--number", "--number", "-3");
	REFUSED("--size-with-a-long-name", "--size-with-a-long-name", "big");
}

static void test_long_words(void **state)
{
	char word[200];

	(void)state;
	memset(word, 'x', sizeof(word));
	memcpy(word, "--", 2);
	word[sizeof(word) - 1] = '\0';
	REFUSED("unknown option '--xxx", word);
}

static void test_help(void **state)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err;
	const char *line;

	(void)state;
	assert_int_equal(options_help(defs, &out, &err), 0);
	assert_int_equal(options_help(global_defs, &out, &err), 0);
	for (const struct options_def *d = defs; d->name; d++)
		assert_non_null(strstr(buf_str(&out), d->name));
	assert_non_null(strstr(buf_str(&out), "  -o, --output FILE       where it goes\n"));
	/* Every line begins in its column and ends before column 80. */
	for (line = buf_str(&out); *line; line = strchr(line, '\n') + 1)
		assert_true(strcspn(line, "\n") < 80);
}

static void test_nearest(void **state)
{
	static const char *const known[] = {"build", "publish", "images", NULL};

	(void)state;
	assert_string_equal(options_nearest("biuld", known), "build");
	assert_string_equal(options_nearest("pub", known), "publish");
	assert_string_equal(options_nearest("image", known), "images");
	assert_null(options_nearest("x", known));
	assert_null(options_nearest("frobnicate", known));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_short_forms),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
