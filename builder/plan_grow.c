/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing at the first boot: the volume may be larger than the image. cloud-init grows partitions
 * (growpart) and the root file system; systemd grows any other one, when it is mounted (x-systemd.growfs,
 * which plan_fstab.c writes), which is before cloud-init has grown its partition: hence a unit that does
 * it once more. Where there is no cloud-init, systemd-repart does the partitions, before all mounts.
 */
#include "builder/plan_internal.h"

#include <string.h>

#include "base/hash.h"
#include "fs/tree_edit.h"

static const char cloud_config[] = "/etc/cloud/cloud.cfg.d/60_amiwright_grow.cfg";
static const char unit[] = "/etc/systemd/system/amiwright-growfs.service";
static const char unit_link[] = "/etc/systemd/system/multi-user.target.wants/amiwright-growfs.service";

static int exists(const struct tree *t, const char *const *paths, bool *found, struct error *err)
{
	*found = false;
	for (; *paths && !*found; paths++) {
		tree_node node;

		if (tree_lookup(t, *paths, true, &node, err) < 0)
			return -1;
		*found = node != TREE_NONE;
	}
	return 0;
}

static int has_cloud_init(const struct tree *t, bool *found, struct error *err)
{
	static const char *const cloud_init[] = {"/usr/bin/cloud-init", NULL};
	static const char *const growpart[] = {"/usr/bin/growpart", NULL};

	if (exists(t, cloud_init, found, err) < 0)
		return -1;
	return *found ? exists(t, growpart, found, err) : 0;
}

static int write_file(const struct plan *p, struct tree *t, const char *path, const struct buf *text,
	struct error *err)
{
	return tree_edit_write(t, path, text->data, text->len, 0644, (struct tree_edit_owner){0, 0},
		p->epoch, err);
}

static const char unit_head[] =
	"[Unit]\n"
	"Description=Grow file systems to the partitions that cloud-init made larger\n"
	"After=cloud-init.service local-fs.target\n"
	"ConditionPathExists=/usr/lib/systemd/systemd-growfs\n\n"
	"[Service]\n"
	"Type=oneshot\n";

/* For all but the root file system, which cloud-init grows itself. */
static int write_unit(const struct plan *p, struct tree *t, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 16);

	for (size_t i = 0; i < p->nr_disks; i++)
		for (size_t j = 0; j < p->disks[i].nr_fs; j++) {
			const struct plan_fs *fs = &p->disks[i].fs[j];

			if (!fs->grow || !fs->part || !strcmp(fs->mount, "/"))
				continue;
			if ((!text.len && buf_add_str(&text, unit_head, err) < 0) ||
				buf_addf(&text, err, "ExecStart=/usr/lib/systemd/systemd-growfs %s\n",
					fs->mount) < 0)
				return -1;
		}
	if (!text.len)
		return 0;
	if (buf_add_str(&text, "\n[Install]\nWantedBy=multi-user.target\n", err) < 0 ||
		write_file(p, t, unit, &text, err) < 0)
		return -1;
	return tree_edit_symlink(t, unit_link, unit, (struct tree_edit_owner){0, 0}, p->epoch, err);
}

/* The list replaces cloud-init's own, which is / alone. */
static int use_cloud_init(const struct plan *p, struct tree *t, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 16);

	if (buf_add_str(&text, "growpart:\n  mode: auto\n  devices:\n", err) < 0)
		return -1;
	for (size_t i = 0; i < p->nr_disks; i++)
		for (size_t j = 0; j < p->disks[i].nr_fs; j++) {
			const struct plan_fs *fs = &p->disks[i].fs[j];

			if (fs->grow && fs->part && buf_addf(&text, err, "    - %s\n", fs->mount) < 0)
				return -1;
		}
	if (write_file(p, t, cloud_config, &text, err) < 0)
		return -1;
	return write_unit(p, t, err);
}

/* What means nothing to a path, nor to systemd's reader of such files. */
static bool plain(const char *name)
{
	return *name != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") == strlen(name);
}

/*
 * systemd-repart works on the root disk: it takes the partition of this type that is there already.
 * That one keeps its label, so a name that would need quoting is just left out.
 */
static int use_repart(const struct plan *p, struct tree *t, const struct plan_fs *fs, struct error *err)
{
	const char *name = plain(fs->part->name) ? fs->part->name : NULL;
	CLEANUP_FREE char *path = buf_strf(err, "/usr/lib/repart.d/50-%s.conf", name ? name : "grow");
	CLEANUP_BUF struct buf text = BUF_INIT(4096);
	const struct partition *part = &p->disks[p->root_disk].table.parts[fs->part_index];
	char guid[UUID_TEXT_SIZE];

	if (!path || buf_addf(&text, err, "[Partition]\nType=%s\n", uuid_format(guid, part->type)) < 0 ||
		(name && buf_addf(&text, err, "Label=%s\n", name) < 0) ||
		buf_add_str(&text, "GrowFileSystem=yes\n", err) < 0)
		return -1;
	return write_file(p, t, path, &text, err);
}

static int no_way(const struct plan_fs *fs, struct diag *d, const char *what, struct error *err)
{
	diag_add(d, fs->part->grow_place, "%s", what);
	return diag_result(d, err);
}

int plan_grow(const struct plan *p, struct tree *t, struct diag *d, struct error *err)
{
	static const char *const repart[] = {"/usr/bin/systemd-repart", "/bin/systemd-repart", NULL};
	bool cloud_init, systemd_repart, any = false;

	if (has_cloud_init(t, &cloud_init, err) < 0 || exists(t, repart, &systemd_repart, err) < 0)
		return -1;
	for (size_t i = 0; i < p->nr_disks; i++)
		for (size_t j = 0; j < p->disks[i].nr_fs; j++) {
			const struct plan_fs *fs = &p->disks[i].fs[j];

			/* A file system over a whole disk has no partition that could be too small. */
			if (!fs->grow || !fs->part)
				continue;
			any = true;
			if (cloud_init)
				continue;
			if (!systemd_repart)
				return no_way(fs, d, "nothing in the tree can grow a partition: add the packages "
					"cloud-init and cloud-guest-utils, or systemd-repart", err);
			if (i != p->root_disk)
				return no_way(fs, d, "systemd-repart grows partitions of the root disk only: add "
					"the packages cloud-init and cloud-guest-utils", err);
			if (use_repart(p, t, fs, err) < 0)
				return -1;
		}
	return any && cloud_init ? use_cloud_init(p, t, err) : 0;
}
