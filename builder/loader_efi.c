/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of EFI loaders. Kernels and initrds are never copied where the tree can refer to them: two
 * names of one binary, and the kernel in /boot, are the same bytes.
 */
#include "builder/loader_efi.h"

#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "fs/tree_file.h"

enum { HOST_FILE_MAX = 16 << 20, CHUNK = 1 << 20, HASH_DIGITS = 64 };

static const struct loader_efi_arch archs[] = {
	{"x86_64", "x64", "EFI/BOOT/BOOTX64.EFI", PE_MACHINE_X86_64, "x86_64-efi",
		"packages shim-signed and grub-efi-amd64-signed (or grub-efi-amd64-bin)"},
	{"arm64", "aa64", "EFI/BOOT/BOOTAA64.EFI", PE_MACHINE_ARM64, "arm64-efi",
		"packages shim-signed and grub-efi-arm64-signed (or grub-efi-arm64-bin)"},
};

const struct loader_efi_arch *loader_efi_arch_find(const char *architecture)
{
	for (size_t i = 0; i < ARRAY_SIZE(archs); i++)
		if (!strcmp(archs[i].architecture, architecture))
			return &archs[i];
	return NULL;
}

const struct loader_efi_arch *loader_efi_arch(const struct loader_in *in, struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch_find(in->architecture);

	return arch ? arch : error_null(err, ERROR_INPUT, 0,
		"no UEFI boot loader is known for architecture '%s'", in->architecture);
}

static int file_pread(void *ctx, void *buf, size_t len, uint64_t off, struct error *err)
{
	const struct loader_efi_file *f = ctx;

	if (f->tree)
		return tree_pread(f->tree, f->node, buf, len, off, err);
	memcpy(buf, f->host.data + off, len);
	return 0;
}

static int set_input(struct loader_efi_file *f, const char *path, uint64_t size, struct error *err)
{
	f->path = buf_strf(err, "%s", path);
	f->input = (struct pe_input){f->path, size, f, file_pread};
	return f->path ? 0 : -1;
}

/* *found is false when it is not there or no regular file. */
static int open_in_tree(struct loader_efi_file *f, const struct tree *t, const char *path,
	bool *found, struct error *err)
{
	uint64_t size = 0;

	*f = (struct loader_efi_file){.tree = t, .host = BUF_INIT(HOST_FILE_MAX)};
	*found = false;
	if (tree_find_file(t, path, &f->node, &size, err) < 0)
		return -1;
	*found = f->node != TREE_NONE;
	return *found ? set_input(f, path, size, err) : 0;
}

int loader_efi_open(struct loader_efi_file *f, const struct tree *t, const char *path,
	struct error *err)
{
	bool found;

	if (open_in_tree(f, t, path, &found, err) < 0)
		return -1;
	return found ? 0 : error_set(err, ERROR_INPUT, 0, "the tree has no file '%s'", path);
}

int loader_efi_find(struct loader_efi_file *f, const struct loader_in *in, const char *const *paths,
	bool say, struct error *err)
{
	bool found;

	for (const char *const *p = paths; *p; p++)
		if (open_in_tree(f, in->tree, *p, &found, err) < 0 || found)
			return found && f->path ? 0 : -1;
	for (const char *const *p = paths; *p; p++) {
		if (access(*p, R_OK))
			continue;
		f->tree = NULL;
		if (file_read(*p, &f->host, err) < 0)
			return -1;
		if (say)
			log_info("the tree has no '%s'; this machine's is taken", *p);
		return set_input(f, *p, f->host.len, err);
	}
	return error_set(err, ERROR_INPUT, 0,
		"neither the tree nor this machine has '%s': add the package 'systemd-boot-efi' "
		"(Fedora: 'systemd-boot-unsigned') to the image", paths[0]);
}

void loader_efi_close(struct loader_efi_file *f)
{
	buf_release(&f->host);
	free(f->path);
	f->path = NULL;
}

static const char *machine_name(uint16_t machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(archs); i++)
		if (archs[i].machine == machine)
			return archs[i].architecture;
	return "another architecture";
}

int loader_efi_read(struct pe *pe, const struct loader_in *in, const struct loader_efi_file *f,
	struct error *err)
{
	const struct loader_efi_arch *arch = loader_efi_arch(in, err);

	*pe = (struct pe){.machine = 0};
	if (!arch || pe_read(pe, &f->input, err) < 0)
		return -1;
	if (pe->machine != arch->machine)
		return error_set(err, ERROR_INPUT, 0, "'%s' is for %s, not for %s", f->path,
			machine_name(pe->machine), in->architecture);
	return 0;
}

static int check_kernel(const struct loader_in *in, const struct kernel *k, struct error *err)
{
	struct loader_efi_file f;
	struct pe pe = {.machine = 0};
	uint8_t magic[2] = {0, 0};
	int r = loader_efi_open(&f, in->tree, k->image, err);

	if (!r && f.input.size >= sizeof(magic))
		r = tree_pread(f.tree, f.node, magic, sizeof(magic), 0, err);
	if (!r && magic[0] == 0x1f && magic[1] == 0x8b)
		r = error_set(err, ERROR_INPUT, 0,
			"the kernel '%s' is gzip-compressed, which firmware cannot start: the tree must "
			"have it unpacked ('Image') or as an EFI zboot image", k->image);
	if (!r && loader_efi_read(&pe, in, &f, err) < 0)
		r = error_wrap(err, "the kernel cannot be started by UEFI");
	if (!r && in->verity && !k->initrd)
		r = error_set(err, ERROR_INPUT, 0,
			"the kernel '%s' has no initrd, which a root with dm-verity needs", k->image);
	pe_release(&pe);
	loader_efi_close(&f);
	return r;
}

int loader_efi_check(const struct loader_in *in, enum loader_firmware fw, const char *name,
	struct error *err)
{
	struct loader_efi_signer signer;
	int r;

	if (fw == LOADER_BIOS)
		return error_set(err, ERROR_INPUT, 0,
			"%s starts on UEFI only; for BIOS take the loader 'grub'", name);
	if (!in->esp)
		return error_set(err, ERROR_INPUT, 0,
			"%s needs an EFI system partition: {type: esp, filesystem: vfat}", name);
	for (size_t i = 0; i < in->kernels->nr; i++)
		if (check_kernel(in, &in->kernels->items[i], err) < 0)
			return -1;
	r = loader_efi_signer_open(&signer, in, err);
	loader_efi_signer_close(&signer);
	return r;
}

char *loader_efi_cmdline(const struct loader_in *in, const char *hex, struct error *err)
{
	CLEANUP_FREE char *line = buf_strf(err, "%s%s%s", in->root,
		*in->root && *in->cmdline ? " " : "", in->cmdline);
	char *hash;

	if (!line || !hex)
		return steal_ptr(&line);
	hash = strstr(line, "roothash=");
	if (hash)
		hash += strlen("roothash=");
	if (!hash || strspn(hash, "0") < HASH_DIGITS || strlen(hex) != HASH_DIGITS)
		return error_null(err, ERROR_BUG, 0, "the command line has no place for a root hash");
	memcpy(hash, hex, HASH_DIGITS);
	return steal_ptr(&line);
}

/* Appends the name in the folder that is equal to name on FAT; else name itself. */
static int add_component(const struct tree *t, struct buf *path, const char *name, size_t len,
	struct error *err)
{
	const char *have = NULL;
	tree_node dir;

	if (tree_lookup(t, path->len ? buf_str(path) : "/", true, &dir, err) < 0)
		return -1;
	for (tree_node n = dir == TREE_NONE ? dir : tree_first_child(t, dir); n != TREE_NONE;
		n = tree_next_sibling(t, n)) {
		size_t child_len;
		const char *child = tree_name(t, n, &child_len);

		/* Children come in any order: of several the first by bytes. */
		if (child_len == len && !strncasecmp(child, name, len) && (!have || strcmp(child, have) < 0))
			have = child;
	}
	return buf_addf(path, err, "/%.*s", (int)len, have ? have : name);
}

char *loader_efi_fold(const struct tree *t, const char *dir, const char *rest, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(TREE_PATH_MAX);

	if (buf_add_str(&path, dir, err) < 0)
		return NULL;
	for (const char *p = rest; *p;) {
		size_t len = strcspn(p, "/");

		if (len > 0 && add_component(t, &path, p, len, err) < 0)
			return NULL;
		p += len + (p[len] == '/');
	}
	return buf_strf(err, "%s", buf_str(&path));
}

char *loader_efi_path(const struct loader_in *in, const char *rest, struct error *err)
{
	return loader_efi_fold(in->esp_tree, in->esp, rest, err);
}

static int add_piece(struct loader_efi_image *img, const struct tree_piece *piece, struct error *err)
{
	if (ARRAY_GROW(img->pieces, img->nr + 1, img->alloc, "the pieces of an EFI binary", err) < 0)
		return -1;
	img->pieces[img->nr++] = *piece;
	img->size = MAX(img->size, piece->off + piece->len);
	return 0;
}

int loader_efi_add_bytes(struct loader_efi_image *img, uint64_t off, const void *data, size_t len,
	struct error *err)
{
	struct tree_piece piece = {.off = off, .len = len};
	struct spool *spool = tree_spool(img->tree, err);

	if (!spool || spool_append(spool, data, len, &piece.src_off, err) < 0)
		return -1;
	piece.src = spool_source(spool);
	return add_piece(img, &piece, err);
}

static int add_references(struct loader_efi_image *img, uint64_t off,
	const struct loader_efi_file *f, uint64_t from, uint64_t len, struct error *err)
{
	for (uint32_t i = 0; i < tree_nr_pieces(f->tree, f->node); i++) {
		struct tree_piece p;
		uint64_t first, last;

		tree_piece(f->tree, f->node, i, &p);
		first = MAX(p.off, from);
		last = MIN(p.off + p.len, from + len);
		if (first >= last)
			continue;
		p.src_off += first - p.off;
		p.off = off + (first - from);
		p.len = last - first;
		if (add_piece(img, &p, err) < 0)
			return -1;
	}
	return 0;
}

int loader_efi_add_file(struct loader_efi_image *img, uint64_t off, const struct loader_efi_file *f,
	uint64_t from, uint64_t len, struct error *err)
{
	CLEANUP_FREE uint8_t *chunk = NULL;

	img->size = MAX(img->size, off + len);
	if (f->tree == img->tree)
		return add_references(img, off, f, from, len, err);
	chunk = malloc(CHUNK);
	if (!chunk)
		return error_nomem(err, "a buffer");
	for (uint64_t done = 0; done < len;) {
		size_t n = (size_t)MIN(len - done, CHUNK);

		if (f->input.pread(f->input.ctx, chunk, n, from + done, err) < 0 ||
			loader_efi_add_bytes(img, off + done, chunk, n, err) < 0)
			return -1;
		done += n;
	}
	return 0;
}

int loader_efi_store(const struct loader_efi_image *img, const char *path, int64_t epoch,
	struct error *err)
{
	const struct tree_attr parents = {.mode = S_IFDIR | 0755, .mtime = epoch};
	const struct tree_attr attr = {.mode = S_IFREG | 0644, .mtime = epoch, .size = img->size};
	const char *name;
	size_t len;
	tree_node dir, node;

	if (tree_make_parents(img->tree, path, &parents, &dir, &name, &len, err) < 0 ||
		tree_add(img->tree, dir, name, len, &attr, &node, err) < 0)
		return -1;
	for (size_t i = 0; i < img->nr; i++)
		if (tree_add_piece(img->tree, node, &img->pieces[i], err) < 0)
			return -1;
	return 0;
}

void loader_efi_image_release(struct loader_efi_image *img)
{
	free(img->pieces);
	img->pieces = NULL;
}

int loader_efi_overwrite(struct tree *t, const char *path, uint64_t off, const void *data, size_t len,
	struct error *err)
{
	struct spool *spool = tree_spool(t, err);
	struct loader_efi_file f;
	uint64_t done = 0;
	int r = loader_efi_open(&f, t, path, err);

	for (uint32_t i = 0; spool && !r && i < tree_nr_pieces(t, f.node); i++) {
		struct tree_piece p;
		uint64_t first, last;

		tree_piece(t, f.node, i, &p);
		first = MAX(p.off, off);
		last = MIN(p.off + p.len, off + len);
		/* A reference to somebody else's content must not be written through. */
		if (first >= last || p.src != spool_source(spool))
			continue;
		r = spool_pwrite(spool, (const uint8_t *)data + (first - off),
			(size_t)(last - first), p.src_off + (first - p.off), err);
		done += last - first;
	}
	loader_efi_close(&f);
	if (spool && !r && done != len)
		r = error_set(err, ERROR_BUG, 0, "'%s' cannot be written over", path);
	return spool ? r : -1;
}
