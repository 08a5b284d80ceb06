/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for kernels where distributions put them. */
#include "builder/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "fs/tree_file.h"

/* The better one of a version first. */
static const char *const image_prefixes[] = {"vmlinuz-", "Image-", "vmlinux-", NULL};

/* Path with the version between prefix and suffix. */
static const struct {
	const char *prefix, *suffix;
} initrds[] = {
	{"/boot/initrd.img-", ""},
	{"/boot/initramfs-", ".img"},
	{"/boot/initrd-", ""},
	{"/boot/initrd-", ".img"},
	{"/usr/lib/modules/", "/initrd"},
	{"/usr/lib/modules/", "/initramfs.img"},
	{"/lib/modules/", "/initrd"},
	{"/lib/modules/", "/initramfs.img"},
};

static bool is_file(const struct tree *t, const char *path, struct error *err, int *ret)
{
	uint64_t size = 0;
	tree_node node;

	*ret = tree_find_file(t, path, &node, &size, err);
	return *ret == 0 && size;
}

static int find_initrd(const struct tree *t, struct kernel *k, struct error *err)
{
	for (size_t i = 0; i < sizeof(initrds) / sizeof(initrds[0]); i++) {
		CLEANUP_FREE char *path =
			buf_strf(err, "%s%s%s", initrds[i].prefix, k->version, initrds[i].suffix);
		int ret;

		if (!path)
			return -1;
		if (is_file(t, path, err, &ret)) {
			k->initrd = steal_ptr(&path);
			return 0;
		}
		if (ret < 0)
			return -1;
	}
	return 0;
}

static bool known(const struct kernels *k, const char *version)
{
	for (size_t i = 0; i < k->nr; i++)
		if (!strcmp(k->items[i].version, version))
			return true;
	return false;
}

/* Adds the kernel at dir/name when it is one. */
static int add(const struct tree *t, struct kernels *out, const char *path, const char *version,
	struct error *err)
{
	struct kernel *items, *k;
	int ret;

	if (!is_file(t, path, err, &ret))
		return ret;
	if (known(out, version))
		return 0;
	items = reallocarray(out->items, out->nr + 1, sizeof(*items));
	if (!items)
		return error_nomem(err, "the list of kernels");
	out->items = items;
	k = &items[out->nr++];
	*k = (struct kernel){buf_strf(err, "%s", version), buf_strf(err, "%s", path), NULL};
	return k->version && k->image ? find_initrd(t, k, err) : -1;
}

/*
 * Fedora's rescue kernel is a copy for emergencies; .old and .dpkg-* are what upgrades leave, .gz is
 * SUSE's vmlinux for debuggers. uname -r has no blanks, and a menu could not name them.
 */
static bool is_version(const char *version)
{
	for (const char *c = version; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return false;
	return *version && !text_ends_with(version, ".old") && !text_ends_with(version, ".gz") &&
	       !strstr(version, ".dpkg-") && !strstr(version, "rescue");
}

/* The children may come in any order: what is found first must not depend on it. */
static int add_from_boot(const struct tree *t, tree_node dir, struct kernels *out, struct error *err)
{
	for (const char *const *p = image_prefixes; *p; p++) {
		size_t len = strlen(*p);

		for (tree_node n = tree_first_child(t, dir); n != TREE_NONE; n = tree_next_sibling(t, n)) {
			size_t name_len;
			const char *name = tree_name(t, n, &name_len);
			CLEANUP_FREE char *path = buf_strf(err, "/boot/%s", name);

			if (!path)
				return -1;
			if (!strncmp(name, *p, len) && is_version(name + len) &&
				add(t, out, path, name + len, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int add_from_modules(const struct tree *t, const char *modules, tree_node dir,
	struct kernels *out, struct error *err)
{
	for (tree_node n = tree_first_child(t, dir); n != TREE_NONE; n = tree_next_sibling(t, n)) {
		size_t len;
		const char *version = tree_name(t, n, &len);
		CLEANUP_FREE char *path = buf_strf(err, "%s/%s/vmlinuz", modules, version);

		if (!path || (is_version(version) && add(t, out, path, version, err) < 0))
			return -1;
	}
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* True at "-rc1", ".pre3": what comes before the version itself, as GRUB has it. */
static bool is_before(const char *at)
{
	static const char *const words[] = {"pre", "rc", "test", "git", "old", "trunk"};

	if (*at != '.' && *at != '_' && *at != '-')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strncmp(at + 1, words[i], strlen(words[i])))
			return true;
	return false;
}

/* '~' sorts before the end, the end (and a number) before letters, those before all else. */
static int weight(const char *at)
{
	if (*at == '~' || is_before(at))
		return -1;
	if (!*at || is_digit(*at))
		return 0;
	return (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ? *at : *at + 256;
}

/* Numbers by value, of any length; moves both behind theirs. */
static int compare_numbers(const char **a, const char **b)
{
	size_t la, lb;
	int r;

	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	la = strspn(*a, "0123456789");
	lb = strspn(*b, "0123456789");
	r = la != lb ? (la < lb ? -1 : 1) : strncmp(*a, *b, la);
	*a += la;
	*b += lb;
	return r;
}

/* As dpkg and rpm compare versions: 6.1.0-9 < 6.1.0-40 < 6.1.0-40+1, 6.2~rc1 and 6.2-rc1 < 6.2. */
static int compare_versions(const char *a, const char *b)
{
	while (*a || *b) {
		int r;

		while ((*a && !is_digit(*a)) || (*b && !is_digit(*b))) {
			r = weight(a) - weight(b);
			if (r)
				return r;
			a++;
			b++;
		}
		r = compare_numbers(&a, &b);
		if (r)
			return r;
	}
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct kernel *ka = a, *kb = b;
	int r = compare_versions(kb->version, ka->version);

	return r ? r : strcmp(kb->version, ka->version);
}

int kernels_find(const struct tree *t, struct kernels *out, struct error *err)
{
	static const char *const dirs[] = {"/usr/lib/modules", "/lib/modules"};
	tree_node dir;

	*out = (struct kernels){NULL, 0};
	if (tree_lookup(t, "/boot", true, &dir, err) < 0 ||
		(dir != TREE_NONE && add_from_boot(t, dir, out, err) < 0))
		return -1;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (tree_lookup(t, dirs[i], true, &dir, err) < 0 ||
			(dir != TREE_NONE && add_from_modules(t, dirs[i], dir, out, err) < 0))
			return -1;
	if (out->nr)
		qsort(out->items, out->nr, sizeof(*out->items), newest_first);
	return 0;
}

void kernels_release(struct kernels *k)
{
	for (size_t i = 0; i < k->nr; i++) {
		free(k->items[i].version);
		free(k->items[i].image);
		free(k->items[i].initrd);
	}
	free(k->items);
	*k = (struct kernels){NULL, 0};
}
