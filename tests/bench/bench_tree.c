/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and CPU time of a tree of many files: bench_tree [FILES [FOLDER]]. First a synthetic one
 * (FILES files, 1,000,000 unless given, 100 to a directory, one content each), then FOLDER as a
 * directory source, scanned, finished, and read once. Without FOLDER one with FILES / 10 files is
 * made under TMPDIR. Each runs in a process of its own, so that peak resident memory is its own.
 */
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>

#include "base/num.h"
#include "fs/tree_dir.h"

static void report(const char *what, const struct tree *t)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("tree %-22s %8u nodes  peak %4ld MiB  %4ld B/node  user %.2f s  system %.2f s\n",
		what, tree_nr_nodes(t), u.ru_maxrss / 1024,
		u.ru_maxrss * 1024 / (long)tree_nr_nodes(t),
		(double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6,
		(double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6);
	fflush(stdout);
}

/* What a directory source keeps for each file. */
struct entry {
	const char *name;
	uint64_t fingerprint;
	uint32_t dir;
};

struct table {
	struct source base;
	struct entry *entries;
};

static void table_free(struct source *src)
{
	free(((struct table *)src)->entries);
	free(src);
}

static const struct source_ops table_ops = {.name = "table", .free = table_free};

static int fill(struct tree *t, struct table *src, uint32_t nr, struct error *err)
{
	struct tree_attr attr = {.mode = S_IFREG | 0644, .mtime = 1700000000, .size = 4096};
	struct tree_attr dir_attr = {.mode = S_IFDIR | 0755};
	tree_node dir = TREE_ROOT;
	tree_node node;
	char name[48];
	size_t len;

	for (uint32_t i = 0; i < nr; i++) {
		struct tree_piece piece = {0, 4096, &src->base, i, 0};

		if (i % 100 == 0) {
			len = (size_t)snprintf(name, sizeof(name), "directory-%u", i / 100);
			if (tree_add(t, TREE_ROOT, name, len, &dir_attr, &dir, err))
				return -1;
		}
		len = (size_t)snprintf(name, sizeof(name), "a-usual-name-%u.txt", i);
		if (tree_add(t, dir, name, len, &attr, &node, err) ||
			tree_add_piece(t, node, &piece, err))
			return -1;
		src->entries[i] = (struct entry){tree_name(t, node, &len), i, i / 100};
	}
	return tree_finish(t, INT64_MAX, err);
}

static int run_synthetic(struct tree *t, uint32_t nr, struct error *err)
{
	struct table *src = calloc(1, sizeof(*src));

	if (!src)
		return error_nomem(err, "bench");
	src->base.ops = &table_ops;
	src->entries = malloc((nr + 1) * sizeof(*src->entries));
	if (!src->entries) {
		free(src);
		return error_nomem(err, "bench");
	}
	if (tree_take_source(t, &src->base, err) || fill(t, src, nr, err))
		return -1;
	report("synthetic", t);
	return 0;
}

/* Reads all files in the order of the tree, as a writer does. */
static int read_all(const struct tree *t, struct error *err)
{
	static char buf[512 << 10];
	tree_node node = TREE_ROOT;

	for (;;) {
		tree_node next = tree_first_child(t, node);
		struct tree_attr attr;

		tree_get(t, node, &attr);
		for (uint64_t off = 0; off < attr.size && S_ISREG(attr.mode); off += sizeof(buf))
			if (tree_pread(t, node, buf, MIN(sizeof(buf), attr.size - off), off, err))
				return -1;
		while (next == TREE_NONE && node != TREE_ROOT) {
			next = tree_next_sibling(t, node);
			node = tree_parent(t, node);
		}
		if (next == TREE_NONE)
			return 0;
		node = next;
	}
}

static int run_directory(struct tree *t, const char *path, struct error *err)
{
	if (tree_dir_add(t, TREE_ROOT, path, NULL, err) || tree_finish(t, INT64_MAX, err))
		return -1;
	report("directory, scanned", t);
	if (read_all(t, err))
		return -1;
	report("directory, and read", t);
	return 0;
}

/* Runs one of the two in a child; path NULL: the synthetic one. */
static int in_child(uint32_t nr, const char *path)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		struct error err = ERROR_INIT;
		struct tree *t = tree_new(NULL, &err);

		status = !t || (path ? run_directory(t, path, &err) : run_synthetic(t, nr, &err));
		if (status)
			fprintf(stderr, "bench_tree: %s\n", err.text);
		tree_free(t);
		_exit(status ? 1 : 0);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status;
}

static int make_files(const char *dir, uint32_t nr)
{
	char path[300];

	for (uint32_t i = 0; i < nr; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/d%u", dir, i / 100);
		if (i % 100 == 0 && mkdir(path, 0755))
			return -1;
		snprintf(path, sizeof(path), "%s/d%u/a-usual-name-%u.txt", dir, i / 100, i);
		fd = open(path, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || write(fd, path, sizeof(path)) != sizeof(path) || close(fd))
			return -1;
	}
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int with_made_folder(uint32_t nr)
{
	const char *tmp = getenv("TMPDIR");
	char dir[256];
	int status;

	snprintf(dir, sizeof(dir), "%s/bench-tree.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		return -1;
	}
	status = make_files(dir, nr) || in_child(0, dir);
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	uint64_t nr = 1000000;

	if (argc > 1 && num_parse(argv[1], 100000000, &nr, &err)) {
		fprintf(stderr, "bench_tree: %s\n", err.text);
		return 2;
	}
	if (in_child((uint32_t)nr, NULL))
		return 1;
	return (argc > 2 ? in_child(0, argv[2]) : with_made_folder((uint32_t)nr / 10)) ? 1 : 0;
}
