/* SPDX-License-Identifier: Apache-2.0 */
/* Which AMIs are old enough; name patterns; spans of time. */
#include "builder/prune.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "builder/duration.h"

#define NOW INT64_C(1798761600) /* 2027-01-01 */
#define DAY 86400

static void test_matches(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool want;
	} rows[] = {
		{"web-*", "web-1", true}, {"web-*", "web-", true}, {"web-*", "web", false},
		{"web-?", "web-1", true}, {"web-?", "web-12", false}, {"*", "", true},
		{"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-b-b-d", false}, {"web", "web", true},
		{"web", "web1", false}, {"*-arm64", "x-arm64-arm64", true}, {"", "x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (prune_matches(rows[i].pattern, rows[i].name) != rows[i].want)
			fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].name);
}

static void test_patterns(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(prune_check_name("web-*", false, &err), 0);
	assert_int_equal(prune_check_name("we*", false, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_int_equal(prune_check_name("*", true, &err), 0);
	assert_int_equal(prune_check_name("exact", false, &err), 0);
}

static void image(struct ec2_image *out, const char *id, const char *date, const char *arch,
	const char *status)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->id, sizeof(out->id), "%s", id);
	snprintf(out->creation_date, sizeof(out->creation_date), "%s", date);
	snprintf(out->architecture, sizeof(out->architecture), "%s", arch);
	snprintf(out->state, sizeof(out->state), "%s", status);
}

struct want {
	const char *id;
	bool remove;
	const char *why;
};

static void check_plan(struct ec2_image *images, struct prune_item *items, size_t nr,
	const struct prune_opts *o, const struct want *want)
{
	struct prune p = {.items = items, .nr = nr};

	(void)images;
	prune_plan(&p, o);
	for (size_t i = 0; i < nr; i++) {
		assert_string_equal(items[i].image->id, want[i].id);
		if (items[i].remove != want[i].remove || !strstr(items[i].why, want[i].why))
			fail_msg("%s: %d %s", items[i].image->id, items[i].remove, items[i].why);
	}
}

/* Two architectures are two groups; what is not available does not count. */
static void test_plan(void **state)
{
	const char *const names[] = {"web-*"};
	struct prune_opts o = {.names = names, .nr_names = 1, .keep = 1, .older_than_s = 30 * DAY,
		.now = NOW};
	struct ec2_image images[7];
	struct prune_item items[7];
	static const struct want want[] = {
		{"ami-arm", false, "is number 1 of the newest 1"},
		{"ami-pending", false, "is pending"},
		{"ami-new", false, "is number 1 of the newest 1"},
		{"ami-young", false, "is 29 days old"},
		{"ami-failed", true, "failed"},
		{"ami-old", true, "is number 3 and 31 days old"},
		{"ami-dateless", false, "does not say when"},
	};

	(void)state;
	image(&images[0], "ami-old", "2026-12-01T00:00:00.000Z", "x86_64", "available");
	image(&images[1], "ami-arm", "2020-01-01T00:00:00.000Z", "arm64", "available");
	image(&images[2], "ami-young", "2026-12-02T12:00:00.000Z", "x86_64", "available");
	image(&images[3], "ami-new", "2026-12-31T00:00:00.000Z", "x86_64", "available");
	image(&images[4], "ami-pending", "2026-12-31T20:00:00.000Z", "x86_64", "pending");
	image(&images[5], "ami-failed", "2026-12-01T10:00:00.000Z", "x86_64", "failed");
	image(&images[6], "ami-dateless", "", "x86_64", "available");
	for (size_t i = 0; i < 7; i++)
		items[i] = (struct prune_item){.image = &images[i]};
	check_plan(images, items, 7, &o, want);
}

/* Patterns and tag values make groups of their own; --keep counts within them. */
static void test_groups(void **state)
{
	const char *const names[] = {"web-*", "db-*"};
	struct prune_opts o = {.names = names, .nr_names = 2, .group_by = "product", .keep = 2, .now = NOW};
	struct ec2_tag a = {"product", "a"}, b = {"product", "b"};
	struct ec2_image images[6];
	struct prune_item items[6];
	static const struct want want[] = {
		{"ami-a3", false, "number 1"}, {"ami-a2", false, "number 2"}, {"ami-a1", true, "number 3"},
		{"ami-b2", false, "number 1"}, {"ami-b1", false, "number 2"}, {"ami-db", false, "number 1"},
	};

	(void)state;
	image(&images[0], "ami-a1", "2026-01-01T00:00:00.000Z", "x86_64", "available");
	image(&images[1], "ami-a2", "2026-01-02T00:00:00.000Z", "x86_64", "available");
	image(&images[2], "ami-a3", "2026-01-02T00:00:00.000Z", "x86_64", "available");
	image(&images[3], "ami-b1", "2026-01-01T00:00:00.000Z", "x86_64", "available");
	image(&images[4], "ami-b2", "2026-01-05T00:00:00.000Z", "x86_64", "available");
	image(&images[5], "ami-db", "2026-01-01T00:00:00.000Z", "x86_64", "available");
	for (size_t i = 0; i < 6; i++) {
		images[i].tags = (struct ec2_tag_list){i < 3 ? &a : &b, 1};
		items[i] = (struct prune_item){.image = &images[i], .name = i == 5};
	}
	check_plan(images, items, 6, &o, want);
}

/* An absent tag, or an empty one, groups nothing. */
static void test_no_tag(void **state)
{
	const char *const names[] = {"*"};
	struct prune_opts o = {.names = names, .nr_names = 1, .group_by = "product", .keep = 1, .now = NOW};
	struct ec2_tag empty = {"product", ""}, other = {"team", "a"};
	struct ec2_image images[3];
	struct prune_item items[3];
	static const struct want want[] = {
		{"ami-3", false, "has no tag 'product'"},
		{"ami-2", false, "has no tag 'product'"},
		{"ami-1", false, "has no tag 'product'"},
	};

	(void)state;
	image(&images[0], "ami-1", "2026-01-01T00:00:00.000Z", "x86_64", "available");
	image(&images[1], "ami-2", "2026-01-02T00:00:00.000Z", "x86_64", "failed");
	image(&images[2], "ami-3", "2026-01-03T00:00:00.000Z", "x86_64", "available");
	images[0].tags = (struct ec2_tag_list){&empty, 1};
	images[1].tags = (struct ec2_tag_list){&other, 1};
	for (size_t i = 0; i < 3; i++)
		items[i] = (struct prune_item){.image = &images[i]};
	check_plan(images, items, 3, &o, want);
}

/* The newest that is still offered stays; among deprecated ones alone the newest does. */
static void test_deprecated(void **state)
{
	const char *const names[] = {"web-*"};
	struct prune_opts o = {.names = names, .nr_names = 1, .keep = 1, .now = NOW};
	struct ec2_image images[4];
	struct prune_item items[4];
	static const struct want want[] = {
		{"ami-arm", false, "is number 1 of the newest 1, deprecated"},
		{"ami-gone", true, "is number 3 and"},
		{"ami-later", false, "is number 1 of the newest 1"},
		{"ami-old", true, "is number 2 and"},
	};

	(void)state;
	image(&images[0], "ami-arm", "2026-01-01T00:00:00.000Z", "arm64", "available");
	image(&images[1], "ami-old", "2026-01-01T00:00:00.000Z", "x86_64", "available");
	image(&images[2], "ami-later", "2026-01-02T00:00:00.000Z", "x86_64", "available");
	image(&images[3], "ami-gone", "2026-01-03T00:00:00.000Z", "x86_64", "available");
	for (size_t i = 0; i < 4; i++) {
		snprintf(images[i].deprecation, sizeof(images[i].deprecation), "%s",
			i == 1 ? "" : i == 2 ? "2027-02-01T00:00:00.000Z" : "2026-12-01T00:00:00.000Z");
		items[i] = (struct prune_item){.image = &images[i]};
	}
	check_plan(images, items, 4, &o, want);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} good[] = {{"90m", 5400}, {"36h", 129600}, {"30d", 30 * DAY}, {"6w", 42 * DAY}, {"2y", 730 * DAY}};
	static const char *const bad[] = {"", "d", "0d", "30", "-1d", "1.5d", "30 d", "99999999d", "1mo"};
	struct error err = ERROR_INIT;
	int64_t s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(duration_parse(good[i].text, &s, &err), 0);
		assert_int_equal(s, good[i].seconds);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (duration_parse(bad[i], &s, &err) != -1)
			fail_msg("'%s' is taken", bad[i]);
		assert_int_equal(err.kind, ERROR_USAGE);
	}
	assert_int_equal(duration_parse_date("2027-01-01", &s, &err), 0);
	assert_int_equal(s, NOW);
	assert_int_equal(duration_parse_date("2027-01-01T00:00:30Z", &s, &err), 0);
	assert_int_equal(s, NOW + 30);
	assert_int_equal(duration_parse_date("tomorrow", &s, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_no_tag),
		cmocka_unit_test(test_deprecated),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
