/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/efitree.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/program.h"
#include "fs/tree_edit.h"
#include "tests/lib/tmpdir.h"

static _Noreturn void die(const char *what, const struct error *err)
{
	fprintf(stderr, "%s: %s\n", what, err ? err->text : "failed");
	abort();
}

void efitree_write(struct tree *t, const char *path, const void *data, size_t len)
{
	struct error err = ERROR_INIT;

	if (tree_edit_write(t, path, data, len, 0644, (struct tree_edit_owner){0, 0}, 42, &err) < 0)
		die(path, &err);
}

static tree_node find(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node;

	if (tree_lookup(t, path, true, &node, &err) < 0)
		die(path, &err);
	return node;
}

bool efitree_has(const struct tree *t, const char *path)
{
	return find(t, path) != TREE_NONE;
}

char *efitree_read(const struct tree *t, const char *path, size_t *len)
{
	struct error err = ERROR_INIT;
	tree_node node = find(t, path);
	struct tree_attr attr;
	char *data;

	if (node == TREE_NONE)
		die(path, NULL);
	tree_get(t, node, &attr);
	data = malloc(attr.size + 1);
	if (!data || tree_pread(t, node, data, attr.size, 0, &err) < 0)
		die(path, &err);
	data[attr.size] = '\0';
	if (len)
		*len = attr.size;
	return data;
}

char *efitree_host(const char *path, size_t *len)
{
	struct error err = ERROR_INIT;
	struct buf b = BUF_INIT(0);
	char *data;

	if (file_read(path, &b, &err) < 0)
		die(path, &err);
	*len = b.len;
	data = buf_steal(&b, &err);
	if (!data)
		die(path, &err);
	return data;
}

char *efitree_extract(const struct efitree *e, const struct tree *t, const char *path, const char *name)
{
	struct error err = ERROR_INIT;
	char *file = file_join(e->dir, name, &err);
	size_t len;
	char *data = efitree_read(t, path, &len);

	if (!file || file_write_atomic(file, data, len, 0600, false, &err) < 0)
		die(name, &err);
	free(data);
	return file;
}

static void copy_host(struct tree *t, const char *from, const char *to)
{
	size_t len;
	char *data = efitree_host(from, &len);

	efitree_write(t, to, data, len);
	free(data);
}

static void fill(struct tree *t)
{
	static char initrd[100001];

	memset(initrd, 'i', sizeof(initrd));
	copy_host(t, EFITREE_STUB, EFITREE_STUB);
	copy_host(t, EFITREE_BOOT, EFITREE_BOOT);
	copy_host(t, EFITREE_BOOT, "/boot/vmlinuz-6.1.0-9-test");
	copy_host(t, EFITREE_BOOT, "/boot/vmlinuz-6.1.0-10-test");
	efitree_write(t, "/boot/initrd.img-6.1.0-10-test", initrd, sizeof(initrd));
	efitree_write(t, "/boot/initrd.img-6.1.0-9-test", initrd, 3);
	efitree_write(t, "/etc/os-release", "ID=debian\n", 10);
}

bool efitree_init(struct efitree *e, bool own_esp)
{
	struct error err = ERROR_INIT;

	*e = (struct efitree){.tree = NULL};
	if (access(EFITREE_STUB, R_OK) || access(EFITREE_BOOT, R_OK))
		return false;
	e->dir = tmpdir_new();
	e->tree = tree_new(NULL, &err);
	e->esp = own_esp ? tree_new(NULL, &err) : e->tree;
	if (!e->dir || !e->tree || !e->esp)
		die("a tree", &err);
	fill(e->tree);
	if (kernels_find(e->tree, &e->kernels, &err) < 0)
		die("kernels", &err);
	e->in = (struct loader_in){.tree = e->tree, .esp_tree = e->esp,
		.esp = own_esp ? "" : "/boot/efi", .architecture = "x86_64", .os_id = "debian",
		.os_name = "Debian GNU/Linux 12", .root = "root=UUID=1-2 ro",
		.cmdline = "console=ttyS0", .kernels = &e->kernels, .uefi = true, .timeout = 3,
		.epoch = 42};
	return true;
}

void efitree_release(struct efitree *e)
{
	kernels_release(&e->kernels);
	if (e->esp != e->tree)
		tree_free(e->esp);
	if (e->tree)
		tree_free(e->tree);
	if (e->dir)
		tmpdir_free(e->dir);
}

int efitree_run(struct buf *output, const char *const *argv)
{
	struct error err = ERROR_INIT;
	const struct program_opts opts = {.argv = argv, .output = output};
	int r = program_run(&opts, &err);

	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r;
}

void efitree_install(const struct efitree *e, const struct loader_ops *loader)
{
	struct error err = ERROR_INIT;
	struct loader_out out = {NULL, NULL, 0};

	if (loader->check(&e->in, LOADER_UEFI, &err) < 0 ||
		loader->install(&e->in, &out, &err) < 0 || tree_finish(e->tree, 42, &err) < 0 ||
		(e->esp != e->tree && tree_finish(e->esp, 42, &err) < 0))
		die(loader->name, &err);
}

bool efitree_program(const char *name)
{
	struct error err = ERROR_INIT;
	char *path = program_find(name, &err);

	free(path);
	return path != NULL;
}

bool efitree_key(const struct efitree *e, const char *name)
{
	struct error err = ERROR_INIT;
	CLEANUP_FREE char *key = buf_strf(&err, "%s/%s.key", e->dir, name);
	CLEANUP_FREE char *crt = buf_strf(&err, "%s/%s.crt", e->dir, name);
	const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
		"-subj", "/O=tests/CN=a key", "-days", "3650", "-keyout", key, "-out", crt, NULL};

	if (!efitree_program("openssl"))
		return false;
	if (!key || !crt || efitree_run(NULL, argv) < 0)
		die("openssl", &err);
	return true;
}
