/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/fstab by UUID: one line a mounted file system, parents before children. */
#include "builder/plan_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "fs/tree_edit.h"

/* A file of more than this is nobody's fstab. */
enum { FSTAB_MAX = 1 << 20 };

/* True when the tree's fstab has a line that is neither empty nor a comment. */
static bool has_entries(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		size_t blank = strspn(text, " \t\r");

		if (blank < len && text[blank] != '#')
			return true;
		text += len + (text[len] == '\n');
	}
	return false;
}

/* *own: the tree brings an fstab that must stay. */
static int look_at_existing(const struct tree *t, bool *own, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FSTAB_MAX);
	struct tree_attr attr;
	tree_node node;
	void *room;

	*own = false;
	if (tree_lookup(t, "/etc/fstab", true, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	tree_get(t, node, &attr);
	if (!S_ISREG(attr.mode))
		return error_set(err, ERROR_INPUT, 0, "'/etc/fstab' of the tree is no regular file");
	room = buf_extend(&text, attr.size, err);
	if (!room || tree_pread(t, node, room, attr.size, 0, err) < 0)
		return error_wrap(err, "'/etc/fstab' of the tree");
	*own = has_entries(buf_str(&text));
	return 0;
}

static int by_mount(const void *pa, const void *pb)
{
	const struct plan_fs *const *a = pa, *const *b = pb;

	return strcmp((*a)->mount, (*b)->mount);
}

/* All mounted file systems in the order of their mount points; *list is the caller's. */
static int collect(const struct plan *p, const struct plan_fs ***list, size_t *nr, struct error *err)
{
	size_t max = 1;

	for (size_t i = 0; i < p->nr_disks; i++)
		max += p->disks[i].nr_fs;
	*nr = 0;
	*list = calloc(max, sizeof(**list));
	if (!*list)
		return error_nomem(err, "the list of file systems");
	for (size_t i = 0; i < p->nr_disks; i++)
		for (size_t j = 0; j < p->disks[i].nr_fs; j++)
			if (p->disks[i].fs[j].mount)
				(*list)[(*nr)++] = &p->disks[i].fs[j];
	qsort(*list, *nr, sizeof(**list), by_mount);
	return 0;
}

static int add_line(struct buf *out, const struct plan_fs *fs, struct error *err)
{
	bool root = !strcmp(fs->mount, "/");
	char uuid[UUID_TEXT_SIZE];

	return buf_addf(out, err, "UUID=%s %s %s %s 0 %d\n", uuid_format(uuid, fs->ext4.uuid),
		fs->mount, fs->type, root ? "defaults,errors=remount-ro" : "defaults", root ? 1 : 2);
}

int plan_fstab(const struct plan *p, struct tree *t, struct error *err)
{
	CLEANUP_FREE const struct plan_fs **list = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(FSTAB_MAX);
	bool own;
	size_t nr;

	if (collect(p, &list, &nr, err) < 0)
		return -1;
	if (!nr || strcmp(list[0]->mount, "/"))
		return 0;
	if (look_at_existing(t, &own, err) < 0)
		return -1;
	if (own) {
		log_warn("the tree's own /etc/fstab has entries and is kept: check that they fit the "
			 "partitions of the spec");
		return 0;
	}
	if (buf_add_str(&text, "# <file system> <mount point> <type> <options> <dump> <pass>\n", err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (add_line(&text, list[i], err) < 0)
			return -1;
	return tree_edit_write(t, "/etc/fstab", buf_str(&text), text.len, 0644,
		(struct tree_edit_owner){0, 0}, p->epoch, err);
}
