/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB for UEFI. Where the EFI programs come from, the first that is there:
 *
 *   signed      shim and GRUB as Debian's and Ubuntu's packages bring them (Secure Boot works)
 *   on the ESP  as Fedora's and Amazon Linux's packages bring them
 *   monolithic  the unsigned image of the tree
 *   made        by this machine's grub-mkimage of the tree's modules, else of its own
 *   monolithic  the unsigned image of this machine
 *
 * What goes to the ESP:
 *
 *   EFI/BOOT/BOOTX64.EFI          what firmware without boot entries starts: shim, else GRUB
 *   EFI/BOOT/grubx64.efi          what shim starts: GRUB
 *   EFI/BOOT/mmx64.efi            shim's key manager
 *   EFI/<os>/…                    the same under their own names, for boot entries
 *   EFI/BOOT, EFI/<os>, and the folder that the image has inside: grub.cfg, which leads to /boot
 */
#include "builder/loader_grub_internal.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/num.h"
#include "base/program.h"
#include "builder/grub_cfg.h"
#include "builder/loader_efi.h"
#include "fs/tree_edit.h"
#include "fs/tree_file.h"

/* Where a distribution's packages put a program; %s is "x64" or "aa64". */
static const char *const shim_paths[] = {"/usr/lib/shim/shim%s.efi.signed",
	"/usr/lib/shim/shim%s.efi.signed.latest", "/usr/lib/shim/shim%s.efi.dualsigned", NULL};
static const char *const mm_paths[] = {
	"/usr/lib/shim/mm%s.efi.signed", "/usr/lib/shim/mm%s.efi", NULL};

struct efi_set {
	struct buf shim, grub, mm; /* grub is always there */
	bool has_shim, has_mm;
	bool host_image;           /* grub is this machine's */
	bool on_esp;               /* a distribution's folder on the ESP has them already */
	char *vendor;              /* that folder's name; owned */
};

static void set_init(struct efi_set *s)
{
	*s = (struct efi_set){.vendor = NULL};
	buf_init(&s->shim, GRUB_FILE_MAX);
	buf_init(&s->grub, GRUB_FILE_MAX);
	buf_init(&s->mm, GRUB_FILE_MAX);
}

static void set_release(struct efi_set *s)
{
	buf_release(&s->shim);
	buf_release(&s->grub);
	buf_release(&s->mm);
	free(s->vendor);
	s->vendor = NULL;
}

/* Only an EFI program (PE file) will do. */
static int check_program(const struct buf *b, const char *path, bool host, struct error *err)
{
	if (b->len > 64 && memcmp(b->data, "MZ", 2) == 0)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' %s is no EFI program", path,
		host ? "of this machine" : "in the tree");
}

static int read_program(const struct tree *t, const char *path, struct buf *out, bool *found,
	struct error *err)
{
	if (tree_read_file(t, path, GRUB_FILE_MAX, out, found, err) < 0)
		return -1;
	return *found ? check_program(out, path, false, err) : 0;
}

/* The first that is there of paths with %s for the architecture. */
static int read_first(const struct tree *t, const char *const *paths, const char *suffix,
	struct buf *out, bool *found, struct error *err)
{
	*found = false;
	for (; *paths && !*found; paths++) {
		const char *mark = strstr(*paths, "%s");
		CLEANUP_FREE char *path = buf_strf(
			err, "%.*s%s%s", (int)(mark - *paths), *paths, suffix, mark + 2);

		if (!path || read_program(t, path, out, found, err) < 0)
			return -1;
	}
	return 0;
}

static int find_signed(const struct loader_in *in, const struct loader_efi_arch *a, struct efi_set *s,
	bool *found, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(
		err, "/usr/lib/grub/%s-signed/grub%s.efi.signed", a->grub, a->suffix);

	if (!path || read_program(in->tree, path, &s->grub, found, err) < 0)
		return -1;
	if (!*found)
		return 0;
	if (read_first(in->tree, shim_paths, a->suffix, &s->shim, found, err) < 0)
		return -1;
	s->has_shim = *found;
	if (!*found) {
		/* GRUB alone would be refused under Secure Boot: look on. */
		buf_clear(&s->grub);
		return 0;
	}
	return read_first(in->tree, mm_paths, a->suffix, &s->mm, &s->has_mm, err);
}

/* shim and GRUB in dir/NAME. */
static int find_in_vendor(const struct tree *t, const char *dir, const char *name,
	const struct loader_efi_arch *a, struct efi_set *s, bool *found, struct error *err)
{
	CLEANUP_FREE char *grub = buf_strf(err, "%s/%s/grub%s.efi", dir, name, a->suffix);
	CLEANUP_FREE char *shim = buf_strf(err, "%s/%s/shim%s.efi", dir, name, a->suffix);
	CLEANUP_FREE char *mm = buf_strf(err, "%s/%s/mm%s.efi", dir, name, a->suffix);

	if (!grub || !shim || !mm || read_program(t, grub, &s->grub, found, err) < 0)
		return -1;
	if (!*found)
		return 0;
	s->vendor = buf_strf(err, "%s", name);
	if (!s->vendor || read_program(t, shim, &s->shim, &s->has_shim, err) < 0)
		return -1;
	return read_program(t, mm, &s->mm, &s->has_mm, err);
}

static int find_in_esp(const struct tree *t, const char *esp, const struct loader_efi_arch *a,
	struct efi_set *s, bool *found, struct error *err)
{
	CLEANUP_FREE char *dir = buf_strf(err, "%s/EFI", esp);
	struct grub_names names;
	int r = 0;

	*found = false;
	if (!dir || grub_names_of(t, dir, &names, err) < 0)
		return -1;
	for (size_t i = 0; r == 0 && !*found && i < names.nr; i++)
		if (strcasecmp(names.items[i], "BOOT") != 0)
			r = find_in_vendor(t, dir, names.items[i], a, s, found, err);
	grub_names_release(&names);
	return r;
}

static int find_on_esp(const struct loader_in *in, const struct loader_efi_arch *a, struct efi_set *s,
	bool *found, struct error *err)
{
	if (find_in_esp(in->esp_tree, in->esp, a, s, found, err) < 0)
		return -1;
	s->on_esp = *found;
	if (*found || (in->esp_tree == in->tree && strcmp(in->esp, "/boot/efi") == 0))
		return 0;
	return find_in_esp(in->tree, "/boot/efi", a, s, found, err);
}

static int find_monolithic(const struct loader_in *in, const struct loader_efi_arch *a, bool host,
	struct efi_set *s, bool *found, struct error *err)
{
	CLEANUP_FREE char *dir = buf_strf(err, "/usr/lib/grub/%s/monolithic", a->grub);
	CLEANUP_FREE char *name = buf_strf(err, "grub%s.efi", a->suffix);
	CLEANUP_FREE char *path = dir && name ? buf_strf(err, "%s/%s", dir, name) : NULL;
	struct grub_dir d = {.tree = host ? NULL : in->tree, .path = dir};

	if (!path || grub_dir_load(&d, name, &s->grub, found, err) < 0)
		return -1;
	s->host_image = *found && host;
	return *found ? check_program(&s->grub, path, host, err) : 0;
}

/* *found with make = false only says that it could be made. */
static int find_made(const struct loader_in *in, const struct loader_efi_arch *a, bool make,
	struct efi_set *s, bool *found, struct error *err)
{
	CLEANUP_FREE char *tool = NULL;
	struct error missing = ERROR_INIT;
	struct grub_dir d;
	int r = 0;

	*found = false;
	if (grub_dir_find(in->tree, a->grub, &d, err) < 0)
		return -1;
	if (!d.path)
		return 0;
	tool = program_find("grub-mkimage", &missing);
	*found = tool != NULL;
	if (*found && make) {
		log_info("GRUB for UEFI is made by this machine's grub-mkimage of %s '%s'",
			d.tree ? "the tree's" : "this machine's", d.path);
		r = grub_efi_make(in, &d, a->grub, &s->grub, err);
		if (r == 0)
			r = grub_copy_modules(in, &d, a->grub, err);
	}
	grub_dir_release(&d);
	return r;
}

static int find_set(const struct loader_in *in, const struct loader_efi_arch *a, bool make,
	struct efi_set *s, struct error *err)
{
	bool found;

	if (find_signed(in, a, s, &found, err) < 0)
		return -1;
	if (!found && find_on_esp(in, a, s, &found, err) < 0)
		return -1;
	if (!found && find_monolithic(in, a, false, s, &found, err) < 0)
		return -1;
	if (!found && find_made(in, a, make, s, &found, err) < 0)
		return -1;
	if (!found && find_monolithic(in, a, true, s, &found, err) < 0)
		return -1;
	if (found)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"GRUB for UEFI is missing: the tree has neither signed programs nor "
		"/usr/lib/grub/%s, and this machine cannot make one (grub-mkimage and that folder); "
		"%s bring it",
		a->grub, a->grub_packages);
}

int grub_efi_check(const struct loader_in *in, struct error *err)
{
	const struct loader_efi_arch *a = loader_efi_arch(in, err);
	struct efi_set s;
	int r;

	if (!a)
		return -1;
	if (!in->esp)
		return error_set(err, ERROR_INPUT, 0,
			"booting by UEFI needs an ESP: add a partition of type esp with file system vfat");
	set_init(&s);
	r = find_set(in, a, false, &s, err);
	set_release(&s);
	return r;
}

/* Writes ESP/rel; what is there stays when keep is set. */
static int write_esp(const struct loader_in *in, const char *rel, const struct buf *content,
	bool keep, struct error *err)
{
	CLEANUP_FREE char *path = loader_efi_path(in, rel, err);
	tree_node node;

	if (!path)
		return -1;
	if (keep) {
		if (tree_lookup(in->esp_tree, path, true, &node, err) < 0)
			return -1;
		if (node != TREE_NONE)
			return 0;
	}
	return tree_edit_write(in->esp_tree, path, content->data, content->len, 0644,
		(struct tree_edit_owner){0, 0}, in->epoch, err);
}

/* EFI/DIR with the first program under `first`, or under its own name when that is NULL. */
static int write_set(const struct loader_in *in, const struct loader_efi_arch *a, const struct efi_set *s,
	const char *dir, const char *first, bool keep, struct error *err)
{
	CLEANUP_FREE char *shim = NULL, *grub = NULL, *mm = NULL;

	shim = first ? buf_strf(err, "EFI/%s/%s", dir, first) :
		       buf_strf(err, "EFI/%s/shim%s.efi", dir, a->suffix);
	grub = buf_strf(err, "EFI/%s/grub%s.efi", dir, a->suffix);
	mm = buf_strf(err, "EFI/%s/mm%s.efi", dir, a->suffix);
	if (!shim || !grub || !mm)
		return -1;
	if (s->has_shim && write_esp(in, shim, &s->shim, keep, err) < 0)
		return -1;
	if (!s->has_shim && first && write_esp(in, shim, &s->grub, keep, err) < 0)
		return -1;
	if ((s->has_shim || !first) && write_esp(in, grub, &s->grub, keep, err) < 0)
		return -1;
	return s->has_mm ? write_esp(in, mm, &s->mm, keep, err) : 0;
}

/* True for "/EFI/debian": a folder of the ESP, and nothing that would lead elsewhere. */
static bool good_prefix(const char *p)
{
	return strncasecmp(p, "/EFI/", 5) == 0 && strlen(p) < 100 && !strstr(p, "..") &&
		strspn(p, "/-_.+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
			strlen(p);
}

static int write_config(const struct loader_in *in, const char *dir, const struct buf *config,
	struct error *err)
{
	CLEANUP_FREE char *rel = buf_strf(err, "%s/grub.cfg", dir);

	return rel ? write_esp(in, rel, config, false, err) : -1;
}

static int write_configs(const struct loader_in *in, const struct efi_set *s, const char *os_dir,
	struct error *err)
{
	CLEANUP_BUF struct buf config = BUF_INIT(64 * KIB), home_path = BUF_INIT(4 * KIB);
	CLEANUP_BUF struct buf prefix = BUF_INIT(GRUB_FILE_MAX);
	const char *home, *inside;

	if (grub_home(in, &home, err) < 0 || grub_cfg_path(in, home, &home_path, err) < 0 ||
		grub_cfg_esp(in, buf_str(&home_path), &config, err) < 0 ||
		grub_image_prefix(&s->grub, &prefix, err) < 0)
		return -1;
	/* "(hd0,gpt1)/EFI/x" is on another disk than ours, "(,gpt1)/EFI/x" may be. */
	inside = strrchr(buf_str(&prefix), ')');
	inside = inside ? inside + 1 : buf_str(&prefix);
	log_debug("GRUB for UEFI looks for grub.cfg in '%s'", buf_str(&prefix));
	if (good_prefix(inside) && write_config(in, inside, &config, err) < 0)
		return -1;
	if (write_config(in, os_dir, &config, err) < 0)
		return -1;
	return write_config(in, "EFI/BOOT", &config, err);
}

/* Modules beside a ready image, for what later menus insert; the tree's alone fit to it. */
static int copy_modules(const struct loader_in *in, const struct loader_efi_arch *a, struct error *err)
{
	struct grub_dir d;
	int r = grub_dir_find(in->tree, a->grub, &d, err);

	if (r == 0 && d.path && d.tree)
		r = grub_copy_modules(in, &d, a->grub, err);
	grub_dir_release(&d);
	return r;
}

static int install_set(const struct loader_in *in, const struct loader_efi_arch *a, const struct efi_set *s,
	struct error *err)
{
	const char *os = s->vendor ? s->vendor : in->os_id;
	CLEANUP_FREE char *os_dir = buf_strf(err, "EFI/%s", os);

	const char *removable = strrchr(a->removable, '/') + 1;

	if (!os_dir || write_set(in, a, s, "BOOT", removable, s->on_esp, err) < 0)
		return -1;
	if (write_set(in, a, s, os, NULL, s->on_esp, err) < 0)
		return -1;
	return write_configs(in, s, os_dir, err);
}

int grub_efi_install(const struct loader_in *in, struct error *err)
{
	const struct loader_efi_arch *a = loader_efi_arch(in, err);
	struct efi_set s;
	int r;

	if (!a)
		return -1;
	set_init(&s);
	r = find_set(in, a, true, &s, err);
	if (r == 0 && s.host_image)
		log_info("the tree has no GRUB for UEFI; this machine's /usr/lib/grub/%s/monolithic is used",
			a->grub);
	if (r == 0)
		r = install_set(in, a, &s, err);
	if (r == 0)
		r = copy_modules(in, a, err);
	set_release(&s);
	return r;
}
