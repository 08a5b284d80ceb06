/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts from files. Names of kernels are put into a tree without contents, so that kernels_find()
 * judges them as it does those of a spec.
 *
 * Sources: os-release(5); Linux, Documentation/arch/x86/boot.rst (HdrS, xloadflags) and
 * Documentation/arch/arm64/booting.rst; the ELF and PE formats' fields e_machine and Machine; UEFI
 * 2.10, section 3.5.1.1 (names of removable media's boot loaders).
 */
#include "builder/os_facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "builder/kernels.h"
#include "fs/tree.h"

enum { OS_RELEASE_MAX = 64 << 10, HEAD = 4096, NAMES_MAX = 10000, SECTOR = 512 };

int os_facts_init(struct os_facts *f, struct error *err)
{
	*f = (struct os_facts){NULL, .boot = tree_new(NULL, err)};
	return f->boot ? 0 : -1;
}

void os_facts_release(struct os_facts *f)
{
	tree_free(f->boot);
	free(f->id);
	free(f->version);
	free(f->name);
	*f = (struct os_facts){.name = NULL};
}

static const char *arch_of_machine(unsigned elf, unsigned pe)
{
	if (elf == 62 || pe == 0x8664)
		return "x86_64";
	if (elf == 183 || pe == 0xaa64)
		return "arm64";
	return elf == 3 || pe == 0x14c ? "i386" : NULL;
}

/* Of the first HEAD bytes of a program or kernel; NULL: it does not say. */
static const char *arch_of_head(const uint8_t *head, size_t len)
{
	uint32_t pe;

	if (len < 1024)
		return NULL;
	if (memcmp(head, "\x7f" "ELF", 4) == 0)
		return arch_of_machine(num_get_le16(head + 18), 0);
	if (memcmp(head + 0x202, "HdrS", 4) == 0)
		return num_get_le16(head + 0x236) & 1 ? "x86_64" : "i386";
	if (memcmp(head + 0x38, "ARM\x64", 4) == 0)
		return "arm64";
	pe = num_get_le32(head + 0x3c);
	if (memcmp(head, "MZ", 2) == 0 && pe <= len - 6 && memcmp(head + pe, "PE\0\0", 4) == 0)
		return arch_of_machine(0, num_get_le16(head + pe + 4));
	return NULL;
}

static int look_arch(struct reader *r, const char *path, const char **arch, struct error *err)
{
	CLEANUP_BUF struct buf head = BUF_INIT(HEAD + 1);

	if (*arch)
		return 0;
	if (r->ops->read(r, path, 0, HEAD, &head, err) < 0)
		return -1;
	*arch = arch_of_head((const uint8_t *)buf_str(&head), head.len);
	return 0;
}

/* A value of os-release without quotes and backslashes; what a terminal would obey becomes "?". */
static char *os_value(const char *text, const char *key, struct error *err)
{
	size_t key_len = strlen(key);

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		CLEANUP_BUF struct buf value = BUF_INIT(0);
		char quote = 0;

		if (strncmp(text, key, key_len) || text[key_len] != '=')
			continue;
		for (const char *c = text + key_len + 1; *c && *c != '\n'; c++) {
			if (*c == quote || (!quote && (*c == '"' || *c == '\''))) {
				quote = quote ? 0 : *c;
				continue;
			}
			if (*c == '\\' && c[1] && c[1] != '\n' && quote != '\'')
				c++;
			if (buf_add_char(&value, (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c, err) < 0)
				return NULL;
		}
		return buf_steal(&value, err);
	}
	return NULL;
}

static int look_release(struct os_facts *f, struct reader *r, bool *found, struct error *err)
{
	static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};
	CLEANUP_BUF struct buf text = BUF_INIT(OS_RELEASE_MAX + 1);
	struct error e = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(paths) && !text.len; i++)
		if (r->ops->read(r, paths[i], 0, OS_RELEASE_MAX, &text, err) < 0)
			return -1;
	*found = text.len > 0;
	if (!*found || f->name)
		return 0;
	f->id = os_value(buf_str(&text), "ID", &e);
	f->version = os_value(buf_str(&text), "VERSION_ID", &e);
	f->name = os_value(buf_str(&text), "PRETTY_NAME", &e);
	if (e.kind == ERROR_NONE)
		return 0;
	if (err)
		*err = e;
	return -1;
}

/* Names go from a reader's folder to a folder of the tree. */
struct gather {
	struct os_facts *f;
	struct reader *r;
	const char *from, *suffix; /* the file is from/NAME and suffix */
	const char *to;            /* in the tree */
	unsigned nr;
};

static int add_file(struct os_facts *f, const char *path, uint64_t size, struct error *err)
{
	const struct tree_attr folder = {.mode = S_IFDIR | 0755}, file = {.mode = S_IFREG | 0644};
	const char *name;
	size_t name_len;
	tree_node dir, node;

	if (tree_make_parents(f->boot, path, &folder, &dir, &name, &name_len, err) < 0 ||
		tree_add(f->boot, dir, name, name_len, &file, &node, err) < 0)
		return -1;
	return tree_set_size(f->boot, node, size, err);
}

static bool is_kernel(const char *name)
{
	return !strncmp(name, "vmlinuz", 7) || !strncmp(name, "Image-", 6) ||
	       !strncmp(name, "vmlinux-", 8);
}

/* Only what kernels_find() could take: the file must be there and hold something. */
static int gather_name(void *arg, const char *name, struct error *err)
{
	struct gather *g = arg;
	CLEANUP_FREE char *path = NULL, *to = NULL;
	enum reader_kind kind;
	uint64_t size;

	if (++g->nr > NAMES_MAX || (!*g->suffix && !is_kernel(name)) || !strcmp(name, "..") ||
		!strcmp(name, "."))
		return 0;
	path = buf_strf(err, "%s/%s%s", g->from, name, g->suffix);
	to = buf_strf(err, "%s/%s%s", g->to, name, g->suffix);
	if (!path || !to || g->r->ops->stat(g->r, path, &kind, &size, err) < 0)
		return -1;
	if (kind != READER_FILE || !size || strlen(name) > TREE_NAME_MAX)
		return 0;
	if (look_arch(g->r, path, &g->f->arch, err) < 0)
		return -1;
	return add_file(g->f, to, size, err);
}

/* A file system without os-release may be the one for /boot. */
static int look_kernels(struct os_facts *f, struct reader *r, bool root, struct error *err)
{
	static const struct {
		const char *from, *suffix, *to;
		bool root;
	} places[] = {
		{"/boot", "", "/boot", true},
		{"/usr/lib/modules", "/vmlinuz", "/usr/lib/modules", true},
		{"/lib/modules", "/vmlinuz", "/lib/modules", true},
		{"", "", "/boot", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct gather g = {f, r, places[i].from, places[i].suffix, places[i].to, 0};

		if (places[i].root == root &&
			r->ops->list(r, *g.from ? g.from : "/", gather_name, &g, err) < 0)
			return -1;
	}
	return 0;
}

static int look_programs(struct os_facts *f, struct reader *r, struct error *err)
{
	static const char *const paths[] = {"/bin/sh", "/usr/bin/sh", "/sbin/init",
		"/usr/lib/systemd/systemd"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (look_arch(r, paths[i], &f->elf_arch, err) < 0)
			return -1;
	return 0;
}

static int look_esp(struct os_facts *f, struct reader *r, struct error *err)
{
	static const char *const paths[] = {"/EFI/BOOT/BOOTX64.EFI", "/EFI/BOOT/BOOTAA64.EFI"};
	bool *const found[] = {&f->uefi_x64, &f->uefi_arm64};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		enum reader_kind kind;
		uint64_t size;

		if (r->ops->stat(r, paths[i], &kind, &size, err) < 0)
			return -1;
		*found[i] = *found[i] || (kind == READER_FILE && size);
	}
	return 0;
}

int os_facts_look(struct os_facts *f, struct reader *r, bool esp, struct error *err)
{
	bool root = false;

	if (esp && look_esp(f, r, err) < 0)
		return -1;
	if (look_release(f, r, &root, err) < 0 || look_kernels(f, r, root, err) < 0)
		return -1;
	return root ? look_programs(f, r, err) : 0;
}

static bool any_set(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return true;
	return false;
}

/* Whether something lies at off; places outside the disk are empty. */
static int holds_something(struct dev *dev, uint64_t off, bool *out, struct error *err)
{
	uint8_t sector[SECTOR];

	*out = false;
	if (off > dev->size || dev->size - off < SECTOR)
		return 0;
	if (dev_pread(dev, sector, SECTOR, off, err) < 0)
		return -1;
	*out = any_set(sector, SECTOR);
	return 0;
}

int os_facts_look_bios(struct os_facts *f, struct dev *dev, const struct partition_table *table,
	struct error *err)
{
	enum { CODE = 440, ATTR_BIOS = 1 << 2 }; /* "legacy BIOS bootable" */
	uint8_t mbr[SECTOR];
	bool code;

	if (table->kind == PARTITION_TABLE_NONE || dev->size < SECTOR)
		return 0;
	if (dev_pread(dev, mbr, SECTOR, 0, err) < 0)
		return -1;
	if (!any_set(mbr, CODE) || num_get_le16(mbr + 510) != 0xaa55)
		return 0;
	if (table->kind == PARTITION_TABLE_MBR && holds_something(dev, SECTOR, &f->bios, err) < 0)
		return -1;
	for (size_t i = 0; i < table->nr && !f->bios; i++) {
		const struct partition *p = &table->parts[i];
		const char *type = partition_type_name(p->type);

		code = p->bootable || (p->attrs & ATTR_BIOS);
		if (!code && type && !strcmp(type, "bios-boot") &&
			holds_something(dev, p->off, &code, err) < 0)
			return -1;
		f->bios = code;
	}
	return 0;
}

static int kernels_json(struct os_facts *f, struct json *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	struct kernels kernels = {NULL, 0};
	int ret = !list || tree_finish(f->boot, INT64_MAX, err) < 0 ||
				  kernels_find(f->boot, &kernels, err) < 0 ?
			  -1 :
			  0;

	for (size_t i = 0; ret == 0 && i < kernels.nr; i++)
		ret = json_append_str(list, kernels.items[i].version, err);
	kernels_release(&kernels);
	return ret < 0 ? -1 : json_set(out, "kernels", steal_ptr(&list), err);
}

static int modes_json(const struct os_facts *f, struct json *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	bool uefi = f->uefi_x64 || f->uefi_arm64;

	if (!list || (f->bios && json_append_str(list, "legacy-bios", err) < 0) ||
		(uefi && json_append_str(list, "uefi", err) < 0) ||
		json_set(out, "boot_modes", steal_ptr(&list), err) < 0)
		return -1;
	return json_set_str(out, "boot_mode",
		!uefi ? (f->bios ? "legacy-bios" : NULL) : f->bios ? "uefi-preferred" : "uefi", err);
}

int os_facts_json(struct os_facts *f, struct json *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *os = NULL;
	const char *arch = f->arch ? f->arch : f->elf_arch;

	if (!arch && f->uefi_x64 != f->uefi_arm64)
		arch = f->uefi_x64 ? "x86_64" : "arm64";
	if (f->id || f->name) {
		os = json_new_object(err);
		if (!os || json_set_str(os, "id", f->id, err) < 0 ||
			json_set_str(os, "version", f->version, err) < 0 ||
			json_set_str(os, "name", f->name, err) < 0)
			return -1;
		if (json_set(out, "os", steal_ptr(&os), err) < 0)
			return -1;
	} else if (json_set_str(out, "os", NULL, err) < 0) {
		return -1;
	}
	if (kernels_json(f, out, err) < 0 || json_set_str(out, "architecture", arch, err) < 0)
		return -1;
	return modes_json(f, out, err);
}
