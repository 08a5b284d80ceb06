/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of `boot` against the layout: what cannot start, whatever the tree brings, is found before
 * any work.
 */
#include "builder/spec_schema.h"

#include <string.h>

#include "builder/grub_cfg.h"
#include "builder/layout.h"

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
	struct error e = ERROR_INIT;

	if (!mode_is(s, "legacy-bios") && !mode_is(s, "uefi-preferred"))
		return;
	if (s->architecture && strcmp(s->architecture, "x86_64"))
		diag_add(d, s->boot.mode_place, "%s has no BIOS: 'mode' must be uefi, or auto", s->architecture);
	else if (!loader_is(s, "grub"))
		diag_add(d, s->boot.mode_place, "%s starts on UEFI only: with 'mode: %s' the loader must be grub",
			loader_name(s), mode);
	else if (layout_check_core(l, &e) < 0)
		diag_add(d, s->boot.mode_place, "'mode: %s': %s", mode, e.text);
}

/* `auto`, where no firmware at all could find anything. */
static void check_auto(const struct spec *s, const struct layout *l, struct diag *d)
{
	struct error core = ERROR_INIT, esp = ERROR_INIT;

	if (s->boot.mode && !mode_is(s, "auto"))
		return;
	if (loader_is(s, "grub") && layout_check_core(l, &core) < 0 && layout_check_esp(l, &esp) < 0 &&
		s->architecture && !strcmp(s->architecture, "x86_64"))
		diag_add(d, s->boot.loader_place, "the image could not start. With a BIOS: %s. With UEFI: %s",
			core.text, esp.text);
}

/* The Boot Loader Specification: it is the machine's /boot. */
static void check_xbootldr(const struct spec *s, const struct layout *l, struct diag *d)
{
	const struct spec_partition *p = l->xbootldr;

	if (!p)
		return;
	if (!p->fs_place.line || !p->mount_place.line)
		diag_add(d, p->place, "an xbootldr partition needs 'filesystem' and 'mount: /boot'");
	else if (p->mount && strcmp(p->mount, "/boot"))
		diag_add(d, p->mount_place, "an xbootldr partition is mounted at /boot: write 'mount: /boot', or "
					    "give it 'type: linux'");
	if (p->filesystem && loader_is(s, "systemd-boot") && strcmp(p->filesystem, "vfat"))
		diag_add(d, p->fs_place, "systemd-boot reads only what the firmware reads: 'filesystem: vfat'");
}

static void check_uefi(const struct spec *s, const struct layout *l, struct diag *d)
{
	bool asked = mode_is(s, "uefi") || mode_is(s, "uefi-preferred");
	bool only = loader_is(s, "uki") || loader_is(s, "systemd-boot") ||
		    (s->architecture && !strcmp(s->architecture, "arm64"));
	struct diag_place place = asked ? s->boot.mode_place : s->boot.loader_place;
	struct error e = ERROR_INIT;

	if ((asked || only) && layout_check_esp(l, &e) < 0)
		diag_add(d, place, "%s starts from an EFI system partition: %s",
			asked ? "UEFI" : loader_is(s, "grub") ? "arm64" : loader_name(s), e.text);
	if (l->esp && (l->esp->filesystem ? strcmp(l->esp->filesystem, "vfat") : !l->esp->fs_place.line))
		diag_add(d, l->esp->place, "firmware reads only FAT: the EFI system partition needs "
			"'filesystem: vfat'");
	check_xbootldr(s, l, d);
}

/* The keys of `boot` that mean something with a loader only. */
static void check_without_loader(const struct spec *s, struct diag *d)
{
	if (s->boot.cmdline)
		diag_add(d, s->boot.cmdline_place, "'cmdline' needs a 'loader' that passes it: grub, systemd-boot or "
						   "uki");
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
	const char *fs = l->root_fs;
	struct error e = ERROR_INIT;

	if (fs && (!strcmp(fs, "vfat") || !strcmp(fs, "swap")))
		diag_add(d, s->boot.loader_place, "no Linux starts from a root file system of type %s", fs);
	if (loader_is(s, "grub") && layout_check_boot_uuid(l, &e) < 0)
		diag_add(d, s->boot.loader_place, "%s", e.text);
	if (l->verity && loader_is(s, "grub"))
		diag_add(d, l->verity->verity_place, "the root hash is given to the kernel by 'loader: uki' or "
			"'loader: systemd-boot', not by grub");
}

void spec_check_boot(const struct spec *s, struct diag *d)
{
	struct layout l;

	layout_look(s, &l);
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
	check_auto(s, &l, d);
}
