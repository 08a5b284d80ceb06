/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB for BIOS machines: code in the first sector loads the core image from the bios-boot
 * partition (or the gap behind an MBR), which searches the file system that holds /boot by its
 * uuid and goes on with the modules and the menu there.
 */
#include "builder/loader_grub_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/grub_cfg.h"

static const char platform[] = "i386-pc";

/* Without these nothing is found or shown. */
static const char *const modules[] = {"biosdisk", "part_gpt", "part_msdos", "ext2", "search",
	"search_fs_uuid", "normal", "configfile", "linux", NULL};
/* Not in every distribution's build. */
static const char *const optional[] = {"xfs", "btrfs", "fat", "squash4", "gzio", NULL};

/* Finds GRUB's files; -1 when there are none, naming the package. */
static int find(const struct loader_in *in, struct grub_dir *d, struct error *err)
{
	if (strcmp(in->architecture, "x86_64") != 0)
		return error_set(err, ERROR_INPUT, 0,
			"machines of architecture '%s' have no BIOS: GRUB can boot them by UEFI only",
			in->architecture);
	if (grub_dir_find(in->tree, platform, d, err) < 0)
		return -1;
	if (!d->path)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB for BIOS is missing: neither the tree nor this machine has "
			"/usr/lib/grub/i386-pc; package grub-pc-bin (or grub2-pc-modules) brings it");
	return 0;
}

static int make_core(const struct loader_in *in, struct grub_dir *d, struct buf *core,
	struct error *err)
{
	CLEANUP_BUF struct buf config = BUF_INIT(64 * KIB);
	CLEANUP_BUF struct buf dir = BUF_INIT(4 * KIB);
	struct grub_core_in make = {.load = grub_dir_load, .arg = d, .modules = modules,
		.optional = optional};
	const char *home;

	if (grub_home(in, &home, err) < 0 || grub_cfg_path(in, home, &dir, err) < 0 ||
		grub_cfg_find(in, buf_str(&dir), &config, err) < 0)
		return -1;
	make.config = buf_str(&config);
	make.prefix = buf_str(&dir);
	return grub_core_make(&make, core, err);
}

static int load_boot_code(struct grub_dir *d, struct buf *boot, uint8_t code[GRUB_BOOT_CODE],
	struct error *err)
{
	bool found;

	if (grub_dir_load(d, "boot.img", boot, &found, err) < 0)
		return -1;
	if (!found)
		return error_set(err, ERROR_INPUT, 0, "GRUB's file '%s/boot.img' is missing", d->path);
	return grub_boot_code(boot, code, err);
}

int grub_bios_check(const struct loader_in *in, struct error *err)
{
	CLEANUP_BUF struct buf core = BUF_INIT(GRUB_FILE_MAX), boot = BUF_INIT(GRUB_FILE_MAX);
	uint8_t code[GRUB_BOOT_CODE];
	struct grub_dir d = {NULL, NULL};
	int r = find(in, &d, err);

	if (r == 0)
		r = load_boot_code(&d, &boot, code, err);
	if (r == 0)
		r = make_core(in, &d, &core, err);
	grub_dir_release(&d);
	return r;
}

/* Later runs of grub-install and grub-pc's scripts look for these. */
static int write_images(const struct loader_in *in, const struct buf *boot, const struct buf *core,
	struct error *err)
{
	CLEANUP_FREE char *boot_path = NULL, *core_path = NULL;
	const char *home;

	if (grub_home(in, &home, err) < 0)
		return -1;
	boot_path = buf_strf(err, "%s/%s/boot.img", home, platform);
	core_path = buf_strf(err, "%s/%s/core.img", home, platform);
	if (!boot_path || !core_path || grub_tree_write(in, boot_path, boot, err) < 0)
		return -1;
	return grub_tree_write(in, core_path, core, err);
}

static int install_from(const struct loader_in *in, struct grub_dir *d, struct loader_out *out,
	struct error *err)
{
	CLEANUP_BUF struct buf core = BUF_INIT(GRUB_FILE_MAX), boot = BUF_INIT(GRUB_FILE_MAX);

	if (!d->tree)
		log_info("the tree has no GRUB for BIOS; this machine's in '%s' is used", d->path);
	out->boot_code = malloc(GRUB_BOOT_CODE);
	if (!out->boot_code)
		return error_nomem(err, "boot code");
	if (load_boot_code(d, &boot, out->boot_code, err) < 0 || make_core(in, d, &core, err) < 0 ||
		grub_copy_modules(in, d, platform, err) < 0 ||
		write_images(in, &boot, &core, err) < 0)
		return -1;
	log_debug("GRUB's core image has %zu bytes", core.len);
	out->core_len = core.len;
	out->core = (uint8_t *)buf_steal(&core, err);
	return out->core ? 0 : -1;
}

int grub_bios_install(const struct loader_in *in, struct loader_out *out, struct error *err)
{
	struct grub_dir d = {NULL, NULL};
	int r = find(in, &d, err);

	if (r == 0)
		r = install_from(in, &d, out, err);
	grub_dir_release(&d);
	if (r < 0)
		loader_out_release(out);
	return r;
}

void loader_out_release(struct loader_out *out)
{
	free(out->boot_code);
	free(out->core);
	*out = (struct loader_out){NULL, NULL, 0};
}

int loader_grub_write(const struct loader_out *out, struct dev *dev, uint64_t core_off,
	uint64_t core_room, struct error *err)
{
	uint8_t code[GRUB_BOOT_CODE];
	CLEANUP_FREE uint8_t *core = NULL;

	if (!out->boot_code || !out->core)
		return 0;
	if (core_off % GRUB_SECTOR != 0 || core_off == 0)
		return error_set(err, ERROR_BUG, 0, "GRUB's core image cannot begin at byte %llu",
			(unsigned long long)core_off);
	if (out->core_len > core_room)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB's core image needs %zu bytes, but there are %llu at %llu: the bios-boot "
			"partition (or the gap before the first partition) is too small; 1 MiB is right",
			out->core_len, (unsigned long long)core_room, (unsigned long long)core_off);
	core = malloc(out->core_len);
	if (!core)
		return error_nomem(err, "GRUB's core image");
	memcpy(core, out->core, out->core_len);
	memcpy(code, out->boot_code, sizeof(code));
	grub_core_place(core, out->core_len, core_off / GRUB_SECTOR);
	grub_boot_code_place(code, core_off / GRUB_SECTOR);
	if (dev_pwrite(dev, code, sizeof(code), 0, err) < 0)
		return -1;
	return dev_pwrite(dev, core, out->core_len, core_off, err);
}
