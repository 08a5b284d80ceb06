/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/fstab by UUID: one line a file system, parents before children, swap last. */
#include "builder/plan_internal.h"

#include <stdlib.h>
#include <string.h>

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

/* The text of the tree's own fstab; empty when there is none. */
static int read_existing(const struct tree *t, struct buf *text, struct error *err)
{
	struct tree_attr attr;
	tree_node node;
	void *room;

	if (tree_lookup(t, "/etc/fstab", true, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	tree_get(t, node, &attr);
	if (!S_ISREG(attr.mode))
		return error_set(err, ERROR_INPUT, 0, "'/etc/fstab' of the tree is no regular file");
	room = buf_extend(text, attr.size, err);
	if (!room || tree_pread(t, node, room, attr.size, 0, err) < 0)
		return error_wrap(err, "'/etc/fstab' of the tree");
	return 0;
}

struct entry {
	const struct plan_fs *fs;
	size_t disk;
};

/* Swap, which has no mount point, comes last. */
static int by_mount(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	if (!a->fs->mount || !b->fs->mount)
		return !a->fs->mount - !b->fs->mount;
	return strcmp(a->fs->mount, b->fs->mount);
}

static bool is_swap(const struct plan_fs *fs)
{
	return fs->fs.ops->flags & FS_NO_TREE;
}

/*
 * A root file system that nobody may write to is mounted by whoever started the kernel, in whatever
 * way; a line here would only mount it a second time.
 */
bool plan_fstab_has(const struct plan *p, size_t disk, const struct plan_fs *fs)
{
	bool root = fs->mount && !strcmp(fs->mount, "/");

	if (root && (p->disks[disk].verity.used || (fs->fs.ops->flags & FS_READ_ONLY)))
		return false;
	return fs->mount || is_swap(fs);
}

/* All file systems that get a line, in the order of their mount points; *list is the caller's. */
static int collect(const struct plan *p, struct entry **list, size_t *nr, struct error *err)
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
			if (plan_fstab_has(p, i, &p->disks[i].fs[j]))
				(*list)[(*nr)++] = (struct entry){&p->disks[i].fs[j], i};
	qsort(*list, *nr, sizeof(**list), by_mount);
	return 0;
}

static const char *usual_options(const struct plan_fs *fs)
{
	const char *type = fs->fs.ops->name;

	if (is_swap(fs))
		return "sw";
	if (!strcmp(type, "vfat"))
		return "umask=0077";
	if (!strncmp(type, "ext", 3) && !strcmp(fs->mount, "/"))
		return "defaults,errors=remount-ro";
	return "defaults";
}

/* ext and vfat are checked at boot, the root first; the others need or have no such check. */
static int check_pass(const struct plan_fs *fs)
{
	const char *type = fs->fs.ops->name;

	if (strncmp(type, "ext", 3) && strcmp(type, "vfat"))
		return 0;
	return strcmp(fs->mount, "/") ? 2 : 1;
}

int plan_fstab_line(const struct plan *p, size_t disk, const struct plan_fs *fs, struct buf *out,
	struct error *err)
{
	char source[FS_ID_TEXT];

	plan_fs_source(p, disk, fs, source);
	return buf_addf(out, err, "%s %s %s %s%s 0 %d", source, is_swap(fs) ? "none" : fs->mount,
		fs->fs.ops->name, fs->options ? fs->options : usual_options(fs),
		fs->grow ? ",x-systemd.growfs" : "", is_swap(fs) ? 0 : check_pass(fs));
}

int plan_fstab(const struct plan *p, struct tree *t, struct diag *d, struct error *err)
{
	CLEANUP_FREE struct entry *list = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(FSTAB_MAX);
	CLEANUP_BUF struct buf own = BUF_INIT(FSTAB_MAX);
	size_t nr, disk;

	if (!plan_find_mount(p, "/", &disk))
		return 0;
	if (collect(p, &list, &nr, err) < 0 || read_existing(t, &own, err) < 0)
		return -1;
	if (has_entries(buf_str(&own)))
		return plan_fstab_check(p, buf_str(&own), d, err);
	if (buf_add_str(&text, "# <file system> <mount point> <type> <options> <dump> <pass>\n", err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (plan_fstab_line(p, list[i].disk, list[i].fs, &text, err) < 0 ||
			buf_add_char(&text, '\n', err) < 0)
			return -1;
	return tree_edit_write(t, "/etc/fstab", buf_str(&text), text.len, 0644,
		(struct tree_edit_owner){0, 0}, p->epoch, err);
}
