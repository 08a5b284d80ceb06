/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vfat image by mkfs.fat and mtools: folders first, by mmd; then the files of one folder after
 * the other, by mcopy, a batch at a time so that contents are on disk twice only for that long.
 * mtools' settings of the machine are kept out by the environment.
 */
#include "fs/vfat_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/program.h"
#include "base/tempdir.h"

enum {
	BATCH = 200,               /* names a call */
	BATCH_TEXT = 256 << 10,    /* bytes of names a call; the kernel takes 2 MiB */
	BATCH_CONTENT = 64 << 20,  /* bytes of files a call */
	COPY = 1 << 20,
};

struct make {
	const struct fs *fs;
	char *dir;   /* the temporary folder */
	char *image; /* in it */
	char *home;  /* "HOME=" and the folder: no ~/.mtoolsrc */
	uint8_t *copy;

	/* A call that is being put together: arguments from `nr_fixed` on are owned. */
	char *args[BATCH + 8];
	size_t nr, nr_fixed;
	size_t text;
	uint64_t content;
};

static int run(struct make *m, const char *const *argv, const char *package, struct error *err)
{
	const char *const environment[] = {"LC_ALL=C.UTF-8", m->home, "MTOOLSRC=/dev/null",
		"MTOOLS_SKIP_CHECK=1", "MTOOLS_LOWER_CASE=0", "MTOOLS_NO_VFAT=0",
		"MTOOLS_NAME_NUMERIC_TAIL=1", "MTOOLS_FAT_COMPATIBILITY=0",
		"MTOOLS_DOTTED_DIR=0", "SOURCE_DATE_EPOCH=315532800", NULL};
	const struct program_opts opts = {
		.argv = argv,
		.environment = environment,
		.package = package,
		.cancelled = m->fs->opts.cancelled,
	};

	return program_run(&opts, err);
}

static int make_empty(struct make *m, const struct vfat_shape *shape, struct error *err)
{
	char bits[8], per[8], reserved[16], root[16], id[16], label[VFAT_LABEL + 1], fats[8];
	const char *argv[24] = {"mkfs.fat", "--invariant", "--mbr=n", "-a", "-S", "512", "-f", fats,
		"-F", bits, "-s", per, "-R", reserved, "-i", id};
	CLEANUP_CLOSE int fd = open(m->image, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	size_t nr = 16;

	if (fd < 0 || ftruncate(fd, (off_t)(shape->sectors * VFAT_SECTOR)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make '%s'", m->image);
	snprintf(fats, sizeof(fats), "%d", VFAT_FATS);
	snprintf(bits, sizeof(bits), "%u", shape->bits);
	snprintf(per, sizeof(per), "%u", shape->per_cluster);
	snprintf(reserved, sizeof(reserved), "%u", shape->reserved);
	snprintf(id, sizeof(id), "%08x", vfat_volume_id(m->fs));
	snprintf(root, sizeof(root), "%u", shape->root_entries);
	vfat_label(m->fs, label);
	if (shape->bits == 16) {
		argv[nr++] = "-r";
		argv[nr++] = root;
	}
	if (label[0]) {
		argv[nr++] = "-n";
		argv[nr++] = label;
	}
	argv[nr++] = m->image;
	return run(m, argv, "dosfstools", err);
}

/*
 * A folder of the image for mtools, which takes names of folders as patterns: what is special there
 * is put as a '?'. Should another folder match, the comparison of names afterwards finds out.
 */
static char *target(const struct make *m, tree_node node, bool literal_name, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(TREE_PATH_MAX * 4);
	size_t name_at = 0, base = 0;

	if (m->fs->root != TREE_ROOT) {
		if (tree_path(m->fs->tree, m->fs->root, &text, err) < 0)
			return NULL;
		base = text.len;
		buf_clear(&text);
	}
	if (buf_add_str(&text, "::", err) < 0 || tree_path(m->fs->tree, node, &text, err) < 0)
		return NULL;
	memmove(text.data + 2, text.data + 2 + base, text.len - 2 - base + 1);
	buf_truncate(&text, text.len - base);
	if (text.len == 2 && buf_add_char(&text, '/', err) < 0)
		return NULL;
	name_at = (size_t)(strrchr(text.data, '/') - text.data);
	for (size_t i = 2; i < text.len && (!literal_name || i < name_at); i++)
		if (text.data[i] == '[' || text.data[i] == ']')
			text.data[i] = '?';
	return buf_steal(&text, err);
}

static void begin(struct make *m, const char *const *fixed)
{
	m->nr = 0;
	for (; fixed[m->nr]; m->nr++) {
		union { const char *in; char *out; } arg = {.in = fixed[m->nr]};

		m->args[m->nr] = arg.out;
	}
	m->nr_fixed = m->nr;
	m->text = 0;
	m->content = 0;
}

static void drop(struct make *m)
{
	while (m->nr > m->nr_fixed)
		free(m->args[--m->nr]);
	m->text = 0;
	m->content = 0;
}

/* Takes arg. */
static void add(struct make *m, char *arg)
{
	m->args[m->nr++] = arg;
	m->text += strlen(arg) + 1;
}

static bool is_full(const struct make *m)
{
	return m->nr - m->nr_fixed >= BATCH || m->text >= BATCH_TEXT || m->content >= BATCH_CONTENT;
}

/* Runs what has come together, with one more argument unless NULL. */
static int finish(struct make *m, char *last, struct error *err)
{
	union { char *const *in; const char *const *out; } argv = {.in = m->args};
	int r = 0;

	if (m->nr > m->nr_fixed) {
		m->args[m->nr] = last;
		m->args[m->nr + 1] = NULL;
		r = run(m, argv.out, "mtools", err);
	}
	return r;
}

static int make_dirs(struct make *m, struct error *err)
{
	const char *const fixed[] = {"mmd", "-D", "s", "-i", m->image, NULL};
	tree_node dir = m->fs->root;
	int r = 0;

	begin(m, fixed);
	while (r == 0 && (dir = vfat_next_dir(m->fs, dir)) != TREE_NONE) {
		char *name = target(m, dir, true, err);

		if (!name) {
			r = -1;
			break;
		}
		add(m, name);
		if (is_full(m)) {
			r = finish(m, NULL, err);
			drop(m);
		}
	}
	if (r == 0)
		r = finish(m, NULL, err);
	drop(m);
	return r;
}

static int copy_content(struct make *m, tree_node node, int fd, uint64_t size, const char *path,
	struct error *err)
{
	for (uint64_t off = 0; off < size;) {
		size_t step = MIN(size - off, (uint64_t)COPY);

		if (m->fs->opts.cancelled && m->fs->opts.cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		if (tree_pread(m->fs->tree, node, m->copy, step, off, err) < 0 ||
			file_pwrite_all(fd, m->copy, step, off, path, err) < 0)
			return -1;
		off += step;
	}
	return 0;
}

/* A file with the node's name and content; its path is the caller's. */
static char *make_file(struct make *m, tree_node node, struct error *err)
{
	size_t len;
	CLEANUP_FREE char *path =
		buf_strf(err, "%s/files/%s", m->dir, tree_name(m->fs->tree, node, &len));
	CLEANUP_CLOSE int fd = -1;
	struct tree_attr attr;

	if (!path)
		return NULL;
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_null(err, ERROR_IO, errno, "cannot make '%s'", path);
	tree_get(m->fs->tree, node, &attr);
	m->content += attr.size;
	if (copy_content(m, node, fd, attr.size, path, err) < 0)
		return NULL;
	return steal_ptr(&path);
}

static int copy_batch(struct make *m, char *to, struct error *err)
{
	int r = finish(m, to, err);

	for (size_t i = m->nr_fixed; i < m->nr; i++)
		unlink(m->args[i]);
	drop(m);
	return r;
}

static int copy_dir(struct make *m, tree_node dir, struct error *err)
{
	const char *const fixed[] = {"mcopy", "-Q", "-D", "s", "-i", m->image, NULL};
	CLEANUP_FREE char *to = target(m, dir, false, err);
	struct tree_attr attr;
	int r = to ? 0 : -1;

	begin(m, fixed);
	for (tree_node n = vfat_next_child(m->fs, dir, TREE_NONE); r == 0 && n != TREE_NONE;
		n = vfat_next_child(m->fs, dir, n)) {
		char *path;

		tree_get(m->fs->tree, n, &attr);
		if (S_ISDIR(attr.mode))
			continue;
		path = make_file(m, n, err);
		if (!path) {
			r = -1;
			break;
		}
		add(m, path);
		if (is_full(m))
			r = copy_batch(m, to, err);
	}
	if (r == 0)
		r = copy_batch(m, to, err);
	drop(m);
	return r;
}

static int fill(struct make *m, const struct vfat_shape *shape, struct error *err)
{
	CLEANUP_FREE char *files = buf_strf(err, "%s/files", m->dir);

	m->image = buf_strf(err, "%s/image", m->dir);
	m->home = buf_strf(err, "HOME=%s", m->dir);
	m->copy = malloc(COPY);
	if (!m->copy)
		return error_nomem(err, "a buffer");
	if (!files || !m->image || !m->home)
		return -1;
	if (mkdir(files, 0700) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make '%s'", files);
	if (make_empty(m, shape, err) < 0 || make_dirs(m, err) < 0)
		return -1;
	for (tree_node dir = m->fs->root; dir != TREE_NONE; dir = vfat_next_dir(m->fs, dir))
		if (copy_dir(m, dir, err) < 0)
			return -1;
	return 0;
}

int vfat_make(const struct fs *fs, const struct vfat_shape *shape, struct error *err)
{
	CLEANUP(tempdir_cleanup) char *dir = tempdir_new(fs->opts.spool_dir, err);
	struct make *m = dir ? calloc(1, sizeof(*m)) : NULL;
	int fd = -1;

	if (!m)
		return dir ? error_nomem(err, "a vfat") : -1;
	m->fs = fs;
	m->dir = dir;
	if (fill(m, shape, err) == 0) {
		fd = open(m->image, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			error_set(err, ERROR_IO, errno, "cannot open '%s'", m->image);
	}
	free(m->image);
	free(m->home);
	free(m->copy);
	free(m);
	return fd;
}
