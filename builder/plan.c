/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: from spec and tree to sizes, places and ids of everything that will be written. The
 * steps are in plan_init.c (ids), plan_boot.c (what starts it), plan_layout.c (sizes) and
 * plan_write.c.
 */
#include "builder/plan_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static int make_identity(struct plan *p, const char *salt, struct error *err)
{
	const struct spec *s = p->spec;
	CLEANUP_FREE char *text = buf_strf(err, "%s\n%s\n%s\n%s", s->name, s->version,
		s->architecture, salt ? salt : "");
	uint8_t digest[SHA256_SIZE];

	if (!text || sha256(text, strlen(text), digest, err) < 0)
		return -1;
	hex_encode(p->identity, digest, sizeof(digest));
	return 0;
}

/* Empty trees for file systems that no part of the image's tree goes to. */
static int make_trees(struct plan *p, struct error *err)
{
	p->blank = tree_new(NULL, err);
	if (!p->blank)
		return -1;
	tree_set_mtime(p->blank, TREE_ROOT, p->epoch, 0);
	if (tree_finish(p->blank, p->epoch, err) < 0)
		return -1;
	p->boot.esp_tree = tree_new(p->opts->spool_dir, err);
	if (!p->boot.esp_tree)
		return -1;
	tree_set_mtime(p->boot.esp_tree, TREE_ROOT, p->epoch, 0);
	return 0;
}

int plan_make(struct plan *p, const struct spec *s, struct tree *t, const struct plan_opts *opts,
	struct diag *d, struct error *err)
{
	memset(p, 0, sizeof(*p));
	p->spec = s;
	p->opts = opts;
	p->epoch = opts->epoch;
	p->root_disk = plan_root_disk(s);
	p->disks = calloc(s->nr_disks + 1, sizeof(*p->disks));
	if (!p->disks)
		return error_nomem(err, "the plan");
	p->nr_disks = s->nr_disks;
	if (make_trees(p, err) < 0 || make_identity(p, opts->salt, err) < 0 ||
		plan_ami_name(s, p->epoch, p->ami_name, err) < 0 || plan_init_disks(p, err) < 0)
		return -1;
	if (plan_mounts(p, t, d, err) < 0 || plan_fstab(p, t, d, err) < 0 ||
		plan_grow(p, t, d, err) < 0 || tree_finish(t, p->epoch, err) < 0)
		return -1;
	if (plan_start(p, t, d, err) < 0 || tree_finish(t, p->epoch, err) < 0 ||
		tree_finish(p->boot.esp_tree, p->epoch, err) < 0)
		return -1;
	return plan_sizes(p, d, err);
}

struct plan_fs *plan_find_mount(const struct plan *p, const char *mount, size_t *disk)
{
	for (size_t i = 0; i < p->nr_disks; i++)
		for (size_t j = 0; j < p->disks[i].nr_fs; j++)
			if (p->disks[i].fs[j].mount && !strcmp(p->disks[i].fs[j].mount, mount)) {
				*disk = i;
				return &p->disks[i].fs[j];
			}
	return NULL;
}

static void disk_release(struct plan_disk *disk)
{
	for (size_t i = 0; i < disk->nr_fs; i++)
		fs_close(&disk->fs[i].fs);
	free(disk->table.parts);
	free(disk->fs);
}

void plan_release(struct plan *p)
{
	for (size_t i = 0; p->disks && i < p->nr_disks; i++)
		disk_release(&p->disks[i]);
	free(p->disks);
	plan_boot_release(&p->boot);
	fitness_release(&p->fitness);
	tree_free(p->blank);
	memset(p, 0, sizeof(*p));
}
