/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spec file: YAML read by libyaml's document API and checked against a table of keys, so that
 * all mistakes are reported in one run, each with line and column. (libcyaml stops at the first
 * mistake and knows no columns of values; hence libyaml itself.) The result is plain values: text
 * is as written, sizes are bytes, paths are joined with the spec's folder.
 *
 * Every text in it is owned by the spec and NULL when not given.
 */
#ifndef AMIWRIGHT_BUILDER_SPEC_H
#define AMIWRIGHT_BUILDER_SPEC_H

#include "builder/diag.h"

#include <stdbool.h>
#include <stdint.h>

/* ext4 holds times up to the year 2446; the epoch must fit. */
#define SPEC_EPOCH_MAX ((UINT64_C(1) << 34) - (UINT64_C(1) << 31) - 1)

/* Both consoles of EC2: the screenshot's and the serial one. */
#define SPEC_CMDLINE "console=tty0 console=ttyS0,115200n8"

struct spec_strings {
	char **items; /* NULL-terminated; NULL when not given */
	size_t nr;
};

struct spec_tag {
	char *key, *value;
	struct diag_place place;
};

enum spec_layer_kind {
	SPEC_DEBIAN, SPEC_TAR, SPEC_DIRECTORY, SPEC_OCI, SPEC_WRITE, SPEC_MKDIR, SPEC_SYMLINK,
	SPEC_REMOVE, SPEC_CHMOD, SPEC_CHOWN,
};

struct spec_layer {
	enum spec_layer_kind kind;
	struct diag_place place, path_place, from_place, keyring_place;
	/* debian */
	char *suite, *variant, *keyring, *snapshot;
	struct spec_strings components, packages, mirrors;
	struct spec_tag *files; /* path and text of what is there before the packages */
	size_t nr_files;
	/* oci */
	char *image;     /* reference of fs/tree_oci.h */
	char digest[72]; /* of the image, once the layer is built; "" before */
	/* tar, directory, and content of write by `from` */
	char *path;      /* host path of tar and directory; path in the tree for all others */
	bool root_owner; /* owner: root on tar and directory */
	/* write */
	char *content;   /* bytes, content_len long */
	size_t content_len;
	char *from;      /* host file */
	/* write, mkdir, chmod */
	uint32_t mode;
	bool mode_given;
	/* write, mkdir, symlink, chown: "user:group" */
	char *owner;
	/* symlink */
	char *target;
	/* remove, chmod, chown */
	bool recursive, missing_ok;
};

enum spec_size_kind { SPEC_SIZE_AUTO, SPEC_SIZE_BYTES, SPEC_SIZE_REST, SPEC_SIZE_PERCENT };

struct spec_partition {
	struct diag_place place, name_place, type_place, size_place, mount_place, fs_place;
	struct diag_place verity_place, grow_place, label_place;
	char *name;
	char *type;                 /* as written: "root", "esp", a GUID */
	enum spec_size_kind size_kind;
	uint64_t size;              /* bytes for SPEC_SIZE_BYTES, 1 to 100 for SPEC_SIZE_PERCENT */
	char *filesystem;           /* a name of fs_find(); NULL: none */
	char *label;                /* of the file system; NULL: the partition's name */
	char *mount;                /* "/", "/var" …; NULL: none */
	char *options;              /* for fstab; NULL: the file system's usual ones */
	char *verity;               /* this partition has the hashes of the one of that name; NULL: none */
	uint32_t reserved_percent;
	bool grow;                  /* to the end of its disk, at the first boot */
};

struct spec_ebs {
	char *type;                 /* gp3 when not given */
	uint32_t iops, throughput;  /* 0: not given */
	uint64_t size;              /* bytes, whole GiB; 0: the snapshot's */
	int delete_on_termination;  /* 0, 1; -1 not given */
	int encrypted;              /* 0, 1; -1 not given; for empty volumes only */
	struct diag_place place, type_place, size_place; /* line 0: not given */
};

struct spec_disk {
	/* line 0: the key is not given; a value of NULL with a place was wrong */
	struct diag_place place, device_place, size_place, table_place, partitions_place;
	struct diag_place mount_place, fs_place, ephemeral_place, grow_place, label_place;
	char *device;               /* "/dev/xvda" */
	enum spec_size_kind size_kind; /* AUTO or BYTES */
	uint64_t size;
	char *table;                /* "gpt", "mbr", "hybrid" or NULL: none */
	struct spec_partition *partitions;
	size_t nr_partitions;
	char *filesystem;           /* of a disk without table */
	char *label, *mount, *options;
	bool grow;
	struct spec_ebs ebs;
	int ephemeral;              /* 0..23; -1: not an instance-store volume */
	bool no_device;
	bool empty;                 /* an EBS volume without content: `empty: true` with a size */
};

/* One more region that gets the AMI. */
struct spec_copy {
	struct diag_place place, region_place, encrypt_place, key_place;
	char *region;
	char *kms_key;              /* key ARN, "alias/x" or key id of that region; then encrypt holds */
	int encrypt;                /* 0, 1; -1 not given: as the source is */
};

/* Who may launch the AMI. */
struct spec_share {
	struct spec_strings accounts; /* 12 digits each */
	struct spec_strings organizations, units; /* ARNs */
	bool everyone;              /* key `public` */
	struct diag_place place, accounts_place, organizations_place, units_place, public_place;
};

struct spec {
	char *file;                 /* as given on the command line */
	char *dir;                  /* folder of the file */
	char *name, *version, *architecture;
	int64_t epoch;
	bool epoch_given;
	struct diag_place name_place, version_place, disks_place;
	struct spec_layer *layers;
	size_t nr_layers;
	struct spec_disk *disks;
	size_t nr_disks;
	struct {
		char *loader;       /* grub, systemd-boot, uki, none; NULL: none */
		char *mode;         /* legacy-bios, uefi, uefi-preferred; auto and NULL: found out */
		char *cmdline;      /* of the kernel, but for root=; NULL: SPEC_CMDLINE */
		char *sign_key, *sign_certificate; /* host paths, PEM; NULL: unsigned */
		uint32_t timeout;   /* seconds that a menu waits */
		struct diag_place place, loader_place, mode_place, cmdline_place, sign_place,
			key_place, certificate_place;
	} boot;
	bool strict;                /* what makes an instance unfit is a mistake, not a warning */
	struct {
		char *name;         /* template: {name} {version} {arch} {epoch} */
		char *description;
		char *imds;         /* "v2.0" */
		char *tpm;
		bool ena;           /* default true */
		bool sriov;
		struct spec_tag *tags;
		size_t nr_tags;
		bool encrypt;       /* the snapshots; with kms_key always */
		char *kms_key;      /* key ARN or "alias/x"; NULL: the account's default EBS key */
		struct spec_copy *copies;
		size_t nr_copies;
		struct spec_share share;
		uint32_t deprecate_days;     /* the AMI, so long after its making; 0: never */
		bool deprecate_old;          /* earlier AMIs of this name, deprecate_old_days after */
		uint32_t deprecate_old_days;
		bool protect;       /* against deregistration */
		struct diag_place place, name_place, tpm_place, encrypt_place, key_place, deprecate_place;
	} ami;
};

/*
 * Reads and checks; -1 with ERROR_USAGE when there are mistakes: all of them are in d, which the
 * caller releases. What could be read is in s also then, so that further checks can add theirs.
 * Release in any case.
 */
int spec_read(struct spec *s, const char *path, struct diag *d, struct error *err) MUST_CHECK;
/* The same from text, without looking for the sources on the host; for tests and fuzzing. */
int spec_parse(struct spec *s, const char *text, size_t len, const char *file, struct diag *d,
	struct error *err) MUST_CHECK;
void spec_release(struct spec *s);

/* True for a path that ends in .yaml or .yml: what tells a spec from an image. */
bool spec_has_name(const char *path);
/* True when the disk, or a partition of it, is mounted at /. */
bool spec_mounts_root(const struct spec_disk *disk);
/* "eu-west-1", "us-gov-east-1": words of small letters and a number. */
bool spec_is_region(const char *text);
/* "debian", "write" …: the layer's key. */
const char *spec_layer_name(enum spec_layer_kind kind);

#endif
