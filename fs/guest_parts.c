/* SPDX-License-Identifier: Apache-2.0 */
/* What libguestfs needs to start an appliance, looked for before it is asked to. */
#include "fs/guest_private.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/program.h"

static bool can_read(const char *dir, const char *name)
{
	char path[1024];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       access(path, R_OK) == 0;
}

/* Whether a file of that pattern can be read; *found when there is one at all. */
static bool any_readable(const char *pattern, bool *found)
{
	glob_t g;
	bool readable = false;

	if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return false;
	for (size_t i = 0; i < g.gl_pathc; i++)
		readable = readable || access(g.gl_pathv[i], R_OK) == 0;
	*found = *found || g.gl_pathc > 0;
	globfree(&g);
	return readable;
}

/* supermin takes a kernel of the host, from where distributions put them. */
static int check_supermin(struct error *err)
{
	bool found = false;

	if (program_need("supermin", "supermin", err) < 0)
		return error_wrap(err, "libguestfs makes its appliance by supermin");
	if (any_readable("/boot/vmlinu?-*", &found) ||
		any_readable("/lib/modules/*/vmlinuz", &found))
		return 0;
	if (found)
		return error_set(err, ERROR_USAGE, 0,
			"libguestfs needs a kernel for its appliance, and those in /boot may not be "
			"read by this user; 'sudo chmod 0644 /boot/vmlinuz-*' cures it");
	return error_set(err, ERROR_USAGE, 0,
		"libguestfs needs a kernel for its appliance, and there is none in /boot; install "
		"linux-image-cloud-amd64 (Debian; it need not be booted) or linux-image-kvm (Ubuntu)");
}

/* The first folder of the path that has an appliance counts, ready-made or as parts. */
static int check_appliance(guestfs_h *g, struct error *err)
{
	const char *path = guest_api.get_path(g);
	char dir[900];

	for (const char *p = path ? path : ""; *p;) {
		size_t len = strcspn(p, ":");

		snprintf(dir, sizeof(dir), "%.*s", (int)len, p);
		if (can_read(dir, "supermin.d"))
			return check_supermin(err);
		if (can_read(dir, "kernel") && can_read(dir, "initrd") && can_read(dir, "root"))
			return 0;
		p += len + (p[len] == ':');
	}
	return error_set(err, ERROR_USAGE, 0,
		"libguestfs has no appliance in '%s'; install libguestfs0", path ? path : "");
}

static int check_hypervisor(guestfs_h *g, struct error *err)
{
	CLEANUP_FREE char *hv = guest_api.get_hv(g);

	if (!hv || access(hv, X_OK) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"libguestfs needs '%s' for its appliance; install qemu-system-x86 "
			"(qemu-system-arm on arm64)", hv ? hv : "qemu");
	return 0;
}

int guest_check_parts(guestfs_h *g, struct error *err)
{
	return check_appliance(g, err) < 0 || check_hypervisor(g, err) < 0 ? -1 : 0;
}
