/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xfs and btrfs as file systems of an image. mkfs makes them in a temporary file, which an ordinary
 * user may; the kernel of a libguestfs appliance fills them from one tar stream, which keeps owners,
 * attributes, links and devices; then its free blocks are discarded.
 *
 *   mkfs ─▶ image ─▶ appliance: mount, tar ◀─ pipe ◀─ tree, in a thread; fstrim ─▶ extents
 *
 * uuid, label, names, contents and mtimes are a function of the tree and the options. The kernel
 * chooses where blocks lie, inode numbers and generations, and it writes its own time into ctime
 * and atime: two runs do not give the same bits.
 */
#include "fs/fs_types.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "base/program.h"
#include "fs/guest.h"
#include "fs/guest_internal.h"
#include "fs/tree_tar_out.h"

/* Bytes of a label, without a NUL. */
enum { XFS_LABEL = 12, BTRFS_LABEL = 255 };

/* The tree on its way into the pipe. */
struct feed {
	const struct fs *fs;
	int fd; /* closed by the thread */
	int ret;
	struct error err;
};

static void cut_label(char out[BTRFS_LABEL + 1], const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0;

	if (len > max) {
		len = max;
		while (len && ((unsigned char)text[len] & 0xC0) == 0x80)
			len--;
	}
	memcpy(out, text ? text : "", len);
	out[len] = '\0';
}

static int run_mkfs(const struct fs *fs, const char *const *argv, const char *package,
	struct error *err)
{
	struct program_opts o = {
		.argv = argv, .package = package, .cancelled = fs->opts.cancelled};

	return program_run(&o, err);
}

/*
 * Features are those of Linux 6.1, whatever the mkfs that is installed takes for its default:
 * GRUB 2.06 and 2.12 read them, and Debian 12's kernel. (nrext64 is what GRUB 2.06 refuses.)
 */
static int make_xfs(const struct fs *fs, const char *image, struct error *err)
{
	char label[BTRFS_LABEL + 1], uuid[UUID_TEXT_SIZE], meta[128];
	const char *argv[] = {"mkfs.xfs", "-q", "-f", "-s", "size=512", "-b", "size=4096", "-d", "noalign",
		"-m", meta, "-i", "size=512,sparse=1,nrext64=0", "-L", label, image, NULL};

	cut_label(label, fs->opts.label, XFS_LABEL);
	snprintf(meta, sizeof(meta),
		"uuid=%s,crc=1,finobt=1,reflink=1,bigtime=1,inobtcount=1,rmapbt=0",
		uuid_format(uuid, fs->opts.uuid));
	return run_mkfs(fs, argv, "xfsprogs", err);
}

static int make_btrfs(const struct fs *fs, const char *image, struct error *err)
{
	char label[BTRFS_LABEL + 1], uuid[UUID_TEXT_SIZE];
	const char *argv[] = {"mkfs.btrfs", "-q", "-f", "-s", "4096", "-n", "16384", "-m", "dup", "-d",
		"single", "-O", "no-holes", "-U",
		uuid_format(uuid, fs->opts.uuid), "-L", label, image, NULL};

	cut_label(label, fs->opts.label, BTRFS_LABEL);
	return run_mkfs(fs, argv, "btrfs-progs", err);
}

static bool is_xfs(const struct fs *fs)
{
	return fs->ops == &fs_xfs_ops;
}

static uint64_t least_of(const struct fs *fs, const struct guest_needs *needs, uint64_t *used)
{
	return is_xfs(fs) ? guest_xfs_least(needs, used) : guest_btrfs_least(needs, used);
}

static int xfs_available(struct error *err)
{
	if (program_need("mkfs.xfs", "xfsprogs", err) < 0)
		return -1;
	return guest_available(err) < 0 ? error_wrap(err, "xfs") : 0;
}

static int btrfs_available(struct error *err)
{
	if (program_need("mkfs.btrfs", "btrfs-progs", err) < 0)
		return -1;
	return guest_available(err) < 0 ? error_wrap(err, "btrfs") : 0;
}

/* Roomy: as ext4 has it, the larger of 64 MiB and 10 %. */
static int guest_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err)
{
	struct guest_needs needs;
	uint64_t used;

	if (guest_measure(fs, &needs, err) < 0)
		return -1;
	*least = least_of(fs, &needs, &used);
	*roomy = num_align(*least + MAX(64 * MIB, *least / 10), MIB);
	return 0;
}

static int guest_plan(struct fs *fs, struct fs_sums *out, struct error *err)
{
	char need[NUM_SIZE_TEXT], has[NUM_SIZE_TEXT];
	struct guest_needs needs;
	uint64_t least, used;

	if (guest_measure(fs, &needs, err) < 0)
		return -1;
	least = least_of(fs, &needs, &used);
	if (fs->len < least)
		return error_set(err, ERROR_INPUT, 0, "%s needs %s for what it is to hold, there is %s",
			fs->ops->name, num_format_size(need, least), num_format_size(has, fs->len));
	*out = (struct fs_sums){
		.size = fs->len, .used = used, .free = fs->len - used, .inodes = needs.nr_inodes};
	return 0;
}

/* With SIGPIPE blocked: a reader that went away is an error like any other. */
static void *feed_thread(void *arg)
{
	struct feed *f = arg;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	f->ret = tree_tar_write(f->fs->tree, f->fs->root, f->fd, "the appliance",
		f->fs->opts.cancelled, &f->err);
	close(f->fd);
	return NULL;
}

static int fill_error(const struct fs *fs, const struct feed *f, struct error *err)
{
	char has[NUM_SIZE_TEXT];

	/* The reader's reason is the better one when it went away. */
	if (f->ret < 0 && f->err.errnum != EPIPE) {
		if (err)
			*err = f->err;
		return -1;
	}
	if (err && err->kind == ERROR_INPUT && err->errnum == ENOSPC)
		return error_set(err, ERROR_INPUT, 0,
			"%s of %s is too small for what it is to hold; give its partition a larger size",
			fs->ops->name, num_format_size(has, fs->len));
	return -1;
}

static int fill(const struct fs *fs, struct guest *g, struct error *err)
{
	struct feed f = {.fs = fs, .err = ERROR_INIT};
	pthread_t thread;
	int ends[2], ret, code;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a pipe");
	f.fd = ends[1];
	code = pthread_create(&thread, NULL, feed_thread, &f);
	if (code) {
		close(ends[0]);
		close(ends[1]);
		return error_set(err, ERROR_IO, code, "cannot start a thread");
	}
	ret = guest_tar_in(g, ends[0], err);
	close(ends[0]); /* a writer that still writes must not wait for us */
	pthread_join(thread, NULL);
	return ret < 0 || f.ret < 0 ? fill_error(fs, &f, err) : 0;
}

/* Free blocks that cannot be discarded only cost: those that the kernel used in between are data. */
static int trim(struct guest *g, struct error *err)
{
	struct error why = ERROR_INIT;

	if (guest_trim(g, &why) == 0)
		return 0;
	if (why.kind != ERROR_INTERRUPTED) {
		log_warn("%s", why.text);
		return 0;
	}
	if (err)
		*err = why;
	return -1;
}

static int work(const struct fs *fs, const char *image, struct error *err)
{
	const struct guest_opts opts = {.cancelled = fs->opts.cancelled};
	struct guest *g;

	if ((is_xfs(fs) ? make_xfs(fs, image, err) : make_btrfs(fs, image, err)) < 0)
		return -1;
	g = guest_start(image, &opts, err);
	if (!g)
		return -1;
	if (guest_mount(g, "noatime", err) < 0 || fill(fs, g, err) < 0 || trim(g, err) < 0) {
		guest_abort(g);
		return -1;
	}
	return guest_stop(g, err);
}

static int guest_write(struct fs *fs, struct dev *dev, struct error *err)
{
	struct guest_image *img = guest_image_new(fs->opts.spool_dir, fs->len, err);

	if (!img)
		return -1;
	guest_image_free(fs->state);
	fs->state = img;
	if (work(fs, guest_image_path(img), err) < 0)
		return -1;
	guest_image_unlink(img);
	return guest_image_refer(img, dev, err);
}

static void guest_release(struct fs *fs)
{
	guest_image_free(fs->state);
	fs->state = NULL;
}

const struct fs_ops fs_xfs_ops = {
	.name = "xfs",
	.flags = FS_SCRIPTED | FS_NOT_SAME,
	.least = 300 * MIB, /* mkfs.xfs refuses less */
	.label_max = XFS_LABEL,
	.available = xfs_available,
	.sizes = guest_sizes,
	.plan = guest_plan,
	.write = guest_write,
	.release = guest_release,
};

const struct fs_ops fs_btrfs_ops = {
	.name = "btrfs",
	.flags = FS_SCRIPTED | FS_NOT_SAME,
	.least = 256 * MIB,
	.label_max = BTRFS_LABEL,
	.available = btrfs_available,
	.sizes = guest_sizes,
	.plan = guest_plan,
	.write = guest_write,
	.release = guest_release,
};
