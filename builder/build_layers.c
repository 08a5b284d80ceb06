/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a spec, each by one function over the tree. */
#include "builder/build.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/tree_debian.h"
#include "fs/tree_dir.h"
#include "fs/tree_edit.h"
#include "fs/tree_oci.h"
#include "fs/tree_tar.h"

enum { COPY_SIZE = 256 << 10 };

static const char *debian_architecture(const char *architecture)
{
	return strcmp(architecture, "x86_64") ? architecture : "amd64";
}

static int layer_debian(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	struct tree_debian_opts opts = {
		.suite = l->suite,
		.architecture = debian_architecture(s->architecture),
		.variant = l->variant,
		.components = (const char *const *)l->components.items,
		.packages = (const char *const *)l->packages.items,
		.mirrors = (const char *const *)l->mirrors.items,
		.keyring = l->keyring,
		.snapshot = l->snapshot,
		.epoch = s->epoch,
		.cancelled = context_cancelled,
	};
	CLEANUP_FREE struct tree_debian_file *files = NULL;

	if (l->nr_files) {
		files = calloc(l->nr_files, sizeof(*files));
		if (!files)
			return error_nomem(err, "files of a debian layer");
	}
	for (size_t i = 0; i < l->nr_files; i++)
		files[i] = (struct tree_debian_file){l->files[i].key, l->files[i].value,
			strlen(l->files[i].value)};
	opts.files = files;
	opts.nr_files = l->nr_files;
	return tree_debian_add(t, &opts, err);
}

static int layer_tar(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	struct tree_tar_opts opts = {.root_owner = l->root_owner};

	(void)s;
	return tree_tar_add(t, l->path, &opts, err);
}

static int layer_directory(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	struct tree_dir_opts opts = {.root_owner = l->root_owner};

	(void)s;
	return tree_dir_add(t, TREE_ROOT, l->path, &opts, err);
}

static int layer_oci(const struct spec *s, struct spec_layer *l, struct tree *t, struct error *err)
{
	_Static_assert(sizeof(l->digest) == TREE_OCI_DIGEST_SIZE, "a digest has to fit");
	struct tree_oci_opts opts = {
		.architecture = debian_architecture(s->architecture),
		.cancelled = context_cancelled,
		.digest = l->digest,
	};

	return tree_oci_add(t, l->image, &opts, err);
}

static int get_owner(const struct spec_layer *l, const struct tree *t, struct tree_edit_owner *owner,
	struct error *err)
{
	*owner = (struct tree_edit_owner){0, 0};
	return l->owner ? tree_edit_owner(t, l->owner, owner, err) : 0;
}

/* Copies a descriptor's bytes to the tree's spool, so that a file of any size costs no memory. */
static int spool_file(struct tree *t, tree_node node, int fd, const char *path, struct error *err)
{
	CLEANUP_FREE char *chunk = malloc(COPY_SIZE);
	struct spool *spool = tree_spool(t, err);
	uint64_t start = 0, size = 0;
	struct tree_piece piece;

	if (!spool)
		return -1;
	if (!chunk)
		return error_nomem(err, "a copy buffer");
	for (;;) {
		ssize_t n = read(fd, chunk, COPY_SIZE);
		uint64_t off;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read '%s'", path);
		if (!n)
			break;
		if (spool_append(spool, chunk, (size_t)n, &off, err) < 0)
			return -1;
		if (!size)
			start = off;
		size += (uint64_t)n;
	}
	if (tree_set_size(t, node, size, err) < 0 || !size)
		return size ? -1 : 0;
	piece = (struct tree_piece){0, size, spool_source(spool), 0, start};
	return tree_add_piece(t, node, &piece, err);
}

static int write_from(const struct spec_layer *l, struct tree *t, uint32_t mode,
	struct tree_edit_owner owner, int64_t epoch, struct error *err)
{
	CLEANUP_CLOSE int fd = open(l->from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	tree_node node;

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", l->from);
	if (tree_edit_write(t, l->path, "", 0, mode, owner, epoch, err) < 0 ||
		tree_lookup(t, l->path, false, &node, err) < 0)
		return -1;
	return spool_file(t, node, fd, l->from, err);
}

static int layer_write(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	uint32_t mode = l->mode_given ? l->mode : 0644;
	struct tree_edit_owner owner;

	if (get_owner(l, t, &owner, err) < 0)
		return -1;
	if (l->from)
		return write_from(l, t, mode, owner, s->epoch, err);
	return tree_edit_write(t, l->path, l->content, l->content_len, mode, owner, s->epoch, err);
}

static int layer_mkdir(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	struct tree_edit_owner owner;

	if (get_owner(l, t, &owner, err) < 0)
		return -1;
	return tree_edit_mkdir(t, l->path, l->mode_given ? l->mode : 0755, owner, s->epoch, err);
}

static int layer_symlink(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	struct tree_edit_owner owner;

	if (get_owner(l, t, &owner, err) < 0)
		return -1;
	return tree_edit_symlink(t, l->path, l->target, owner, s->epoch, err);
}

static int layer_remove(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	(void)s;
	return tree_edit_remove(t, l->path, l->missing_ok, err);
}

static int layer_chmod(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	(void)s;
	return tree_edit_chmod(t, l->path, l->mode, l->recursive, err);
}

static int layer_chown(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err)
{
	struct tree_edit_owner owner;

	(void)s;
	if (get_owner(l, t, &owner, err) < 0)
		return -1;
	return tree_edit_chown(t, l->path, owner, l->recursive, err);
}

typedef int (*layer_fn)(const struct spec *s, struct spec_layer *l, struct tree *t,
	struct error *err);

static const layer_fn layers[] = {
	[SPEC_DEBIAN] = layer_debian,
	[SPEC_TAR] = layer_tar,
	[SPEC_DIRECTORY] = layer_directory,
	[SPEC_OCI] = layer_oci,
	[SPEC_WRITE] = layer_write,
	[SPEC_MKDIR] = layer_mkdir,
	[SPEC_SYMLINK] = layer_symlink,
	[SPEC_REMOVE] = layer_remove,
	[SPEC_CHMOD] = layer_chmod,
	[SPEC_CHOWN] = layer_chown,
};

int build_layers(struct spec *s, struct tree *t, struct error *err)
{
	for (size_t i = 0; i < s->nr_layers; i++) {
		struct spec_layer *l = &s->layers[i];
		const char *name = spec_layer_name(l->kind);
		int ret;

		log_debug("layer %zu of %zu: %s %s", i + 1, s->nr_layers, name,
			l->path ? l->path : l->image ? l->image : "");
		ret = layers[l->kind](s, l, t, err);
		/* ctrl-C ends the programs that a layer runs too: their failure is not the news then. */
		if (context_check(err) < 0)
			return -1;
		if (ret < 0)
			return error_wrap(err, "%s:%u:%u: %s", s->file, l->place.line,
				l->place.column, name);
	}
	return 0;
}
