/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages of another architecture: their scripts run by the emulators of qemu-user, which the
 * kernel starts by itself when it is told so (binfmt_misc). mmdebstrap asks arch-test whether that
 * works and otherwise says little; so it is asked beforehand, and the missing part named.
 *
 * A registration needs the flag F: the kernel opens the emulator once, when it is registered.
 * Otherwise it looks for it inside the new root, where it is not. (binfmt_misc: the kernel's
 * Documentation/admin-guide/binfmt-misc.rst)
 */
#include "fs/tree_debian_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/program.h"

static const struct {
	const char *debian, *machine, *qemu; /* uname -m; the emulator's name */
} architectures[] = {
	{"amd64", "x86_64", "x86_64"},
	{"arm64", "aarch64", "aarch64"},
};

static bool is_host(const char *architecture)
{
	struct utsname host;

	if (uname(&host) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (!strcmp(architectures[i].debian, architecture))
			return !strcmp(architectures[i].machine, host.machine);
	return false;
}

static const char *emulator_of(const char *architecture)
{
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (!strcmp(architectures[i].debian, architecture))
			return architectures[i].qemu;
	return architecture;
}

static int cannot(const char *architecture, struct error *err)
{
	return error_wrap(err, "packages for %s cannot be installed on this machine", architecture);
}

/* The kernel's registration of an emulator as text; empty when there is none. */
static int read_registration(const char *binfmt, const char *qemu, struct buf *out,
	struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/qemu-%s", binfmt, qemu);

	if (!path)
		return -1;
	return access(path, F_OK) < 0 ? 0 : file_read(path, out, err);
}

static bool has_flag_f(const char *registration)
{
	const char *flags = strstr(registration, "flags:");

	return flags && memchr(flags + 6, 'F', strcspn(flags + 6, "\n"));
}

/* Why arch-test failed. */
static int explain(const char *qemu, const char *binfmt, const char *registration,
	struct error *err)
{
	CLEANUP_FREE char *program = buf_strf(err, "qemu-%s-static", qemu);
	CLEANUP_FREE char *status = buf_strf(err, "%s/status", binfmt);

	if (!program || !status || program_need(program, "qemu-user-static", err) < 0)
		return -1;
	if (access(status, F_OK) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"binfmt_misc is not mounted (as root: mount -t binfmt_misc none %s; "
			"update-binfmts --enable qemu-%s)", binfmt, qemu);
	if (!*registration)
		return error_set(err, ERROR_USAGE, 0,
			"the kernel does not know the emulator qemu-%s: install the package "
			"'binfmt-support' (as root: update-binfmts --enable qemu-%s)", qemu, qemu);
	if (strncmp(registration, "enabled", 7))
		return error_set(err, ERROR_USAGE, 0,
			"the emulator qemu-%s is disabled (as root: echo 1 > %s/qemu-%s)", qemu, binfmt,
			qemu);
	return error_set(err, ERROR_USAGE, 0,
		"the emulator qemu-%s is registered, but does not run: reinstall the package "
		"'qemu-user-static'", qemu);
}

int debian_check_foreign(const char *architecture, const char *binfmt, struct error *err)
{
	const char *const argv[] = {"arch-test", architecture, NULL};
	struct program_opts test = {.argv = argv, .package = "arch-test"};
	CLEANUP_BUF struct buf registration = BUF_INIT(1 << 16);
	const char *qemu = emulator_of(architecture);
	struct error e = ERROR_INIT;

	if (read_registration(binfmt, qemu, &registration, err) < 0)
		return -1;
	if (program_need("arch-test", "arch-test", err) < 0)
		return cannot(architecture, err);
	if (program_run(&test, &e) < 0) {
		if (e.kind != ERROR_INPUT) {
			if (err)
				*err = e;
			return -1;
		}
		explain(qemu, binfmt, buf_str(&registration), err);
		return cannot(architecture, err);
	}
	/* Without a registration of that name it runs by itself (i386), or by means of another one. */
	if (registration.len == 0 || has_flag_f(buf_str(&registration)))
		return 0;
	error_set(err, ERROR_USAGE, 0,
		"the emulator qemu-%s is registered without the flag F, so that it is not found in the "
		"new root: install the packages 'qemu-user-static' and 'binfmt-support'", qemu);
	return cannot(architecture, err);
}

int tree_debian_check(const char *architecture, struct error *err)
{
	if (!architecture || is_host(architecture))
		return 0;
	return debian_check_foreign(architecture, "/proc/sys/fs/binfmt_misc", err);
}
