/* SPDX-License-Identifier: Apache-2.0 */
/* XML documents: what is found by name, what is cut, and what stands in for what is not there. */
#include "base/xmldoc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct xmldoc *parse(const char *text)
{
	struct error err = ERROR_INIT;
	struct xmldoc *doc = xmldoc_parse(text, strlen(text), &err);

	if (!doc)
		fail_msg("%s", err.text);
	return doc;
}

static void test_elements(void **state)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = parse("<r><a x='1'><i>one</i></a><b/><a x='2'>two</a></r>");
	const struct xmldoc_node *root = xmldoc_root(doc), *a = xmldoc_child(root, "a");
	char text[8];

	(void)state;
	assert_true(xmldoc_is(root, "r"));
	assert_false(xmldoc_is(NULL, "r"));
	assert_true(xmldoc_has_grandchild(root, "i"));
	assert_false(xmldoc_has_grandchild(root, "a"));
	assert_null(xmldoc_child(NULL, "a"));
	assert_int_equal(xmldoc_attribute(a, "x", text, sizeof(text)), 1);
	assert_string_equal(text, "1");
	a = xmldoc_next(a);
	assert_int_equal(xmldoc_text(a, text, sizeof(text)), 3);
	assert_string_equal(text, "two");
	assert_null(xmldoc_next(a));
}

static void test_children(void **state)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = parse(
		"<r><text>abcdefgh</text><empty/><n>18446744073709551615</n><word>x1</word>"
		"<yes>true</yes><no>false</no></r>");
	const struct xmldoc_node *root = xmldoc_root(doc);
	char text[4];

	(void)state;
	assert_true(xmldoc_child_text(root, "text", text, sizeof(text)));
	assert_string_equal(text, "abc");
	assert_true(xmldoc_child_text(root, "empty", text, sizeof(text)));
	assert_string_equal(text, "");
	strcpy(text, "old");
	assert_false(xmldoc_child_text(root, "none", text, sizeof(text)));
	assert_string_equal(text, "");
	assert_true(xmldoc_child_number(root, "n", 7) == UINT64_MAX);
	assert_int_equal(xmldoc_child_number(root, "word", 7), 7);
	assert_int_equal(xmldoc_child_number(root, "none", 7), 7);
	assert_true(xmldoc_child_bool(root, "yes", false));
	assert_false(xmldoc_child_bool(root, "no", true));
	assert_true(xmldoc_child_bool(root, "none", true));
	assert_false(xmldoc_child_bool(NULL, "yes", false));
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"", "<r>", "text", "<!DOCTYPE r [<!ENTITY e 'x'>]><r>&e;</r>"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = ERROR_INIT;

		assert_null(xmldoc_parse(bad[i], strlen(bad[i]), &err));
		assert_int_equal(err.kind, ERROR_INPUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_children),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
