/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unified kernel images: systemd's stub with the kernel and all that it needs as further sections,
 * one EFI binary for each kernel in EFI/Linux, the newest also where firmware looks by itself.
 *
 *   ┌──────┬────────┬──────────┬────────┬─────────┬────────┬───────────┐
 *   │ stub │ .osrel │ .cmdline │ .uname │ .initrd │ .linux │ signature │
 *   └──────┴────────┴──────────┴────────┴─────────┴────────┴───────────┘
 *
 * Sources: UAPI.5 Unified Kernel Image; systemd-stub(7). The stub takes a section's size in memory
 * for that of its content, so these are exact but for the kernel, which newer stubs start where it
 * lies: it gets the memory that its own header asks for.
 */
#include "builder/loader_efi.h"

#include <string.h>

#include "base/num.h"
#include "fs/tree_file.h"

enum { TEXT_MAX = 64 << 10 };

/* Contents of the sections, in their order. */
struct parts {
	struct loader_efi_file stub, kernel, initrd;
	struct pe pe;         /* of the stub; then of the whole */
	struct pe kernel_pe;
	struct buf os_release;
	char *cmdline;
	const char *version;
};

static void parts_release(struct parts *p)
{
	loader_efi_close(&p->stub);
	loader_efi_close(&p->kernel);
	loader_efi_close(&p->initrd);
	pe_release(&p->pe);
	pe_release(&p->kernel_pe);
	buf_release(&p->os_release);
	free(p->cmdline);
}

static int find_stub(struct loader_efi_file *f, const struct loader_in *in, bool say,
	struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch(in, err);
	CLEANUP_FREE char *path = NULL;
	const char *paths[] = {NULL, NULL};

	if (!arch)
		return -1;
	path = buf_strf(err, "/usr/lib/systemd/boot/efi/linux%s.efi.stub", arch->suffix);
	if (!path)
		return -1;
	paths[0] = path;
	return loader_efi_find(f, in, paths, say, err);
}

/* The tree's, else what is known of it. */
static int read_os_release(const struct loader_in *in, struct buf *out, struct error *err)
{
	static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		bool found;

		if (tree_read_file(in->tree, paths[i], TEXT_MAX, out, &found, err) < 0)
			return -1;
		if (found && out->len)
			return 0;
	}
	return buf_addf(out, err, "ID=%s\nPRETTY_NAME=\"%s\"\n", in->os_id, in->os_name);
}

static int open_parts(struct parts *p, const struct loader_in *in, const struct kernel *k, bool say,
	struct error *err)
{
	*p = (struct parts){.version = k->version, .os_release = BUF_INIT(TEXT_MAX)};
	p->cmdline = loader_efi_cmdline(in, NULL, err);
	if (!p->cmdline || find_stub(&p->stub, in, say, err) < 0 ||
		loader_efi_read(&p->pe, in, &p->stub, err) < 0 ||
		loader_efi_open(&p->kernel, in->tree, k->image, err) < 0 ||
		loader_efi_read(&p->kernel_pe, in, &p->kernel, err) < 0)
		return -1;
	if (k->initrd && loader_efi_open(&p->initrd, in->tree, k->initrd, err) < 0)
		return -1;
	return read_os_release(in, &p->os_release, err);
}

struct section {
	const char *name;
	const void *text;                   /* NULL: file */
	const struct loader_efi_file *file;
	uint64_t len, vsize, off;
};

enum { SECTIONS_MAX = 5 };

static size_t list_sections(const struct parts *p, struct section *s)
{
	size_t nr = 0;

	s[nr++] = (struct section){".osrel", buf_str(&p->os_release), NULL, p->os_release.len, 0, 0};
	s[nr++] = (struct section){".cmdline", p->cmdline, NULL, strlen(p->cmdline), 0, 0};
	s[nr++] = (struct section){".uname", p->version, NULL, strlen(p->version), 0, 0};
	if (p->initrd.path)
		s[nr++] = (struct section){".initrd", NULL, &p->initrd, p->initrd.input.size, 0, 0};
	s[nr++] = (struct section){".linux", NULL, &p->kernel, p->kernel.input.size,
		p->kernel_pe.image_size, 0};
	return nr;
}

/* The headers of the whole; nothing is written. */
static int lay_out(struct parts *p, struct section *s, size_t *nr, uint64_t *stub_end,
	struct error *err)
{
	*stub_end = p->pe.end;
	*nr = list_sections(p, s);
	for (size_t i = 0; i < *nr; i++) {
		if (pe_find(&p->pe, s[i].name))
			return error_set(err, ERROR_INPUT, 0,
				"the stub '%s' has a section '%s' already", p->stub.path, s[i].name);
		if (pe_add_section(&p->pe, s[i].name, s[i].len, s[i].vsize, &s[i].off, err) < 0)
			return error_wrap(err, "cannot make a unified kernel image from '%s'",
				p->stub.path);
	}
	return 0;
}

static int compose(struct parts *p, const struct loader_efi_signer *signer,
	struct loader_efi_image *img, struct error *err)
{
	struct section s[SECTIONS_MAX];
	uint64_t stub_end;
	size_t nr;

	if (lay_out(p, s, &nr, &stub_end, err) < 0)
		return -1;
	img->size = p->pe.end;
	if (loader_efi_reserve(signer, img, &p->pe, err) < 0 ||
		loader_efi_add_bytes(img, 0, p->pe.headers, p->pe.headers_len, err) < 0 ||
		loader_efi_add_file(img, p->pe.headers_len, &p->stub, p->pe.headers_len,
			stub_end - p->pe.headers_len, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		int r = s[i].text ?
			loader_efi_add_bytes(img, s[i].off, s[i].text, (size_t)s[i].len, err) :
			loader_efi_add_file(img, s[i].off, s[i].file, 0, s[i].len, err);

		if (r < 0)
			return -1;
	}
	return loader_efi_add_room(signer, img, err);
}

static int uki_check(const struct loader_in *in, enum loader_firmware fw, struct error *err)
{
	if (loader_efi_check(in, fw, "a unified kernel image", err) < 0)
		return -1;
	for (size_t i = 0; i < in->kernels->nr; i++) {
		struct section s[SECTIONS_MAX];
		uint64_t stub_end;
		struct parts p;
		size_t nr;
		int r = open_parts(&p, in, &in->kernels->items[i], false, err);

		if (!r)
			r = lay_out(&p, s, &nr, &stub_end, err);
		parts_release(&p);
		if (r < 0)
			return -1;
	}
	return 0;
}

static char *uki_path(const struct loader_in *in, const struct kernel *k, struct error *err)
{
	CLEANUP_FREE char *rest = buf_strf(err, "EFI/Linux/%s-%s.efi", in->os_id, k->version);

	return rest ? loader_efi_path(in, rest, err) : NULL;
}

static int install_kernel(const struct loader_in *in, const struct kernel *k, bool newest,
	const struct loader_efi_signer *signer, struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch(in, err);
	CLEANUP_FREE char *removable = arch ? loader_efi_path(in, arch->removable, err) : NULL;
	CLEANUP_FREE char *path = uki_path(in, k, err);
	struct loader_efi_image img = {.tree = in->esp_tree};
	struct parts p;
	int r = open_parts(&p, in, k, newest, err);

	if (!r && (!removable || !path))
		r = -1;
	if (!r)
		r = compose(&p, signer, &img, err);
	if (!r)
		r = loader_efi_store(&img, path, in->epoch, err);
	if (!r && newest)
		r = loader_efi_store(&img, removable, in->epoch, err);
	/* Until the root hash is known there is nothing final to sign. */
	if (!r && !in->verity)
		r = loader_efi_sign(signer, in->esp_tree, path, err);
	loader_efi_image_release(&img);
	parts_release(&p);
	return r;
}

static int uki_install(const struct loader_in *in, struct loader_out *out, struct error *err)
{
	struct loader_efi_signer signer;
	int r = loader_efi_signer_open(&signer, in, err);

	(void)out;
	for (size_t i = 0; !r && i < in->kernels->nr; i++)
		r = install_kernel(in, &in->kernels->items[i], i == 0, &signer, err);
	loader_efi_signer_close(&signer);
	return r;
}

/* Where the command line is in a finished image, which must have this length. */
static int find_cmdline(const struct loader_in *in, const char *path, size_t len, uint64_t *off,
	struct error *err)
{
	const struct pe_section *s = NULL;
	struct pe pe = {.machine = 0};
	struct loader_efi_file f;
	int r = loader_efi_open(&f, in->esp_tree, path, err);

	if (!r)
		r = pe_read(&pe, &f.input, err);
	if (!r)
		s = pe_find(&pe, ".cmdline");
	if (s && s->vsize == len)
		*off = s->raw_off;
	else if (!r)
		r = error_set(err, ERROR_BUG, 0, "'%s' has another command line", path);
	pe_release(&pe);
	loader_efi_close(&f);
	return r;
}

/* The newest kernel's second name shares its bytes, so that this is for both. */
static int uki_set_roothash(const struct loader_in *in, const char *hex, struct error *err)
{
	CLEANUP_FREE char *cmdline = loader_efi_cmdline(in, hex, err);
	struct loader_efi_signer signer;
	int r = loader_efi_signer_open(&signer, in, err);

	if (!cmdline)
		r = -1;
	for (size_t i = 0; !r && i < in->kernels->nr; i++) {
		CLEANUP_FREE char *path = uki_path(in, &in->kernels->items[i], err);
		uint64_t off;

		r = path ? find_cmdline(in, path, strlen(cmdline), &off, err) : -1;
		if (!r)
			r = loader_efi_overwrite(
				in->esp_tree, path, off, cmdline, strlen(cmdline), err);
		if (!r)
			r = loader_efi_sign(&signer, in->esp_tree, path, err);
	}
	loader_efi_signer_close(&signer);
	return r;
}

const struct loader_ops loader_uki = {
	.name = "uki",
	.check = uki_check,
	.install = uki_install,
	.set_roothash = uki_set_roothash,
};
