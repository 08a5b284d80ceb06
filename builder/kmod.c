/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for modules. Only those that are asked for and those that these need are kept, so that it
 * costs nothing how many there are.
 */
#include "builder/kmod.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "fs/initrd.h"
#include "fs/tree_file.h"

enum { ITEMS_MAX = 256, TEXT_MAX = 16 << 20 };

/* What is built in, by the kernel's configuration. */
static const struct {
	const char *module, *option;
} options[] = {
	{"nvme", "CONFIG_BLK_DEV_NVME"},
	{"ena", "CONFIG_ENA_ETHERNET"},
	{"ext4", "CONFIG_EXT4_FS"},
	{"xfs", "CONFIG_XFS_FS"},
	{"btrfs", "CONFIG_BTRFS_FS"},
	{"squashfs", "CONFIG_SQUASHFS"},
	{"overlay", "CONFIG_OVERLAY_FS"},
	{"dm_verity", "CONFIG_DM_VERITY"},
};

struct item {
	char name[KMOD_NAME_SIZE];
	unsigned places; /* its own, whatever it needs */
};

struct search {
	const struct tree *t;
	const struct kernel *kernel;
	struct kmod *out;
	struct item items[ITEMS_MAX]; /* the wanted first, then what they need */
	size_t nr, nr_wanted;
	bool needs[KMOD_WANTED_MAX][ITEMS_MAX];
	char prefixes[2][TREE_NAME_MAX + 32]; /* of its modules in an initrd */
};

/* "nvme-core" from "kernel/drivers/nvme/host/nvme-core.ko.xz" as nvme_core; false: no module. */
static bool module_name(const char *path, size_t len, char name[KMOD_NAME_SIZE])
{
	static const char *const ends[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};
	size_t start = len;

	while (start && path[start - 1] != '/')
		start--;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t end = strlen(ends[i]), n = len - start;

		if (n <= end || n - end >= KMOD_NAME_SIZE || memcmp(path + len - end, ends[i], end))
			continue;
		n -= end;
		for (size_t k = 0; k < n; k++)
			name[k] = path[start + k] == '-' ? '_' : path[start + k];
		name[n] = '\0';
		return true;
	}
	return false;
}

static struct item *find(struct search *s, const char *name)
{
	for (size_t i = 0; i < s->nr; i++)
		if (!strcmp(s->items[i].name, name))
			return &s->items[i];
	return NULL;
}

static void mark(struct search *s, const char *path, size_t len, unsigned place)
{
	char name[KMOD_NAME_SIZE];
	struct item *item = module_name(path, len, name) ? find(s, name) : NULL;

	if (item)
		item->places |= place;
}

/* A text file of the tree; *found is false when there is none. */
static int read_text(const struct search *s, const char *path, struct buf *text, bool *found,
	struct error *err)
{
	buf_clear(text);
	return tree_read_file(s->t, path, TEXT_MAX - 1, text, found, err);
}

/* A file of the modules' directory, wherever that is. */
static int read_module_text(const struct search *s, const char *file, struct buf *text, bool *found,
	struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->prefixes); i++) {
		CLEANUP_FREE char *path = buf_strf(err, "/%s%s", s->prefixes[i], file);

		if (!path || read_text(s, path, text, found, err) < 0)
			return -1;
		if (*found)
			return 0;
	}
	return 0;
}

static void add_need(struct search *s, size_t wanted, const char *path, size_t len)
{
	char name[KMOD_NAME_SIZE];
	struct item *item;

	if (!module_name(path, len, name))
		return;
	item = find(s, name);
	if (!item && s->nr < ITEMS_MAX) {
		item = &s->items[s->nr++];
		memcpy(item->name, name, sizeof(name));
	}
	if (item)
		s->needs[wanted][item - s->items] = true;
}

/* "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko" */
static void read_dep_line(struct search *s, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	char name[KMOD_NAME_SIZE];
	const struct item *item;

	if (!colon || !module_name(line, (size_t)(colon - line), name))
		return;
	item = find(s, name);
	if (!item || item >= s->items + s->nr_wanted)
		return;
	for (const char *at = colon + 1, *end = line + len; at < end;) {
		size_t n = 0;

		while (at + n < end && at[n] != ' ')
			n++;
		add_need(s, (size_t)(item - s->items), at, n);
		at += n + 1;
	}
}

static void each_line(struct search *s, const struct buf *text,
	void (*fn)(struct search *s, const char *line, size_t len))
{
	const char *at = buf_str(text), *end = at + text->len;

	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((nl ? nl : end) - at);

		fn(s, at, len);
		at += len + 1;
	}
}

static void read_builtin_line(struct search *s, const char *line, size_t len)
{
	mark(s, line, len, KMOD_BUILTIN);
}

static void read_config_line(struct search *s, const char *line, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		size_t n = strlen(options[i].option);
		struct item *item;

		if (len != n + 2 || memcmp(line, options[i].option, n) || memcmp(line + n, "=y", 2))
			continue;
		item = find(s, options[i].module);
		if (item)
			item->places |= KMOD_BUILTIN;
	}
}

static int read_builtin(struct search *s, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
	CLEANUP_FREE char *config = buf_strf(err, "/boot/config-%s", s->kernel->version);
	bool *known = &s->out->builtin_known;

	if (!config || read_module_text(s, "modules.builtin", &text, known, err) < 0)
		return -1;
	if (*known) {
		each_line(s, &text, read_builtin_line);
		return 0;
	}
	if (read_text(s, config, &text, known, err) < 0 ||
		(!*known && read_module_text(s, "config", &text, known, err) < 0))
		return -1;
	if (*known)
		each_line(s, &text, read_config_line);
	return 0;
}

static int read_dep(struct search *s, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);

	if (read_module_text(s, "modules.dep", &text, &s->out->has_dep, err) < 0)
		return -1;
	if (s->out->has_dep)
		each_line(s, &text, read_dep_line);
	else
		return read_module_text(s, "modules.dep.bin", &text, &s->out->has_dep, err);
	return 0;
}

/* The node behind `node` in a walk of what is below top. */
static tree_node next_below(const struct tree *t, tree_node top, tree_node node)
{
	tree_node next = tree_first_child(t, node);

	while (next == TREE_NONE && node != top) {
		next = tree_next_sibling(t, node);
		node = tree_parent(t, node);
	}
	return next;
}

static int find_files(struct search *s, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->prefixes); i++) {
		tree_node top, node;

		if (tree_lookup(s->t, s->prefixes[i], true, &top, err) < 0)
			return -1;
		if (top == TREE_NONE)
			continue;
		for (node = next_below(s->t, top, top); node != TREE_NONE;
			node = next_below(s->t, top, node)) {
			size_t len;
			const char *name = tree_name(s->t, node, &len);
			char module[KMOD_NAME_SIZE];

			mark(s, name, len, KMOD_FILE);
			s->out->has_files |= module_name(name, len, module);
		}
	}
	return 0;
}

static int see_initrd_entry(void *arg, const char *path, uint32_t mode, struct error *err)
{
	struct search *s = arg;
	const char *base = strrchr(path, '/');

	(void)err;
	if (S_ISDIR(mode))
		return 0;
	base = base ? base + 1 : path;
	s->out->initrd_has_verity |= !strcmp(base, "veritysetup") || !strcmp(base, "systemd-veritysetup");
	for (size_t i = 0; i < ARRAY_SIZE(s->prefixes); i++)
		if (!strncmp(path, s->prefixes[i], strlen(s->prefixes[i])))
			mark(s, path, strlen(path), KMOD_INITRD);
	return 0;
}

static int read_initrd(struct search *s, struct error *err)
{
	struct error *e = &s->out->initrd_error;
	tree_node node;

	if (!s->kernel->initrd)
		return 0;
	if (tree_lookup(s->t, s->kernel->initrd, true, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	if (initrd_walk(s->t, node, s->kernel->initrd, see_initrd_entry, s, e) < 0) {
		if (e->kind == ERROR_INPUT)
			return 0;
		*err = *e;
		return -1;
	}
	s->out->initrd_read = true;
	return 0;
}

/* A wanted module's places, given where those are that it needs. */
static void conclude(struct search *s, size_t wanted)
{
	struct kmod_module *m = &s->out->modules[wanted];

	memcpy(m->name, s->items[wanted].name, sizeof(m->name));
	m->places = s->items[wanted].places;
	if (m->places & KMOD_BUILTIN)
		return;
	for (size_t i = 0; i < s->nr; i++) {
		unsigned there = s->items[i].places;

		if (!s->needs[wanted][i] || there & KMOD_BUILTIN)
			continue;
		if (m->places & KMOD_INITRD && !(there & KMOD_INITRD)) {
			m->places &= ~(unsigned)KMOD_INITRD;
			memcpy(m->missing, s->items[i].name, sizeof(m->missing));
		}
		if (!(there & KMOD_FILE))
			m->places &= ~(unsigned)KMOD_FILE;
	}
}

int kmod_find(struct kmod *out, const struct tree *t, const struct kernel *k,
	const char *const *wanted, struct error *err)
{
	CLEANUP_FREE struct search *s = calloc(1, sizeof(*s));

	*out = (struct kmod){.nr = 0};
	if (!s)
		return error_nomem(err, "the search for modules");
	s->t = t;
	s->kernel = k;
	s->out = out;
	for (; wanted[s->nr] && s->nr < KMOD_WANTED_MAX; s->nr++)
		snprintf(s->items[s->nr].name, KMOD_NAME_SIZE, "%s", wanted[s->nr]);
	s->nr_wanted = out->nr = s->nr;
	snprintf(s->prefixes[0], sizeof(s->prefixes[0]), "usr/lib/modules/%s/", k->version);
	snprintf(s->prefixes[1], sizeof(s->prefixes[1]), "lib/modules/%s/", k->version);
	if (read_dep(s, err) < 0 || read_builtin(s, err) < 0 || find_files(s, err) < 0 ||
		read_initrd(s, err) < 0)
		return -1;
	for (size_t i = 0; i < s->nr_wanted; i++)
		conclude(s, i);
	return 0;
}

unsigned kmod_places(const struct kmod *m, const char *name)
{
	for (size_t i = 0; i < m->nr; i++)
		if (!strcmp(m->modules[i].name, name))
			return m->modules[i].places;
	return 0;
}
