/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot loader `grub`: what BIOS and UEFI have in common, which is the folder /boot/grub with
 * one menu for both, and the settings by which later kernel upgrades (update-grub) keep the
 * command line. A menu that the tree brings is replaced: it was generated for another machine.
 */
#include "builder/loader_grub_internal.h"

#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/grub_cfg.h"
#include "fs/tree_edit.h"
#include "fs/tree_file.h"

enum { KERNEL_HEAD = 0x206 };

static const char begin_mark[] = "# amiwright begins\n", end_mark[] = "# amiwright ends\n";

/*
 * What GRUB's `linux` looks at: the header of x86's boot protocol (Documentation/arch/x86/boot.rst),
 * that of an arm64 Image (Documentation/arch/arm64/booting.rst), which may be compressed or, for newer
 * GRUBs, an EFI program.
 */
static bool is_kernel(const char *architecture, const uint8_t head[KERNEL_HEAD])
{
	if (!strcmp(architecture, "x86_64"))
		return num_get_le16(head + 0x1fe) == 0xaa55 && !memcmp(head + 0x202, "HdrS", 4);
	return !memcmp(head + 0x38, "ARM\x64", 4) || !memcmp(head, "\x1f\x8b", 2) || !memcmp(head, "MZ", 2);
}

static int check_kernels(const struct loader_in *in, struct error *err)
{
	for (size_t i = 0; i < in->kernels->nr; i++) {
		const char *path = in->kernels->items[i].image;
		uint8_t head[KERNEL_HEAD] = {0};
		uint64_t size = 0;
		tree_node node;

		if (tree_find_file(in->tree, path, &node, &size, err) < 0)
			return -1;
		if (node != TREE_NONE && tree_pread(in->tree, node, head, MIN(size, sizeof(head)), 0, err) < 0)
			return -1;
		if (!is_kernel(in->architecture, head))
			return error_set(err, ERROR_INPUT, 0,
				"'%s' is no kernel that GRUB could start: Linux for %s begins otherwise", path,
				in->architecture);
	}
	return 0;
}

static int grub_check(const struct loader_in *in, enum loader_firmware fw, struct error *err)
{
	if (in->verity)
		return error_set(err, ERROR_INPUT, 0,
			"boot loader 'grub' cannot check a root hash; 'uki' and 'systemd-boot' can");
	if (!in->boot_uuid || !*in->boot_uuid)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB finds /boot by the uuid of its file system, and this one has none: give "
			"/boot a partition with ext4");
	if (check_kernels(in, err) < 0)
		return -1;
	return fw == LOADER_BIOS ? grub_bios_check(in, err) : grub_efi_check(in, err);
}

/* A file of the tree a second time, below /boot under a name with the version. */
static int bring(const struct loader_in *in, const char *from, const char *name,
	const char *version, char **path, struct error *err)
{
	struct tree_attr attr, parents = {.mode = S_IFDIR | 0755, .mtime = in->epoch};
	tree_node node, dir, copy;
	const char *last;
	size_t len;

	*path = buf_strf(err, "/boot/%s-%s", name, version);
	if (!*path || tree_lookup(in->tree, from, true, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return error_set(err, ERROR_INPUT, 0, "'%s' is not in the tree", from);
	tree_get(in->tree, node, &attr);
	if (tree_make_parents(in->tree, *path, &parents, &dir, &last, &len, err) < 0 ||
		tree_add(in->tree, dir, last, len, &attr, &copy, err) < 0)
		return -1;
	for (uint32_t i = 0; i < tree_nr_pieces(in->tree, node); i++) {
		struct tree_piece piece;

		tree_piece(in->tree, node, i, &piece);
		if (tree_add_piece(in->tree, copy, &piece, err) < 0)
			return -1;
	}
	return 0;
}

static bool below_boot(const char *path)
{
	return strncmp(path, "/boot/", 6) == 0;
}

/*
 * A kernel outside /boot (Fedora's /usr/lib/modules/VERSION/vmlinuz) is copied there when /boot is
 * a file system of its own, since GRUB looks at that one alone.
 */
static int bring_kernel(const struct loader_in *in, const struct kernel *k, struct kernel *out,
	struct error *err)
{
	bool own_boot = !*in->boot_dir;

	out->version = buf_strf(err, "%s", k->version);
	if (!out->version)
		return -1;
	if (own_boot && !below_boot(k->image)) {
		if (bring(in, k->image, "vmlinuz", k->version, &out->image, err) < 0)
			return -1;
	} else {
		out->image = buf_strf(err, "%s", k->image);
	}
	if (k->initrd && own_boot && !below_boot(k->initrd)) {
		if (bring(in, k->initrd, "initrd.img", k->version, &out->initrd, err) < 0)
			return -1;
	} else if (k->initrd) {
		out->initrd = buf_strf(err, "%s", k->initrd);
	}
	return out->image && (!k->initrd || out->initrd) ? 0 : -1;
}

static int bring_kernels(const struct loader_in *in, struct kernels *out, struct error *err)
{
	*out = (struct kernels){calloc(in->kernels->nr, sizeof(*out->items)), 0};
	if (!out->items)
		return error_nomem(err, "the list of kernels");
	for (size_t i = 0; i < in->kernels->nr; i++) {
		out->nr++;
		if (bring_kernel(in, &in->kernels->items[i], &out->items[i], err) < 0)
			return -1;
	}
	return 0;
}

static int write_menu(const struct loader_in *in, const char *home, struct error *err)
{
	CLEANUP_BUF struct buf menu = BUF_INIT(16 * MIB);
	CLEANUP_FREE char *cfg = buf_strf(err, "%s/grub.cfg", home);
	CLEANUP_FREE char *env = buf_strf(err, "%s/grubenv", home);
	struct loader_in with = *in;
	struct kernels kernels = {NULL, 0};
	char block[GRUB_ENV_SIZE];
	tree_node node;
	int r = -1;

	if (!cfg || !env || tree_lookup(in->tree, cfg, false, &node, err) < 0)
		return -1;
	if (node != TREE_NONE)
		log_debug("'%s' of the tree is replaced", cfg);
	with.kernels = &kernels;
	if (bring_kernels(in, &kernels, err) == 0)
		r = grub_cfg_menu(&with, &menu, err);
	kernels_release(&kernels);
	if (r < 0 || grub_tree_write(in, cfg, &menu, err) < 0)
		return -1;
	grub_cfg_env(block);
	return tree_edit_write(in->tree, env, block, sizeof(block), 0644,
		(struct tree_edit_owner){0, 0}, in->epoch, err);
}

/* Debian's and Ubuntu's grub-mkconfig reads a folder of settings, others' only one file. */
static int reads_folder(const struct loader_in *in, bool *folder, struct error *err)
{
	static const char *const tools[] = {
		"/usr/sbin/grub-mkconfig", "/usr/sbin/grub2-mkconfig", "/usr/bin/grub-mkconfig"};

	*folder = true;
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		CLEANUP_BUF struct buf script = BUF_INIT(GRUB_FILE_MAX);
		bool found;

		if (tree_read_file(in->tree, tools[i], GRUB_FILE_MAX, &script, &found, err) < 0)
			return -1;
		if (found) {
			*folder = memmem(buf_str(&script), script.len, "grub.d/*.cfg", 12) != NULL;
			return 0;
		}
	}
	return 0;
}

/* Appends everything of text but what an earlier build put there. */
static int add_without_ours(struct buf *out, const char *text, struct error *err)
{
	const char *begin = strstr(text, begin_mark);
	const char *end = begin ? strstr(begin, end_mark) : NULL;

	if (!end)
		return buf_add_str(out, text, err);
	if (buf_add(out, text, (size_t)(begin - text), err) < 0)
		return -1;
	return buf_add_str(out, end + sizeof(end_mark) - 1, err);
}

/* The last assignment wins in a file of shell. */
static int write_defaults_file(const struct loader_in *in, const struct buf *ours, struct error *err)
{
	static const char path[] = "/etc/default/grub";
	CLEANUP_BUF struct buf old = BUF_INIT(GRUB_FILE_MAX), text = BUF_INIT(GRUB_FILE_MAX);
	bool found;

	if (tree_read_file(in->tree, path, GRUB_FILE_MAX, &old, &found, err) < 0 ||
		add_without_ours(&text, buf_str(&old), err) < 0)
		return -1;
	if (text.len > 0 && text.data[text.len - 1] != '\n' && buf_add_char(&text, '\n', err) < 0)
		return -1;
	if (buf_add_str(&text, begin_mark, err) < 0 || buf_add(&text, ours->data, ours->len, err) < 0 ||
		buf_add_str(&text, end_mark, err) < 0)
		return -1;
	return grub_tree_write(in, path, &text, err);
}

static int write_defaults(const struct loader_in *in, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(256 * KIB);
	bool folder;

	if (grub_cfg_defaults(in, &text, err) < 0 || reads_folder(in, &folder, err) < 0)
		return -1;
	if (!folder)
		return write_defaults_file(in, &text, err);
	return grub_tree_write(in, "/etc/default/grub.d/50_amiwright.cfg", &text, err);
}

static int grub_install(const struct loader_in *in, struct loader_out *out, struct error *err)
{
	const char *home;

	if (grub_cfg_check(in->cmdline, err) < 0 || grub_home(in, &home, err) < 0)
		return -1;
	if (write_menu(in, home, err) < 0 || write_defaults(in, err) < 0)
		return -1;
	/* EFI first: when it fails, nothing is in out yet. */
	if (in->uefi && grub_efi_install(in, err) < 0)
		return -1;
	return in->bios ? grub_bios_install(in, out, err) : 0;
}

const struct loader_ops loader_grub = {
	.name = "grub",
	.bios = true,
	.check = grub_check,
	.install = grub_install,
};
