/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of `boot` against the layout: what cannot start, whatever the tree brings, is found before
 * any work.
 */
#include "builder/spec_schema.h"

#include <string.h>

#include "builder/grub_cfg.h"

/* What the layout offers to a boot loader. */
struct layout {
	const struct spec_disk *root_disk;
	const struct spec_partition *root; /* NULL also when the root file system has no partition */
	const struct spec_partition *esp, *xbootldr, *bios_boot, *verity;
	bool mbr; /* of the root disk: a gap behind the MBR */
};

static bool is_type(const struct spec_partition *p, const char *type)
{
	return p->type && !strcmp(p->type, type);
}

static void look_at_partition(struct layout *l, const struct spec_partition *p)
{
	if (p->mount && !strcmp(p->mount, "/"))
		l->root = p;
	if (is_type(p, "esp") && !l->esp)
		l->esp = p;
	if (is_type(p, "xbootldr") && !l->xbootldr)
		l->xbootldr = p;
	if (is_type(p, "bios-boot") && !l->bios_boot)
		l->bios_boot = p;
	if (p->verity)
		l->verity = p;
}

static struct layout look(const struct spec *s)
{
	struct layout l = {0};

	for (size_t i = 0; i < s->nr_disks && !l.root_disk; i++)
		if (spec_mounts_root(&s->disks[i]))
			l.root_disk = &s->disks[i];
	if (!l.root_disk)
		return l;
	for (size_t i = 0; i < l.root_disk->nr_partitions; i++)
		look_at_partition(&l, &l.root_disk->partitions[i]);
	l.mbr = l.root_disk->table && !strcmp(l.root_disk->table, "mbr");
	return l;
}

static bool mode_is(const struct spec *s, const char *mode)
{
	return s->boot.mode && !strcmp(s->boot.mode, mode);
}

static const char *loader_name(const struct spec *s)
{
	return s->boot.loader ? s->boot.loader : "none";
}

static bool loader_is(const struct spec *s, const char *loader)
{
	return !strcmp(loader_name(s), loader);
}

static void check_bios(const struct spec *s, const struct layout *l, struct diag *d)
{
	const char *mode = s->boot.mode;

	if (!mode_is(s, "legacy-bios") && !mode_is(s, "uefi-preferred"))
		return;
	if (s->architecture && strcmp(s->architecture, "x86_64"))
		diag_add(d, s->boot.mode_place, "%s has no BIOS: 'mode' must be uefi, or auto", s->architecture);
	else if (!loader_is(s, "grub"))
		diag_add(d, s->boot.mode_place, "%s starts on UEFI only: with 'mode: %s' the loader must be grub",
			loader_name(s), mode);
	else if (l->root_disk->table && !l->mbr && !l->bios_boot)
		diag_add(d, s->boot.mode_place, "'mode: %s' needs a place for GRUB's core: add a partition "
			"{name: bios, type: bios-boot, size: 1M}", mode);
	else if (!l->root_disk->table)
		diag_add(d, s->boot.mode_place, "'mode: %s' needs a partition table on the root disk", mode);
}

static void check_uefi(const struct spec *s, const struct layout *l, struct diag *d)
{
	bool asked = mode_is(s, "uefi") || mode_is(s, "uefi-preferred");
	bool only = loader_is(s, "uki") || loader_is(s, "systemd-boot") ||
		    (s->architecture && !strcmp(s->architecture, "arm64"));
	struct diag_place place = asked ? s->boot.mode_place : s->boot.loader_place;

	if ((asked || only) && !l->esp)
		diag_add(d, place, "%s needs an EFI system partition on the root disk: add {name: esp, type: "
			"esp, size: 128M, filesystem: vfat, mount: /boot/efi}",
			asked ? "UEFI" : loader_is(s, "grub") ? "arm64" : loader_name(s));
	if (l->esp && (l->esp->filesystem ? strcmp(l->esp->filesystem, "vfat") : !l->esp->fs_place.line))
		diag_add(d, l->esp->place, "firmware reads only FAT: the EFI system partition needs "
			"'filesystem: vfat'");
	if (l->xbootldr && (!l->xbootldr->filesystem || !l->xbootldr->mount))
		diag_add(d, l->xbootldr->place, "an xbootldr partition needs 'filesystem' and 'mount: /boot'");
	if (l->xbootldr && l->xbootldr->filesystem && loader_is(s, "systemd-boot") &&
		strcmp(l->xbootldr->filesystem, "vfat"))
		diag_add(d, l->xbootldr->fs_place, "systemd-boot reads only what the firmware reads: "
			"'filesystem: vfat'");
}

/* The keys of `boot` that mean something with a loader only. */
static void check_without_loader(const struct spec *s, struct diag *d)
{
	if (s->boot.cmdline)
		diag_add(d, s->boot.place, "'cmdline' needs a 'loader' that passes it: grub, systemd-boot or uki");
	if (s->boot.sign_place.line)
		diag_add(d, s->boot.sign_place, "'sign' needs 'loader: uki' or 'loader: systemd-boot'");
}

static void check_cmdline(const struct spec *s, struct diag *d)
{
	struct error e = ERROR_INIT;

	if (s->boot.cmdline && loader_is(s, "grub") && grub_cfg_check(s->boot.cmdline, &e) < 0)
		diag_add(d, s->boot.cmdline_place, "%s", e.text);
}

static void check_root(const struct spec *s, const struct layout *l, struct diag *d)
{
	const char *fs = l->root ? l->root->filesystem : l->root_disk->filesystem;

	if (fs && (!strcmp(fs, "vfat") || !strcmp(fs, "swap")))
		diag_add(d, s->boot.loader_place, "no Linux starts from a root file system of type %s", fs);
	if (fs && !strcmp(fs, "squashfs") && loader_is(s, "grub") && !l->xbootldr)
		diag_add(d, s->boot.loader_place, "GRUB cannot find a squashfs by its uuid: put /boot on a "
			"partition of its own, or write 'loader: uki'");
	if (l->verity && loader_is(s, "grub"))
		diag_add(d, l->verity->verity_place, "the root hash is given to the kernel by 'loader: uki' or "
			"'loader: systemd-boot', not by grub");
}

void spec_check_boot(const struct spec *s, struct diag *d)
{
	struct layout l = look(s);

	if (loader_is(s, "none")) {
		check_without_loader(s, d);
		if (l.verity)
			diag_add(d, l.verity->verity_place, "somebody must tell the kernel the root hash: write "
				"'loader: uki' in 'boot'");
		return;
	}
	if (!l.root_disk)
		return;
	if (s->boot.sign_place.line && loader_is(s, "grub"))
		diag_add(d, s->boot.sign_place, "GRUB is taken as its distribution signed it: 'sign' is for uki "
			"and systemd-boot");
	check_cmdline(s, d);
	check_root(s, &l, d);
	check_bios(s, &l, d);
	check_uefi(s, &l, d);
}
