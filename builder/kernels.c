/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for kernels where distributions put them. */
#include "builder/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

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
};

static bool is_file(const struct tree *t, const char *path, struct error *err, int *ret)
{
	struct tree_attr attr;
	tree_node node;

	*ret = tree_lookup(t, path, true, &node, err);
	if (*ret < 0 || node == TREE_NONE)
		return false;
	tree_get(t, node, &attr);
	return S_ISREG(attr.mode) && attr.size;
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

/* Calls add() for each entry of a directory that fits; children need no order here. */
static int add_from_boot(const struct tree *t, tree_node dir, struct kernels *out, struct error *err)
{
	for (tree_node n = tree_first_child(t, dir); n != TREE_NONE; n = tree_next_sibling(t, n)) {
		const char *name = tree_name(t, n, NULL);

		for (const char *const *p = image_prefixes; *p; p++) {
			CLEANUP_FREE char *path = buf_strf(err, "/boot/%s", name);
			size_t len = strlen(*p);

			if (!path)
				return -1;
			if (!strncmp(name, *p, len) && name[len] && !strstr(name, ".old") &&
				!strstr(name, "rescue") && add(t, out, path, name + len, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int add_from_modules(const struct tree *t, tree_node dir, struct kernels *out,
	struct error *err)
{
	for (tree_node n = tree_first_child(t, dir); n != TREE_NONE; n = tree_next_sibling(t, n)) {
		const char *version = tree_name(t, n, NULL);
		CLEANUP_FREE char *path = buf_strf(err, "/usr/lib/modules/%s/vmlinuz", version);

		if (!path || add(t, out, path, version, err) < 0)
			return -1;
	}
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct kernel *ka = a, *kb = b;
	int r = strverscmp(kb->version, ka->version);

	return r ? r : strcmp(kb->version, ka->version);
}

int kernels_find(const struct tree *t, struct kernels *out, struct error *err)
{
	tree_node boot, modules;

	*out = (struct kernels){NULL, 0};
	if (tree_lookup(t, "/boot", true, &boot, err) < 0 ||
		tree_lookup(t, "/usr/lib/modules", true, &modules, err) < 0)
		return -1;
	if (boot != TREE_NONE && add_from_boot(t, boot, out, err) < 0)
		return -1;
	if (modules != TREE_NONE && add_from_modules(t, modules, out, err) < 0)
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
