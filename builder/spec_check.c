/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the spec that need more than one key, and the look for its sources on the host. Fields
 * that could not be read are NULL or 0 here; their mistakes are noted already.
 */
#include "builder/spec_schema.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto_sign.h"
#include "base/num.h"
#include "fs/fs.h"
#include "fs/tree_debian.h"
#include "fs/tree_oci.h"

/* name and version become part of file names and of the AMI's name. */
static void check_word(struct diag *d, struct diag_place place, const char *key, const char *text,
	const char *others)
{
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	for (const char *c = text; *c; c++) {
		bool alnum = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9');

		if (alnum || (c != text && strchr(others, *c)))
			continue;
		diag_add(d, place, "'%s' may have letters, digits and %s, and begins with a letter or "
				   "digit: '%s' does not", key, others, text);
		return;
	}
	if (len > 100)
		diag_add(d, place, "'%s' is %zu characters long, 100 are the most", key, len);
}

/* A path that names one place: no "..", no "//", no "/" at its end. */
static bool normal_path(const char *path)
{
	if (!strcmp(path, "/"))
		return true;
	for (const char *c = path; *c;) {
		size_t len = strcspn(c + 1, "/");

		if (!len || (len == 1 && c[1] == '.') || (len == 2 && c[1] == '.' && c[2] == '.'))
			return false;
		c += 1 + len;
	}
	return true;
}

/* One file system with its mount point, whether in a partition or over a whole disk. */
struct mounted {
	const char *mount, *filesystem;
	struct diag_place place, fs_place;
};

enum { MOUNTS_MAX = 256, NAME_LEN = 255, MOUNT_MAX = 4096 };

struct mounts {
	struct mounted items[MOUNTS_MAX];
	size_t nr;
	bool any_fs, root;
	bool uncertain; /* a value could not be read: nothing can be said about what is missing */
};

/* fstab is split at white space; names have limits on every file system. */
static void check_mount_path(struct diag *d, const struct mounted *m)
{
	bool bad = false, long_name = strlen(m->mount) >= MOUNT_MAX;

	for (const char *c = m->mount; *c; c += *c == '/') {
		size_t len = strcspn(c, "/");

		long_name |= len > NAME_LEN;
		c += len;
	}
	for (const char *c = m->mount; *c; c++)
		bad |= (unsigned char)*c <= ' ' || *c == 0x7f || *c == '\\';
	if (!normal_path(m->mount))
		diag_add(d, m->place, "mount point '%s' must be written without '.', '..', '//' and a "
				      "'/' at its end", m->mount);
	if (bad)
		diag_add(d, m->place, "mount point '%s' must have no white space, control character or "
				      "backslash", m->mount);
	if (long_name)
		diag_add(d, m->place, "a mount point has names of at most %d bytes, and less than %d in all",
			NAME_LEN, MOUNT_MAX);
}

static void add_mount(struct diag *d, struct mounts *all, const struct mounted *m)
{
	all->any_fs |= m->filesystem != NULL;
	all->uncertain |= (m->place.line && !m->mount) || (m->fs_place.line && !m->filesystem);
	if (!m->mount)
		return;
	if (!m->fs_place.line)
		diag_add(d, m->place, "'mount' needs a 'filesystem' (such as ext4) beside it");
	if (m->filesystem && (fs_find(m->filesystem)->flags & FS_NO_TREE))
		diag_add(d, m->place, "%s is not mounted anywhere: leave 'mount' out", m->filesystem);
	check_mount_path(d, m);
	all->root |= !strcmp(m->mount, "/");
	for (size_t i = 0; i < all->nr; i++)
		if (!strcmp(all->items[i].mount, m->mount)) {
			diag_add(d, m->place, "mount point '%s' is taken in line %u: each has one file system",
				m->mount, all->items[i].place.line);
			return;
		}
	if (all->nr < MOUNTS_MAX)
		all->items[all->nr++] = *m;
}

static void check_mounts(const struct spec *s, struct diag *d)
{
	struct mounts all = {.nr = 0};

	for (size_t i = 0; i < s->nr_disks; i++) {
		const struct spec_disk *disk = &s->disks[i];
		struct mounted whole = {disk->mount, disk->filesystem, disk->mount_place, disk->fs_place};

		add_mount(d, &all, &whole);
		for (size_t j = 0; j < disk->nr_partitions; j++) {
			const struct spec_partition *p = &disk->partitions[j];
			struct mounted part = {p->mount, p->filesystem, p->mount_place, p->fs_place};

			add_mount(d, &all, &part);
		}
	}
	if (!all.root && !all.uncertain && s->nr_disks && (s->nr_layers || all.any_fs))
		diag_add(d, s->disks_place, "no file system has 'mount: /': the root tree has no place");
}

void spec_check_label(const char *label, const char *filesystem, struct diag_place place, struct diag *d)
{
	struct error e = ERROR_INIT;

	if (label && filesystem && fs_check_label(fs_find(filesystem), label, &e) < 0)
		diag_add(d, place, "%s", e.text);
}

/* Whether what makes the file system is there; each kind once. */
static void check_fs_available(const struct spec *s, struct diag *d)
{
	for (const char *const *name = fs_names(); *name; name++) {
		const struct fs_ops *ops = fs_find(*name);
		const struct diag_place *place = NULL;
		struct error e = ERROR_INIT;

		for (size_t i = 0; i < s->nr_disks && !place; i++) {
			const struct spec_disk *disk = &s->disks[i];

			if (disk->filesystem && !strcmp(disk->filesystem, *name))
				place = &disk->fs_place;
			for (size_t j = 0; j < disk->nr_partitions && !place; j++)
				if (disk->partitions[j].filesystem &&
					!strcmp(disk->partitions[j].filesystem, *name))
					place = &disk->partitions[j].fs_place;
		}
		if (place && ops->available && ops->available(&e) < 0)
			diag_add(d, *place, "%s", e.text);
	}
}

static void check_volume(const struct spec_ebs *ebs, struct diag *d)
{
	const char *type = ebs->type ? ebs->type : "gp3";
	struct diag_place place = ebs->type_place.line ? ebs->type_place : ebs->place;
	bool io = !strcmp(type, "io1") || !strcmp(type, "io2");

	if (ebs->iops && !io && strcmp(type, "gp3"))
		diag_add(d, place, "volume type %s has no 'iops': gp3, io1 and io2 have", type);
	if (!ebs->iops && io)
		diag_add(d, place, "volume type %s needs 'iops'", type);
	if (ebs->throughput && strcmp(type, "gp3"))
		diag_add(d, place, "volume type %s has no 'throughput': gp3 has", type);
}

/* What a disk is: one of content, empty volume, instance store, suppressed device. */
static void check_disk_kind(const struct spec_disk *disk, struct diag *d)
{
	bool table = disk->table_place.line || disk->partitions_place.line;
	bool whole = disk->fs_place.line, ephemeral = disk->ephemeral_place.line;
	unsigned kinds = table + whole + disk->empty + ephemeral + disk->no_device;

	if (kinds > 1)
		diag_add(d, disk->place, "a disk is one of: 'table' with 'partitions', 'filesystem', "
					 "'empty', 'ephemeral', 'no_device'; this one is %u of them", kinds);
	if (!kinds)
		diag_add(d, disk->place, "the disk has no content: give it 'table' and 'partitions', "
					 "'filesystem', 'empty: true', 'ephemeral' or 'no_device: true'");
	if ((ephemeral || disk->no_device) && disk->ebs.place.line)
		diag_add(d, disk->ebs.place, "'ebs' does not go with %s",
			disk->no_device ? "'no_device'" : "'ephemeral'");
	if ((ephemeral || disk->no_device) && disk->size_kind == SPEC_SIZE_BYTES)
		diag_add(d, disk->size_place, "'size' does not go with %s",
			disk->no_device ? "'no_device'" : "'ephemeral'");
	if ((table || whole) && disk->ebs.encrypted >= 0)
		diag_add(d, disk->ebs.place, "'encrypted' on a disk with content is not supported by this "
					     "version; volumes with 'empty: true' can have it");
}

static void check_disk_size(const struct spec_disk *disk, struct diag *d)
{
	bool fixed = disk->size_kind == SPEC_SIZE_BYTES;

	if (disk->empty && !fixed && diag_same_place(disk->size_place, disk->place))
		diag_add(d, disk->size_place, "an empty volume needs a 'size', such as 20G");
	if (fixed && disk->size && (disk->size % GIB || disk->size > 64 * TIB))
		diag_add(d, disk->size_place, "an EBS volume has whole GiB from 1G to 64T");
	if (fixed && disk->ebs.size && disk->ebs.size < disk->size)
		diag_add(d, disk->ebs.size_place, "the volume is smaller than the disk's own 'size'");
}

/* The "/dev/" may be left out. */
static bool same_device(const char *a, const char *b)
{
	a += strncmp(a, "/dev/", 5) ? 0 : 5;
	b += strncmp(b, "/dev/", 5) ? 0 : 5;
	return !strcmp(a, b);
}

static void check_disk(const struct spec *s, size_t index, struct diag *d)
{
	const struct spec_disk *disk = &s->disks[index];

	check_disk_kind(disk, d);
	check_disk_size(disk, d);
	check_volume(&disk->ebs, d);
	if (disk->table_place.line && !disk->partitions_place.line)
		diag_add(d, disk->place, "'table' needs 'partitions' beside it");
	if (disk->partitions_place.line && !disk->table_place.line)
		diag_add(d, disk->place, "'partitions' need 'table: gpt' (or mbr, hybrid) beside them");
	if (disk->grow && !disk->mount)
		diag_add(d, disk->grow_place, "'grow' needs a 'filesystem' and its 'mount' beside it");
	for (size_t i = 0; i < index; i++)
		if (disk->device && s->disks[i].device && same_device(disk->device, s->disks[i].device))
			diag_add(d, disk->device_place, "device '%s' is there already, in line %u",
				disk->device, s->disks[i].place.line);
	spec_check_label(disk->label, disk->filesystem, disk->label_place, d);
	spec_check_table(s, disk, d);
}

void spec_check(const struct spec *s, struct diag *d)
{
	check_word(d, s->name_place, "name", s->name, "._-");
	check_word(d, s->version_place, "version", s->version, "._-+~");
	for (size_t i = 0; i < s->nr_disks; i++)
		check_disk(s, i, d);
	check_mounts(s, d);
	check_fs_available(s, d);
	if (s->ami.tpm && (!s->boot.mode || strcmp(s->boot.mode, "uefi")))
		diag_add(d, s->ami.tpm_place, "'tpm' needs 'mode: uefi' in 'boot'");
}

static void check_source(struct diag *d, struct diag_place place, const char *path, bool folder)
{
	struct stat st;

	if (!path)
		return;
	if (stat(path, &st) < 0)
		diag_add(d, place, "cannot find '%s': %s", path, strerror(errno));
	else if (folder && !S_ISDIR(st.st_mode))
		diag_add(d, place, "'%s' is no folder: for an archive use a tar layer", path);
	else if (!folder && !S_ISREG(st.st_mode))
		diag_add(d, place, "'%s' is no regular file%s", path,
			S_ISDIR(st.st_mode) ? ": for a folder use a directory layer" : "");
	else if (access(path, folder ? R_OK | X_OK : R_OK) < 0)
		diag_add(d, place, "cannot read '%s': %s", path, strerror(errno));
}

/* One of the two, or whether they fit. */
static bool check_signer(struct diag *d, struct diag_place place, const char *key,
	const char *certificate)
{
	struct error e = ERROR_INIT;
	const char *path = key && certificate ? NULL : key ? key : certificate;
	struct stat st;

	/* Somebody could wait for ever for the end of a pipe. */
	if (path && !stat(path, &st) && !S_ISREG(st.st_mode))
		diag_add(d, place, "'%s' is no regular file: 'sign' needs %s in PEM", path,
			key ? "a private key" : "a certificate");
	else if (crypto_signer_check(key, certificate, &e) < 0)
		diag_add(d, place, "%s", e.text);
	else
		return true;
	return false;
}

static void check_sign(const struct spec *s, struct diag *d)
{
	const char *key = s->boot.sign_key, *certificate = s->boot.sign_certificate;
	bool good = key && check_signer(d, s->boot.key_place, key, NULL);

	good = certificate && check_signer(d, s->boot.certificate_place, NULL, certificate) && good;
	if (good)
		check_signer(d, s->boot.sign_place, key, certificate);
}

static void check_keyring(struct diag *d, const struct spec_layer *l)
{
	if (l->keyring && access(l->keyring, R_OK) < 0)
		diag_add(d, l->keyring_place, "cannot read '%s': %s", l->keyring, strerror(errno));
}

static void check_image(struct diag *d, const struct spec_layer *l)
{
	struct error e = ERROR_INIT;

	if (l->image && tree_oci_check(l->image, &e) < 0)
		diag_add(d, l->path_place, "%s", e.text);
}

static void check_foreign(struct diag *d, const struct spec *s, const struct spec_layer *l)
{
	struct error e = ERROR_INIT;

	if (l->kind != SPEC_DEBIAN || !s->architecture)
		return;
	if (tree_debian_check(strcmp(s->architecture, "x86_64") ? s->architecture : "amd64", &e) < 0)
		diag_add(d, l->place, "%s", e.text);
}

void spec_check_sources(const struct spec *s, struct diag *d)
{
	for (size_t i = 0; i < s->nr_layers; i++) {
		const struct spec_layer *l = &s->layers[i];

		if (l->kind == SPEC_TAR || l->kind == SPEC_DIRECTORY)
			check_source(d, l->path_place, l->path, l->kind == SPEC_DIRECTORY);
		check_source(d, l->from_place, l->from, false);
		check_keyring(d, l);
		check_image(d, l);
		check_foreign(d, s, l);
	}
	check_sign(s, d);
}
