/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd-boot with type-1 entries. On the ESP: the loader (also where firmware looks by itself) and
 * loader/loader.conf; on $BOOT, which is XBOOTLDR or else the ESP: TOKEN/VERSION/linux and its
 * initrd, and loader/entries/TOKEN-VERSION.conf. All names are those that the tree's own
 * kernel-install(8) would take, so that an upgrade in the instance replaces and adds entries as if
 * it had made these.
 *
 * Sources: UAPI.1 Boot Loader Specification; loader.conf(5); kernel-install(8) of systemd 252.
 */
#include "builder/loader_efi.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "fs/tree_edit.h"
#include "fs/tree_file.h"

enum { TEXT_MAX = 64 << 10, TOKEN_MAX = 128 };

static const struct tree_edit_owner root_owner = {0, 0};

/* $BOOT: the tree and the directory in it. */
struct boot {
	struct tree *tree;
	const char *dir;
	char *token;
};

static int find_loader(struct loader_efi_file *f, const struct loader_in *in, bool say,
	struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch(in, err);
	CLEANUP_FREE char *plain = NULL;
	CLEANUP_FREE char *signed_one = NULL;
	const char *paths[] = {NULL, NULL, NULL};

	if (!arch)
		return -1;
	plain = buf_strf(err, "/usr/lib/systemd/boot/efi/systemd-boot%s.efi", arch->suffix);
	signed_one = plain ? buf_strf(err, "%s.signed", plain) : NULL;
	if (!signed_one)
		return -1;
	/* The distribution's signature is of use unless there is one of the user's own. */
	paths[0] = in->sign_key ? plain : signed_one;
	paths[1] = in->sign_key ? signed_one : plain;
	if (loader_efi_find(f, in, paths, say, err) < 0)
		return -1;
	return 0;
}

/* First line of a file of the tree, into text; "" when there is none. */
static int read_line(const struct tree *t, const char *path, char *text, size_t size, struct error *err)
{
	CLEANUP_BUF struct buf content = BUF_INIT(size);
	bool found;

	*text = '\0';
	if (tree_read_file(t, path, size - 1, &content, &found, err) < 0)
		return -1;
	snprintf(text, size, "%s", buf_str(&content));
	text[strcspn(text, "\r\n")] = '\0';
	return 0;
}

/* A name on FAT and in a pattern of loader.conf. */
static bool is_token(const char *token)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+~";

	return *token && *token != '.' && strspn(token, allowed) == strlen(token);
}

static int find_boot(struct boot *b, const struct loader_in *in, struct error *err)
{
	char token[TOKEN_MAX];

	*b = (struct boot){in->xbootldr ? in->tree : in->esp_tree,
		in->xbootldr ? in->xbootldr : in->esp, NULL};
	if (read_line(in->tree, "/etc/kernel/entry-token", token, sizeof(token), err) < 0)
		return -1;
	b->token = buf_strf(err, "%s", *token ? token : in->os_id);
	if (!b->token)
		return -1;
	return is_token(b->token) ? 0 : error_set(err, ERROR_INPUT, 0,
		"'%s' cannot be the name of boot entries (/etc/kernel/entry-token): letters, digits "
		"and -_.+~ can", b->token);
}

/* kernel-install calls the kernel "linux" and leaves an initrd its name. */
static const char *initrd_name(const struct kernel *k)
{
	const char *slash = strrchr(k->initrd, '/');

	return slash ? slash + 1 : k->initrd;
}

static int entry_text(struct buf *out, const struct loader_in *in, const struct boot *b,
	const struct kernel *k, const char *hex, struct error *err)
{
	CLEANUP_FREE char *cmdline = loader_efi_cmdline(in, hex, err);
	char machine[64];

	if (!cmdline ||
		read_line(in->tree, "/etc/machine-id", machine, sizeof(machine), err) < 0 ||
		buf_addf(out, err, "title      %s\nversion    %s\n", in->os_name, k->version) < 0)
		return -1;
	/* As kernel-install: the id is told only when it is what entries are named after. */
	if (!strcmp(machine, b->token) && buf_addf(out, err, "machine-id %s\n", machine) < 0)
		return -1;
	if (buf_addf(out, err, "sort-key   %s\noptions    %s\nlinux      /%s/%s/linux\n", in->os_id,
		    cmdline, b->token, k->version) < 0)
		return -1;
	return k->initrd ? buf_addf(out, err, "initrd     /%s/%s/%s\n", b->token, k->version,
				   initrd_name(k)) :
			   0;
}

static char *entry_path(const struct boot *b, const struct kernel *k, struct error *err)
{
	CLEANUP_FREE char *rest = buf_strf(err, "loader/entries/%s-%s.conf", b->token, k->version);

	return rest ? loader_efi_fold(b->tree, b->dir, rest, err) : NULL;
}

/* A file of a FAT. */
static int add_text(const struct loader_in *in, struct tree *t, const char *dir, const char *name,
	const char *text, struct error *err)
{
	CLEANUP_FREE char *path = loader_efi_fold(t, dir, name, err);

	if (!path)
		return -1;
	return tree_edit_write(t, path, text, strlen(text), 0644, root_owner, in->epoch, err);
}

/* One file of the tree to TOKEN/VERSION/name. */
static int add_file(const struct loader_in *in, const struct boot *b, const struct kernel *k,
	const char *from, const char *name, const struct loader_efi_signer *signer,
	struct error *err)
{
	CLEANUP_FREE char *rest = buf_strf(err, "%s/%s/%s", b->token, k->version, name);
	CLEANUP_FREE char *path = rest ? loader_efi_fold(b->tree, b->dir, rest, err) : NULL;
	const char *const paths[] = {path, NULL};
	struct loader_efi_file f;
	int r = loader_efi_open(&f, in->tree, from, err);

	if (!r)
		r = path ? loader_efi_copy(signer, in, &f, b->tree, paths, err) : -1;
	loader_efi_close(&f);
	return r;
}

static int add_entry(const struct loader_in *in, const struct boot *b, const struct kernel *k,
	const struct loader_efi_signer *signer, struct error *err)
{
	const struct loader_efi_signer unsigned_file = {NULL, 0};
	CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
	CLEANUP_FREE char *path = entry_path(b, k, err);

	if (!path || entry_text(&text, in, b, k, NULL, err) < 0 ||
		tree_edit_write(b->tree, path, text.data, text.len, 0644, root_owner, in->epoch,
			err) < 0)
		return -1;
	if (add_file(in, b, k, k->image, "linux", signer, err) < 0)
		return -1;
	return k->initrd ? add_file(in, b, k, k->initrd, initrd_name(k), &unsigned_file, err) : 0;
}

static int add_loader(const struct loader_in *in, const struct loader_efi_signer *signer,
	struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch(in, err);
	CLEANUP_FREE char *removable = arch ? loader_efi_path(in, arch->removable, err) : NULL;
	CLEANUP_FREE char *own = arch ? buf_strf(err, "EFI/systemd/systemd-boot%s.efi", arch->suffix) : NULL;
	CLEANUP_FREE char *path = own ? loader_efi_path(in, own, err) : NULL;
	const char *const paths[] = {path, removable, NULL};
	struct loader_efi_file f = {.tree = NULL};
	int r = removable && path ? find_loader(&f, in, true, err) : -1;

	if (!r)
		r = loader_efi_copy(signer, in, &f, in->esp_tree, paths, err);
	loader_efi_close(&f);
	return r;
}

/*
 * The editor is off: whoever reaches the serial console would be root by it. The pattern takes the
 * newest of the entries that kernel-install makes.
 */
static int add_loader_conf(const struct loader_in *in, const struct boot *b, struct error *err)
{
	CLEANUP_FREE char *text = buf_strf(err,
		"timeout %u\nconsole-mode keep\neditor no\ndefault %s-*\n", in->timeout, b->token);

	if (!text || add_text(in, in->esp_tree, in->esp, "loader/loader.conf", text, err) < 0)
		return -1;
	/* Tells kernel-install and bootctl that loader/entries is by the specification. */
	return add_text(in, b->tree, b->dir, "loader/entries.srel", "type1\n", err);
}

/* The user's own file stays. */
static int add_kernel_conf(const struct loader_in *in, const char *name, const char *text,
	struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "/etc/kernel/%s", name);
	tree_node node;

	if (!path || tree_lookup(in->tree, path, true, &node, err) < 0)
		return -1;
	if (node != TREE_NONE) {
		log_debug("'%s' of the tree stays as it is", path);
		return 0;
	}
	return tree_edit_write(in->tree, path, text, strlen(text), 0644, root_owner, in->epoch, err);
}

/*
 * What kernel-install in the instance goes by. A verity root is never upgraded in place, and an ESP
 * that is not mounted could not be written to.
 */
static int configure_upgrades(const struct loader_in *in, const struct boot *b, struct error *err)
{
	CLEANUP_FREE char *cmdline = NULL;
	CLEANUP_FREE char *conf = NULL;
	CLEANUP_FREE char *token = NULL;

	if (in->verity || b->tree != in->tree || !*b->dir)
		return 0;
	cmdline = loader_efi_cmdline(in, NULL, err);
	token = buf_strf(err, "%s\n", b->token);
	conf = buf_strf(err, "layout=bls\nBOOT_ROOT=%s\n", b->dir);
	if (!cmdline || !token || !conf || add_kernel_conf(in, "entry-token", token, err) < 0 ||
		add_kernel_conf(in, "install.conf", conf, err) < 0)
		return -1;
	free(conf);
	conf = buf_strf(err, "%s\n", cmdline);
	return conf ? add_kernel_conf(in, "cmdline", conf, err) : -1;
}

static int sd_check(const struct loader_in *in, enum loader_firmware fw, struct error *err)
{
	struct loader_efi_file f = {.tree = NULL};
	struct pe pe = {.machine = 0};
	struct boot b = {.tree = NULL};
	int r;

	if (loader_efi_check(in, fw, "systemd-boot", err) < 0)
		return -1;
	r = find_boot(&b, in, err);
	if (!r)
		r = find_loader(&f, in, false, err);
	if (!r)
		r = loader_efi_read(&pe, in, &f, err);
	free(b.token);
	pe_release(&pe);
	loader_efi_close(&f);
	return r;
}

static int sd_install(const struct loader_in *in, struct loader_out *out, struct error *err)
{
	struct loader_efi_signer signer;
	struct boot b = {.tree = NULL};
	int r = loader_efi_signer_open(&signer, in, err);

	(void)out;
	if (!r)
		r = find_boot(&b, in, err);
	if (!r)
		r = add_loader(in, &signer, err);
	if (!r)
		r = add_loader_conf(in, &b, err);
	for (size_t i = 0; !r && i < in->kernels->nr; i++)
		r = add_entry(in, &b, &in->kernels->items[i], &signer, err);
	if (!r)
		r = configure_upgrades(in, &b, err);
	free(b.token);
	loader_efi_signer_close(&signer);
	return r;
}

static int sd_set_roothash(const struct loader_in *in, const char *hex, struct error *err)
{
	struct boot b = {.tree = NULL};
	int r = find_boot(&b, in, err);

	for (size_t i = 0; !r && i < in->kernels->nr; i++) {
		const struct kernel *k = &in->kernels->items[i];
		CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
		CLEANUP_FREE char *path = entry_path(&b, k, err);

		r = path ? entry_text(&text, in, &b, k, hex, err) : -1;
		if (!r)
			r = loader_efi_overwrite(b.tree, path, 0, text.data, text.len, err);
	}
	free(b.token);
	return r;
}

const struct loader_ops loader_systemd_boot = {
	.name = "systemd-boot",
	.check = sd_check,
	.install = sd_install,
	.set_roothash = sd_set_roothash,
};
