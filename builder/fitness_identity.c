/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What belongs to one machine and must not be in many: keys, ids, seeds, somebody's history. And
 * what makes root grow at the first boot.
 */
#include "builder/fitness_internal.h"

#include <string.h>

static char *remove_cure(struct fit *f, const char *pattern)
{
	return buf_strf(f->err, "- remove: {path: %s}", pattern);
}

static void check_host_keys(struct fit *f)
{
	struct fit_paths keys;

	fit_list(f, "/etc/ssh", "_key", &keys);
	for (size_t i = 0; i < keys.nr; i++) {
		if (strncmp(keys.items[i], "/etc/ssh/ssh_host_", 18) || !fit_is_file(f, keys.items[i]))
			continue;
		fit_add(f, FITNESS_WARNING, "ssh-host-keys",
			buf_strf(f->err, "'%s' is there: all instances would have the same secret key",
				keys.items[i]),
			buf_strf(f->err, "- remove: {path: /etc/ssh/ssh_host_*, missing_ok: true}"));
		break;
	}
	fit_paths_release(&keys);
}

/* 32 digits are an id; what is empty, absent or "uninitialized" gets one at the first boot. */
static bool has_machine_id(struct fit *f, const char *path)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	const char *id;

	if (!fit_read(f, path, &text))
		return false;
	id = buf_str(&text);
	id += strspn(id, " \t\r\n");
	return strspn(id, "0123456789abcdefABCDEF-") >= 32;
}

static void check_machine_id(struct fit *f)
{
	static const char dbus[] = "/var/lib/dbus/machine-id";

	if (has_machine_id(f, "/etc/machine-id"))
		fit_add(f, FITNESS_WARNING, "machine-id",
			buf_strf(f->err, "/etc/machine-id has an id: all instances would be the same "
					 "machine to journal, DHCP and D-Bus"),
			buf_strf(f->err, "- write: {path: /etc/machine-id, content: \"\", mode: \"0444\"}"));
	/* As a link to the other one it is no finding of its own. */
	if (!fit_is_link(f, dbus) && has_machine_id(f, dbus))
		fit_add(f, FITNESS_WARNING, "dbus-machine-id",
			buf_strf(f->err, "%s has an id of its own", dbus),
			buf_strf(f->err, "- symlink: {path: %s, target: /etc/machine-id}", dbus));
}

static void check_secrets(struct fit *f)
{
	static const struct {
		const char *name, *path, *why;
	} files[] = {
		{"random-seed", "/var/lib/systemd/random-seed", "all instances would start from one seed"},
		{"random-seed", "/var/lib/random-seed", "all instances would start from one seed"},
		{"random-seed", "/var/lib/urandom/random-seed", "all instances would start from one seed"},
		{"credential-secret", "/var/lib/systemd/credential.secret",
			"it protects one machine's secrets"},
		{"root-authorized-keys", "/root/.ssh/authorized_keys",
			"whoever holds that key gets into each instance as root"},
		{"shell-history", "/root/.bash_history", "it may tell what was typed where it was made"},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (fit_is_file(f, files[i].path))
			fit_add(f, FITNESS_WARNING, files[i].name,
				buf_strf(f->err, "'%s' is there: %s", files[i].path, files[i].why),
				remove_cure(f, files[i].path));
}

void fit_check_identity(struct fit *f)
{
	check_host_keys(f);
	check_machine_id(f);
	check_secrets(f);
}

/* The program that enlarges a file system that is mounted, and its package. */
static const struct {
	const char *fs;
	const char *paths[5];
	struct fit_package package;
} growers[] = {
	{"ext4", {"/usr/sbin/resize2fs", "/sbin/resize2fs", "/usr/bin/resize2fs"}, {"e2fsprogs", "e2fsprogs"}},
	{"ext3", {"/usr/sbin/resize2fs", "/sbin/resize2fs", "/usr/bin/resize2fs"}, {"e2fsprogs", "e2fsprogs"}},
	{"ext2", {"/usr/sbin/resize2fs", "/sbin/resize2fs", "/usr/bin/resize2fs"}, {"e2fsprogs", "e2fsprogs"}},
	{"xfs", {"/usr/sbin/xfs_growfs", "/sbin/xfs_growfs", "/usr/bin/xfs_growfs"}, {"xfsprogs", "xfsprogs"}},
	{"btrfs", {"/usr/bin/btrfs", "/bin/btrfs", "/usr/sbin/btrfs", "/sbin/btrfs"},
		{"btrfs-progs", "btrfs-progs"}},
};

static bool has_repart(struct fit *f)
{
	static const char *const programs[] = {"/usr/bin/systemd-repart", "/bin/systemd-repart", NULL};
	static const char *const dirs[] = {"/etc/repart.d", "/usr/lib/repart.d", "/usr/local/lib/repart.d"};
	CLEANUP_BUF struct buf fstab = BUF_INIT(0);
	size_t nr = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct fit_paths paths;

		fit_list(f, dirs[i], ".conf", &paths);
		nr += paths.nr;
		fit_paths_release(&paths);
	}
	return nr && fit_first(f, programs) && fit_read(f, "/etc/fstab", &fstab) &&
	       strstr(buf_str(&fstab), "x-systemd.growfs");
}

void fit_check_growth(struct fit *f)
{
	static const char *const growpart[] = {"/usr/bin/growpart", "/bin/growpart", "/usr/sbin/growpart", NULL};

	if (!f->in->grow || !f->in->root_fs || has_repart(f))
		return;
	if (!f->cloud_init) {
		fit_add(f, FITNESS_WARNING, "grow",
			buf_strf(f->err, "root is to grow, but neither does cloud-init run nor has "
					 "systemd-repart definitions and /etc/fstab x-systemd.growfs"),
			fit_package_cure(f, (struct fit_package){"cloud-init", "cloud-init"}));
		return;
	}
	if (!fit_first(f, growpart))
		fit_add(f, FITNESS_WARNING, "grow",
			buf_strf(f->err, "root is to grow, but there is no growpart for cloud-init"),
			fit_package_cure(f, (struct fit_package){"cloud-guest-utils", "cloud-utils-growpart"}));
	for (size_t i = 0; i < sizeof(growers) / sizeof(growers[0]); i++)
		if (!strcmp(f->in->root_fs, growers[i].fs) && !fit_first(f, growers[i].paths))
			fit_add(f, FITNESS_WARNING, "grow",
				buf_strf(f->err, "root is to grow, but there is no %s for its %s",
					strrchr(growers[i].paths[0], '/') + 1, growers[i].fs),
				fit_package_cure(f, growers[i].package));
}
