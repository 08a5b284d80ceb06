/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels found where distributions put them, in the order of their versions. dpkg is the oracle. */
#include "builder/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/tree_edit.h"
#include "tests/lib/allocfail.h"

static const struct tree_edit_owner root = {0, 0};

/* Names that end in '/' are directories, "a -> b" links; all files hold "x". */
static struct tree *make_tree(const char *const *paths)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);
	int r = 0;

	assert_non_null(t);
	for (; *paths; paths++) {
		const char *link = strstr(*paths, " -> ");
		char path[200];

		snprintf(path, sizeof(path), "%.*s", (int)(link ? link - *paths : (long)strlen(*paths)),
			*paths);
		if (link)
			r |= tree_edit_symlink(t, path, link + 4, root, 0, &err);
		else if (path[strlen(path) - 1] == '/')
			r |= tree_edit_mkdir(t, path, 0755, root, 0, &err);
		else
			r |= tree_edit_write(t, path, "x", 1, 0644, root, 0, &err);
	}
	assert_int_equal(r, 0);
	return t;
}

/* "VERSION IMAGE INITRD" a line. */
static void check(const char *const *paths, const char *want)
{
	CLEANUP_BUF struct buf got = BUF_INIT(0);
	struct tree *t = make_tree(paths);
	struct error err = ERROR_INIT;
	struct kernels k;

	assert_int_equal(kernels_find(t, &k, &err), 0);
	for (size_t i = 0; i < k.nr; i++)
		assert_int_equal(buf_addf(&got, &err, "%s %s %s\n", k.items[i].version, k.items[i].image,
			k.items[i].initrd ? k.items[i].initrd : "-"), 0);
	assert_string_equal(buf_str(&got), want);
	kernels_release(&k);
	tree_free(t);
}

#define CHECK(want, ...) check((const char *const[]){__VA_ARGS__, NULL}, want)

static void test_places(void **state)
{
	(void)state;
	CHECK("", "/etc/x");
	CHECK("", "/boot", "/usr/lib/modules");
	CHECK("", "/boot/vmlinuz-1/", "/usr/lib/modules/1/vmlinuz/", "/boot/vmlinuz", "/boot/vmlinuz-");
	CHECK("6.1 /boot/vmlinuz-6.1 /boot/initrd.img-6.1\n", "/boot/vmlinuz-6.1", "/boot/initrd.img-6.1",
		"/lib -> usr/lib", "/usr/lib/modules/6.1/modules.dep");
	CHECK("6.1 /boot/vmlinuz-6.1 /boot/initramfs-6.1.img\n", "/boot/vmlinuz-6.1",
		"/boot/initramfs-6.1.img", "/usr/lib/modules/6.1/vmlinuz", "/boot/.vmlinuz-6.1.hmac");
	CHECK("6.1 /boot/Image-6.1 /boot/initrd-6.1\n", "/boot/Image-6.1", "/boot/initrd-6.1");
	CHECK("6.1 /usr/lib/modules/6.1/vmlinuz /usr/lib/modules/6.1/initramfs.img\n",
		"/usr/lib/modules/6.1/vmlinuz", "/usr/lib/modules/6.1/initramfs.img",
		"/lib -> usr/lib", "/boot/initrd.img-6.2");
	CHECK("6.1 /lib/modules/6.1/vmlinuz -\n", "/lib/modules/6.1/vmlinuz", "/boot/initrd.img-6.1/");
	/* A link counts when it leads to something. */
	CHECK("2 /boot/vmlinuz-2 -\n", "/boot/vmlinuz-2 -> ../usr/lib/modules/2/vmlinuz",
		"/usr/lib/modules/2/vmlinuz", "/boot/vmlinuz-3 -> nowhere", "/boot/initrd.img-2 -> nowhere");
}

static void test_what_is_none(void **state)
{
	(void)state;
	CHECK("6.1.older /boot/vmlinuz-6.1.older -\n", "/boot/vmlinuz-6.1.old", "/boot/vmlinuz-6.1.older",
		"/boot/vmlinuz-0-rescue-abc", "/boot/vmlinuz-6.1.dpkg-new", "/boot/vmlinux-6.1-default.gz",
		"/boot/vmlinuz-9\nx", "/boot/vmlinuz-9 x", "/usr/lib/modules/9\tx/vmlinuz");
}

/* The tree's order is not defined: the same kernel wins whichever came first. */
static void test_order_of_children(void **state)
{
	(void)state;
	CHECK("6 /boot/vmlinuz-6 -\n", "/boot/vmlinuz-6", "/boot/Image-6", "/boot/vmlinux-6");
	CHECK("6 /boot/vmlinuz-6 -\n", "/boot/vmlinux-6", "/boot/Image-6", "/boot/vmlinuz-6");
}

static const char *const ascending[] = {"4.9.0", "5.10.0-9-amd64", "6.1.0-9-amd64", "6.1.0-40-amd64",
	"6.1.0-40-cloud-amd64", "6.1.0-041-amd64", "6.1.60-1.amzn2023.x86_64", "6.1.109-118.amzn2023.x86_64",
	"6.2~rc1", "6.2", "6.2+bpo", "6.2.1", "6.10.0", "10.0"};

static int dpkg_less(const char *a, const char *b)
{
	char line[200];

	snprintf(line, sizeof(line), "dpkg --compare-versions '%s' lt '%s' 2>/dev/null", a, b);
	return system(line);
}

static void test_versions(void **state)
{
	enum { NR = sizeof(ascending) / sizeof(ascending[0]) };
	const char *paths[NR + 1] = {NULL};
	char names[NR][100];
	struct error err = ERROR_INIT;
	struct kernels k;
	struct tree *t;

	(void)state;
	for (size_t i = 0; i < NR; i++) {
		snprintf(names[i], sizeof(names[i]), "/boot/vmlinuz-%s", ascending[i * 5 % NR]);
		paths[i] = names[i];
	}
	t = make_tree(paths);
	assert_int_equal(kernels_find(t, &k, &err), 0);
	assert_int_equal(k.nr, NR);
	for (size_t i = 0; i < NR; i++)
		assert_string_equal(k.items[NR - 1 - i].version, ascending[i]);
	for (size_t i = 0; i + 1 < NR; i++)
		assert_int_equal(dpkg_less(ascending[i], ascending[i + 1]), 0);
	kernels_release(&k);
	tree_free(t);
	/* What dpkg gets wrong and GRUB right. */
	CHECK("6.7.0-1 /boot/vmlinuz-6.7.0-1 -\n6.7.0-rc8 /boot/vmlinuz-6.7.0-rc8 -\n"
	      "6.7.0-rc3 /boot/vmlinuz-6.7.0-rc3 -\n6.6.9 /boot/vmlinuz-6.6.9 -\n",
		"/boot/vmlinuz-6.7.0-rc3", "/boot/vmlinuz-6.7.0-1", "/boot/vmlinuz-6.6.9",
		"/boot/vmlinuz-6.7.0-rc8");
}

static struct tree *torture_tree;

static int torture(struct error *err)
{
	struct kernels k;
	int r = kernels_find(torture_tree, &k, err);

	kernels_release(&k);
	return r;
}

static void test_out_of_memory(void **state)
{
	const char *const paths[] = {"/boot/vmlinuz-1", "/boot/initrd.img-1", "/usr/lib/modules/2/vmlinuz", NULL};

	(void)state;
	torture_tree = make_tree(paths);
	assert_true(allocfail_torture(torture));
	tree_free(torture_tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_order_of_children),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
