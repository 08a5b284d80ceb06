/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An EFI image of GRUB by this machine's grub-mkimage, for trees that bring modules but no image.
 * The tree's files are written to a temporary folder for it: they are its data, nothing of them is
 * run.
 */
#include "builder/loader_grub_internal.h"

#include "base/file.h"
#include "base/num.h"
#include "base/program.h"
#include "base/tempdir.h"
#include "builder/grub_cfg.h"

/* What finds and shows the menu; the rest is read from GRUB's folder. */
static const char *const make_modules[] = {"part_gpt", "part_msdos", "fat", "ext2", "search",
	"search_fs_uuid", "normal", "configfile", "linux", "echo", "test", "loadenv", "xfs", "btrfs",
	"squash4", "gzio", "all_video"};

enum { FIXED_ARGS = 11 };

static int write_file(const char *dir, const char *name, const struct buf *content,
	struct error *err)
{
	CLEANUP_FREE char *path = file_join(dir, name, err);

	if (!path)
		return -1;
	return file_write_atomic(path, content->data, content->len, 0600, false, err);
}

static int take_out(void *arg, const char *name, const struct buf *content, struct error *err)
{
	return write_file(arg, name, content, err);
}

/* GRUB's files under dir; the modules that were asked for and are there in found. */
static int fill_folder(struct grub_dir *d, char *dir, const char **found, struct error *err)
{
	CLEANUP_BUF struct buf kernel = BUF_INIT(GRUB_FILE_MAX);
	bool there;

	if (grub_dir_each(d, take_out, dir, err) < 0 ||
		grub_dir_load(d, "kernel.img", &kernel, &there, err) < 0 ||
		write_file(dir, "kernel.img", &kernel, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(make_modules); i++) {
		CLEANUP_FREE char *path = buf_strf(err, "%s/%s.mod", dir, make_modules[i]);

		if (!path)
			return -1;
		if (access(path, R_OK) == 0)
			*found++ = make_modules[i];
	}
	return 0;
}

static int write_search(const struct loader_in *in, const char *dir, struct error *err)
{
	CLEANUP_BUF struct buf home_path = BUF_INIT(4 * KIB), config = BUF_INIT(64 * KIB);
	const char *home;

	if (grub_home(in, &home, err) < 0 || grub_cfg_path(in, home, &home_path, err) < 0 ||
		grub_cfg_find(in, buf_str(&home_path), &config, err) < 0)
		return -1;
	return write_file(dir, "load.cfg", &config, err);
}

int grub_efi_make(const struct loader_in *in, struct grub_dir *d, const char *platform,
	struct buf *out, struct error *err)
{
	CLEANUP(tempdir_cleanup) char *dir = tempdir_new(in->spool_dir, err);
	CLEANUP_FREE char *config = NULL, *image = NULL;
	const char *argv[FIXED_ARGS + ARRAY_SIZE(make_modules) + 1] = {NULL};
	struct program_opts opts = {
		.argv = argv, .package = "grub-common", .cancelled = in->cancelled};
	size_t n = 0;

	if (!dir)
		return -1;
	config = file_join(dir, "load.cfg", err);
	image = file_join(dir, "grub.efi", err);
	if (!config || !image)
		return -1;
	argv[n++] = "grub-mkimage";
	argv[n++] = "-O";
	argv[n++] = platform;
	argv[n++] = "-d";
	argv[n++] = dir;
	argv[n++] = "-c";
	argv[n++] = config;
	argv[n++] = "-p";
	argv[n++] = "/EFI/BOOT";
	argv[n++] = "-o";
	argv[n++] = image;
	if (fill_folder(d, dir, argv + n, err) < 0 || write_search(in, dir, err) < 0 ||
		program_run(&opts, err) < 0)
		return -1;
	return file_read(image, out, err);
}
