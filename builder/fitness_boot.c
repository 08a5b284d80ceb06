/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lets a kernel start and find its root: the serial console, and the drivers of EC2's disks
 * (nvme) and network (ena) and of the root file system. What the newest kernel lacks is fatal: it is
 * the one that loaders take. What only an older one lacks is a warning.
 */
#include "builder/fitness_internal.h"

#include <errno.h>
#include <string.h>

#include "builder/kmod.h"

/* Modules one of which mounts a file system; those of ext2 and ext3 are ext4's own business. */
static const struct {
	const char *fs;
	const char *modules[2];
} file_systems[] = {
	{"ext2", {"ext4", "ext2"}},
	{"ext3", {"ext4", "ext3"}},
	{"ext4", {"ext4"}},
	{"xfs", {"xfs"}},
	{"btrfs", {"btrfs"}},
	{"squashfs", {"squashfs"}},
};

static const char *const wanted[] = {"nvme", "ena", "ext4", "ext3", "ext2", "xfs", "btrfs", "squashfs",
	"dm_verity", "overlay", NULL};

struct kernel_check {
	struct fit *f;
	const struct kernel *k;
	const struct kmod *m;
	enum fitness_level level;
};

static bool is_arm(const struct fit *f)
{
	return !strcmp(f->in->architecture, "arm64");
}

static struct fit_package kernel_package(const struct fit *f)
{
	if (f->distribution == FIT_UBUNTU)
		return (struct fit_package){"linux-aws", "kernel"};
	return (struct fit_package){is_arm(f) ? "linux-image-cloud-arm64" : "linux-image-cloud-amd64",
		"kernel"};
}

/* The cmdline of the spec with the console added, as YAML in double quotes. */
static char *console_key(struct fit *f, const char *consoles)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	const char *old = f->in->cmdline + strspn(f->in->cmdline, " ");
	bool ok = buf_add_str(&b, "boot: {cmdline: \"", f->err) == 0;

	for (; ok && *old; old++)
		ok = (!strchr("\"\\", *old) || buf_add_char(&b, '\\', f->err) == 0) &&
		     buf_add_char(&b, *old, f->err) == 0;
	ok = ok && buf_addf(&b, f->err, "%s%s\"}", f->in->cmdline[0] ? " " : "", consoles) == 0;
	return ok ? buf_steal(&b, f->err) : NULL;
}

/* On arm64 the serial port of EC2 is ttyS0, that of QEMU's virt ttyAMA0. */
static void check_console(struct fit *f)
{
	static const char consoles[] = "console=tty0 console=ttyS0,115200n8";
	const char *text = buf_str(&f->cmdline);
	char *cure;

	if (fit_has_word(text, "console=ttyS0", true) ||
		(is_arm(f) && fit_has_word(text, "console=ttyAMA0", true)))
		return;
	if (f->in->cmdline)
		cure = console_key(f, consoles);
	else if (fit_exists(f, "/etc/default/grub"))
		cure = buf_strf(f->err,
			"- write: {path: /etc/default/grub.d/50-console.cfg, content: "
			"\"GRUB_CMDLINE_LINUX=\\\"$GRUB_CMDLINE_LINUX %s\\\"\\n\"}", consoles);
	else
		cure = buf_strf(f->err, "- write: {path: /etc/kernel/cmdline, content: \"%s\\n\"}",
			consoles);
	fit_add(f, FITNESS_WARNING, "serial-console",
		buf_strf(f->err, "%s has no console=ttyS0: nothing of the boot is seen by EC2's "
				 "get-console-output or serial console",
			f->in->cmdline        ? "the kernel's command line" :
			f->cmdline_known      ? "the kernel's command line in the tree" :
						"the tree has no kernel command line, which therefore"),
		cure);
}

static char *rebuild_cure(const struct kernel_check *c, const char *module)
{
	struct fit *f = c->f;

	if (!(kmod_places(c->m, module) & KMOD_FILE))
		return fit_package_cure(f, kernel_package(f));
	if (f->distribution == FIT_DEBIAN || f->distribution == FIT_UBUNTU)
		return buf_strf(f->err,
			"in the tree's source: echo %s >>/etc/initramfs-tools/modules && "
			"update-initramfs -%c -k %s", module, c->k->initrd ? 'u' : 'c', c->k->version);
	return buf_strf(f->err, "in the tree's source: dracut --force --add-drivers %s --kver %s", module,
		c->k->version);
}

/* "the initrd '/boot/initrd.img-6.1' lacks jbd2, which ext4 needs" or where it was looked for. */
static char *where_not(const struct kernel_check *c, const char *module, const char *then)
{
	const char *missing = "";

	for (size_t i = 0; i < c->m->nr; i++)
		if (!strcmp(c->m->modules[i].name, module))
			missing = c->m->modules[i].missing;
	if (missing[0])
		return buf_strf(c->f->err, "kernel %s: the initrd '%s' has %s without %s, which it needs: %s",
			c->k->version, c->k->initrd, module, missing, then);
	if (!c->k->initrd)
		return buf_strf(c->f->err, "kernel %s has no initrd, and %s is not built in: %s",
			c->k->version, module, then);
	return buf_strf(c->f->err, "kernel %s: %s is neither built in nor in its initrd '%s': %s",
		c->k->version, module, c->k->initrd, then);
}

/* One of the modules must be there before root is. */
static void check_early(const struct kernel_check *c, const char *name, const char *const *modules,
	size_t nr, enum fitness_level level, const char *then)
{
	for (size_t i = 0; i < nr && modules[i]; i++)
		if (kmod_places(c->m, modules[i]) & (KMOD_BUILTIN | KMOD_INITRD))
			return;
	fit_add(c->f, level, name, where_not(c, modules[0], then), rebuild_cure(c, modules[0]));
}

static void check_root(const struct kernel_check *c)
{
	static const char *const nvme[] = {"nvme"}, *const verity[] = {"dm_verity"},
				 *const overlay[] = {"overlay"};
	const struct fitness_in *in = c->f->in;
	bool volatile_root = fit_has_word(buf_str(&c->f->cmdline), "systemd.volatile=overlay", false);

	check_early(c, "nvme", nvme, 1, c->level, "the root volume is not found");
	for (size_t i = 0; in->root_fs && i < sizeof(file_systems) / sizeof(file_systems[0]); i++)
		if (!strcmp(in->root_fs, file_systems[i].fs))
			check_early(c, "root-file-system", file_systems[i].modules, 2, c->level,
				"root cannot be mounted");
	if (!in->verity)
		return;
	check_early(c, "dm-verity", verity, 1, c->level, "root cannot be opened");
	if (volatile_root || !(kmod_places(c->m, "overlay") & KMOD_FILE))
		check_early(c, "overlay", overlay, 1, volatile_root ? c->level : FITNESS_WARNING,
			"nothing can be written above the read-only root");
	if (c->m->initrd_read && !c->m->initrd_has_verity)
		fit_add(c->f, FITNESS_WARNING, "verity-program",
			buf_strf(c->f->err, "the initrd '%s' has neither systemd-veritysetup nor "
					    "veritysetup: who opens root?", c->k->initrd),
			fit_package_cure(c->f, (struct fit_package){"dracut", "dracut"}));
}

static void check_ena(const struct kernel_check *c)
{
	if (kmod_places(c->m, "ena"))
		return;
	fit_add(c->f, c->level, "ena",
		buf_strf(c->f->err, "kernel %s: ena is neither built in nor in its initrd nor below "
				    "/lib/modules/%s: there is no network on Nitro instances",
			c->k->version, c->k->version),
		fit_package_cure(c->f, kernel_package(c->f)));
}

/* An initrd that we cannot unpack may be fine for its kernel; one that is damaged is not. */
static void check_initrd_error(const struct kernel_check *c)
{
	const struct error *e = &c->m->initrd_error;
	bool unknown = e->errnum == ENOTSUP;

	fit_add(c->f, unknown ? FITNESS_WARNING : c->level, "initrd",
		buf_strf(c->f->err, "kernel %s: %s", c->k->version, e->text),
		unknown ? buf_strf(c->f->err, "have it packed by zstd or gzip (COMPRESS=zstd in "
					      "/etc/initramfs-tools/initramfs.conf)") :
			  buf_strf(c->f->err, "in the tree's source: %s %s",
				  c->f->distribution == FIT_DEBIAN || c->f->distribution == FIT_UBUNTU ?
					  "update-initramfs -u -k" : "dracut --force --kver",
				  c->k->version));
}

static void check_kernel(struct fit *f, size_t index)
{
	struct kmod m;
	struct kernel_check c = {f, &f->in->kernels->items[index], &m,
		index ? FITNESS_WARNING : FITNESS_FATAL};

	if (f->failed || kmod_find(&m, f->in->t, c.k, wanted, f->err) < 0) {
		f->failed = true;
		return;
	}
	if (!m.builtin_known && !m.has_files) {
		fit_add(f, FITNESS_WARNING, "modules",
			buf_strf(f->err, "kernel %s: neither /lib/modules/%s/modules.builtin nor "
					 "/boot/config-%s is there: whether it has nvme and ena is unknown",
				c.k->version, c.k->version, c.k->version),
			fit_package_cure(f, kernel_package(f)));
		return;
	}
	if (m.has_files && !m.has_dep)
		fit_add(f, FITNESS_WARNING, "modules-dep",
			buf_strf(f->err, "kernel %s: /lib/modules/%s has modules but no modules.dep: none "
					 "of them can be loaded", c.k->version, c.k->version),
			buf_strf(f->err, "in the tree's source: depmod %s", c.k->version));
	check_ena(&c);
	if (m.initrd_error.kind != ERROR_NONE)
		check_initrd_error(&c);
	else
		check_root(&c);
}

void fit_check_boot(struct fit *f)
{
	check_console(f);
	if (!f->in->kernels || !f->in->kernels->nr)
		fit_add(f, FITNESS_FATAL, "kernel",
			buf_strf(f->err, "no kernel in the tree: neither /boot/vmlinuz-VERSION nor "
					 "/usr/lib/modules/VERSION/vmlinuz"),
			fit_package_cure(f, kernel_package(f)));
	for (size_t i = 0; f->in->kernels && i < f->in->kernels->nr; i++)
		check_kernel(f, i);
}
