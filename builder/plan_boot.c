/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes the image start: kernels, boot loader, the mode that the AMI is registered with, and
 * whether an instance of it would be of use.
 */
#include "builder/plan_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/loader_efi.h"
#include "fs/tree_file.h"

enum { OS_RELEASE_MAX = 64 << 10 };

/* The root hash of a dm-verity root until it is known. */
static const char no_hash[] = "0000000000000000000000000000000000000000000000000000000000000000";

static const struct loader_ops *const loaders[] = {&loader_grub, &loader_systemd_boot, &loader_uki};

static const struct loader_ops *find_loader(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(loaders); i++)
		if (!strcmp(loaders[i]->name, name))
			return loaders[i];
	return NULL;
}

const char *plan_asked_mode(const struct spec *s)
{
	return s->boot.mode && strcmp(s->boot.mode, "auto") ? s->boot.mode : NULL;
}

void plan_boot_release(struct plan_boot *b)
{
	loader_out_release(&b->out);
	kernels_release(&b->kernels);
	tree_free(b->esp_tree);
	free(b->root);
	free(b->boot_uuid);
	free(b->os_id);
	free(b->os_name);
	memset(b, 0, sizeof(*b));
}

/* A value of os-release, without its quotes; NULL when it is not there. */
static char *os_value(const char *text, const char *key, struct error *err)
{
	size_t key_len = strlen(key);

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *value = text + key_len + 1;
		size_t len;

		if (strncmp(text, key, key_len) || text[key_len] != '=')
			continue;
		len = strcspn(value, "\n");
		if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
			value++;
			len -= 2;
		}
		return buf_strf(err, "%.*s", (int)len, value);
	}
	return NULL;
}

/* ID becomes part of file names: only what os-release(5) allows there. */
static bool good_id(const char *id)
{
	return *id && *id != '.' && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(id);
}

static int read_os_release(struct plan *p, const struct tree *t, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(OS_RELEASE_MAX + 1);
	struct plan_boot *b = &p->boot;
	bool found;

	if (tree_read_file(t, "/etc/os-release", OS_RELEASE_MAX, &text, &found, err) < 0 ||
		(!found && tree_read_file(t, "/usr/lib/os-release", OS_RELEASE_MAX, &text, &found,
				   err) < 0))
		return -1;
	b->os_id = os_value(buf_str(&text), "ID", err);
	if (!b->os_id || !good_id(b->os_id)) {
		free(b->os_id);
		b->os_id = buf_strf(err, "linux");
	}
	b->os_name = os_value(buf_str(&text), "PRETTY_NAME", err);
	if (!b->os_name)
		b->os_name = buf_strf(err, "%s %s", p->spec->name, p->spec->version);
	return b->os_id && b->os_name ? 0 : -1;
}

void plan_fs_source(const struct plan *p, size_t disk, const struct plan_fs *fs,
	char out[FS_ID_TEXT])
{
	fs_id_text(&fs->fs, out);
	if (!out[0] && fs->part) {
		char id[PARTITION_ID_TEXT];

		partition_id_text(&p->disks[disk].table, fs->part_index, id);
		snprintf(out, FS_ID_TEXT, "PARTUUID=%s", id);
	}
}

/* The kernel's argument for its root, and where GRUB finds /boot. */
static int find_root(struct plan *p, struct error *err)
{
	size_t disk = 0, boot_disk = 0;
	const struct plan_fs *root = plan_find_mount(p, "/", &disk);
	const struct plan_fs *boot = plan_find_mount(p, "/boot", &boot_disk);
	struct plan_boot *b = &p->boot;
	char id[FS_ID_TEXT];

	b->in.verity = p->disks[disk].verity.used;
	plan_fs_source(p, disk, root, id);
	b->root = b->in.verity ? buf_strf(err, "roothash=%s", no_hash) :
				 buf_strf(err, "root=%s %s", id,
					 root->fs.ops->flags & FS_READ_ONLY ? "rootfstype=squashfs ro" : "ro");
	fs_id_text(boot ? &boot->fs : &root->fs, id);
	/* A squashfs has no uuid. */
	b->boot_uuid = id[0] ? buf_strf(err, "%s", id + strlen("UUID=")) : NULL;
	if (!b->root || (id[0] && !b->boot_uuid))
		return -1;
	b->in.root = b->root;
	b->in.boot_uuid = b->boot_uuid;
	b->in.boot_dir = boot ? "" : "/boot";
	return 0;
}

static int fill_loader(struct plan *p, struct tree *t, struct error *err)
{
	const struct spec *s = p->spec;
	struct plan_boot *b = &p->boot;
	const struct spec_partition *esp = b->layout.esp, *xbootldr = b->layout.xbootldr;

	b->in = (struct loader_in){
		.tree = t,
		.esp_tree = esp && !esp->mount ? b->esp_tree : t,
		.esp = !esp ? NULL : esp->mount ? esp->mount : "",
		.xbootldr = xbootldr ? xbootldr->mount : NULL,
		.architecture = s->architecture,
		.os_id = b->os_id,
		.os_name = b->os_name,
		.cmdline = s->boot.cmdline ? s->boot.cmdline : SPEC_CMDLINE,
		.kernels = &b->kernels,
		.timeout = s->boot.timeout,
		.sign_key = s->boot.sign_key,
		.sign_certificate = s->boot.sign_certificate,
		.spool_dir = p->opts->spool_dir,
		.epoch = p->epoch,
		.cancelled = p->opts->cancelled,
	};
	return find_root(p, err);
}

static int refuse(struct diag *d, struct diag_place place, struct error *err)
{
	if (err->kind != ERROR_INPUT && err->kind != ERROR_USAGE)
		return -1;
	diag_add(d, place, "%s", err->text);
	return diag_result(d, err);
}

/* One firmware that was asked for. */
static int need(const struct plan *p, enum loader_firmware fw, struct diag *d, struct error *err)
{
	if (!p->boot.loader->check(&p->boot.in, fw, err))
		return 0;
	return refuse(d, p->spec->boot.mode_place.line ? p->spec->boot.mode_place :
							  p->spec->boot.loader_place, err);
}

/*
 * Whether this firmware would start the image: *fit, or why not in `why`. What no other firmware could
 * mend either (a mistake of the spec, reading that failed) ends it all.
 */
static int try(const struct plan *p, enum loader_firmware fw, bool *fit, struct error *why,
	struct error *err)
{
	const struct layout *l = &p->boot.layout;

	*fit = !p->boot.loader->check(&p->boot.in, fw, why) &&
	       !(fw == LOADER_BIOS ? layout_check_core(l, why) : layout_check_esp(l, why));
	if (*fit || why->kind == ERROR_INPUT)
		return 0;
	if (err)
		*err = *why;
	return -1;
}

/* `mode: auto`: whatever loader, layout and tree allow. */
static int find_mode(struct plan *p, struct diag *d, struct error *err)
{
	struct error bios = ERROR_INIT, uefi = ERROR_INIT, core = ERROR_INIT;
	struct loader_in *in = &p->boot.in;
	bool both = p->boot.loader->bios && !strcmp(in->architecture, "x86_64");

	if ((both && try(p, LOADER_BIOS, &in->bios, &bios, err) < 0) ||
		try(p, LOADER_UEFI, &in->uefi, &uefi, err) < 0)
		return refuse(d, p->spec->boot.loader_place, err);
	if (!in->bios && !in->uefi && !strcmp(bios.text, uefi.text)) {
		diag_add(d, p->spec->boot.loader_place, "the image could not start: %s", bios.text);
		return diag_result(d, err);
	}
	if (!in->bios && !in->uefi) {
		/* What concerns both, or the only one that there could be, is told once. */
		if (!both || !strcmp(bios.text, uefi.text))
			diag_add(d, p->spec->boot.loader_place, "the image could not start: %s", uefi.text);
		else
			diag_add(d, p->spec->boot.loader_place,
				"the image could not start. With a BIOS: %s. With UEFI: %s", bios.text, uefi.text);
		return diag_result(d, err);
	}
	/* Only where the layout shows that the other one was wanted too. */
	if (!in->uefi && in->esp)
		log_warn("the image starts on BIOS only: %s", uefi.text);
	if (both && !in->bios && !layout_check_core(&p->boot.layout, &core))
		log_warn("the image starts on UEFI only: %s", bios.text);
	p->boot_mode = !in->bios ? "uefi" : in->uefi ? "uefi-preferred" : "legacy-bios";
	return 0;
}

static int settle_mode(struct plan *p, struct diag *d, struct error *err)
{
	struct loader_in *in = &p->boot.in;

	p->boot_mode = plan_asked_mode(p->spec);
	if (!p->boot_mode)
		return find_mode(p, d, err);
	in->bios = strcmp(p->boot_mode, "uefi");
	in->uefi = strcmp(p->boot_mode, "legacy-bios");
	if ((in->bios && need(p, LOADER_BIOS, d, err) < 0) ||
		(in->uefi && need(p, LOADER_UEFI, d, err) < 0))
		return -1;
	return 0;
}

/* Fatal points are mistakes of the spec, the others warnings, or mistakes too when it is strict. */
static int judge(const struct plan *p, struct diag *d, struct error *err)
{
	const struct spec *s = p->spec;
	struct diag_place place = s->boot.loader_place.line ? s->boot.loader_place : s->disks_place;

	for (size_t i = 0; i < p->fitness.nr; i++) {
		const struct fitness_point *point = &p->fitness.items[i];
		CLEANUP_BUF struct buf text = BUF_INIT(8192);

		if (fitness_text(point, &text, err) < 0)
			return -1;
		if (s->strict || (p->boot.loader && point->level == FITNESS_FATAL))
			diag_add(d, place, "%s", buf_str(&text));
		else
			log_warn("%s", buf_str(&text));
	}
	return diag_result(d, err);
}

static int check_fitness(struct plan *p, const struct tree *t, struct diag *d, struct error *err)
{
	size_t disk = 0;
	const struct plan_fs *root = plan_find_mount(p, "/", &disk);
	struct fitness_in in = {
		.t = t,
		.architecture = p->spec->architecture,
		.cmdline = p->boot.loader ? p->boot.in.cmdline : NULL,
		.kernels = &p->boot.kernels,
		.root_fs = root->fs.ops->name,
		.verity = p->disks[disk].verity.used,
		.bootable = p->boot.loader != NULL,
		.grow = root->grow,
	};

	if (fitness_check(&in, &p->fitness, err) < 0)
		return -1;
	return judge(p, d, err);
}

/* What the tree's own loader on the EFI system partition says, where ours is none. */
static int infer_mode(struct plan *p, const struct tree *t, struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch_find(p->spec->architecture);
	const struct spec_partition *esp = p->boot.layout.esp;
	CLEANUP_FREE char *path = NULL;
	tree_node node;

	p->boot_mode = plan_asked_mode(p->spec);
	if (p->boot_mode || !arch || !esp || !esp->mount)
		return 0;
	path = loader_efi_fold(t, esp->mount, arch->removable, err);
	if (!path || tree_lookup(t, path, true, &node, err) < 0)
		return -1;
	if (node != TREE_NONE)
		p->boot_mode = "uefi";
	return 0;
}

static int install(struct plan *p, struct diag *d, struct error *err)
{
	struct plan_boot *b = &p->boot;

	if (b->loader->install(&b->in, &b->out, err) < 0)
		return err->kind == ERROR_INPUT ? refuse(d, p->spec->boot.loader_place, err) : -1;
	log_info("%s for %s, %zu kernel%s, newest %s", b->loader->name, p->boot_mode, b->kernels.nr,
		b->kernels.nr == 1 ? "" : "s", b->kernels.items[0].version);
	return 0;
}

int plan_start(struct plan *p, struct tree *t, struct diag *d, struct error *err)
{
	size_t disk;

	if (!plan_find_mount(p, "/", &disk))
		return 0;
	layout_look(p->spec, &p->boot.layout);
	p->boot.loader = find_loader(p->spec->boot.loader);
	if (kernels_find(t, &p->boot.kernels, err) < 0)
		return -1;
	if (!p->boot.loader) {
		if (infer_mode(p, t, err) < 0)
			return -1;
		/* A tree without kernel and loader is for a volume, not for an instance. */
		return p->boot.kernels.nr || p->spec->strict ? check_fitness(p, t, d, err) : 0;
	}
	if (!p->boot.kernels.nr) {
		diag_add(d, p->spec->boot.loader_place, "there is no kernel in the tree (/boot/vmlinuz-VERSION): "
			"add a package such as linux-image-cloud-%s",
			strcmp(p->spec->architecture, "x86_64") ? "arm64" : "amd64");
		return diag_result(d, err);
	}
	if (read_os_release(p, t, err) < 0 || fill_loader(p, t, err) < 0 ||
		check_fitness(p, t, d, err) < 0 || settle_mode(p, d, err) < 0)
		return -1;
	return install(p, d, err);
}
