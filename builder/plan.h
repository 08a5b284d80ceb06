/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: pure sums over spec and tree. Which tree goes to which partition, every size and
 * offset, every derived uuid, the block device mapping, the AMI's name. Nothing is written. What
 * cannot fit is found here.
 */
#ifndef AMIWRIGHT_BUILDER_PLAN_H
#define AMIWRIGHT_BUILDER_PLAN_H

#include "builder/fitness.h"
#include "builder/kernels.h"
#include "builder/layout.h"
#include "builder/loader.h"
#include "builder/spec.h"
#include "fs/fs.h"
#include "fs/partition.h"
#include "uploader/ec2.h"

struct plan_fs {
	const struct spec_partition *part; /* NULL: a file system over the whole disk */
	size_t part_index;
	const char *mount;       /* NULL: not mounted; borrowed from the spec */
	const char *options;     /* of fstab; NULL: the usual ones */
	uint64_t off, len;       /* bytes on the disk */
	struct fs fs;            /* its tree: the image's, or an empty one when it is not mounted */
	struct fs_sums sums;
	bool grow;
};

/* The root file system of a disk under dm-verity. */
struct plan_verity {
	bool used;
	size_t data;             /* index of the file system */
	size_t part;             /* index of the partition with the hashes */
	uint8_t uuid[16], salt[32];
	uint8_t root_hash[32];   /* after plan_write_disk() */
	bool known;
};

struct plan_disk {
	const struct spec_disk *spec;
	uint64_t size;           /* bytes, whole GiB; 0 for volumes without content */
	struct partition_table table;
	struct plan_fs *fs;      /* owned */
	size_t nr_fs;
	struct plan_verity verity;
};

/* How the image starts. */
struct plan_boot {
	const struct loader_ops *loader; /* NULL: none of ours */
	struct layout layout;    /* of the spec's disks */
	struct loader_in in;
	struct loader_out out;
	struct kernels kernels;
	struct tree *esp_tree;   /* owned; of an EFI system partition without mount point */
	char *root;              /* owned texts that `in` borrows */
	char *boot_uuid, *os_id, *os_name;
};

struct plan {
	const struct spec *spec; /* borrowed */
	int64_t epoch;
	const struct plan_opts *opts; /* borrowed */
	struct tree *blank;      /* owned; what file systems without mount point are made of */
	struct plan_boot boot;
	struct fitness fitness;  /* what makes an instance unfit */
	const char *boot_mode;   /* for RegisterImage; NULL: not said */
	struct plan_disk *disks; /* owned; one for each of the spec's */
	size_t nr_disks;
	size_t root_disk;        /* index of the disk with the root file system */
	char ami_name[EC2_NAME_SIZE];
	char identity[65];       /* hex SHA-256 over spec name, version, architecture: seed of all derived ids */
};

struct plan_opts {
	int64_t epoch;
	const char *salt;        /* "" or the --unique salt */
	const char *spool_dir;   /* for temporary data; NULL: /var/tmp */
	unsigned workers;        /* threads; 0 or 1: none but the caller */
	bool (*cancelled)(void); /* NULL: never */
};

/*
 * What can be known without a tree and is AWS's to say: names, block device mapping rules. Called
 * before any work. All mistakes go to d; -1 only when memory is out. Takes specs with mistakes too:
 * what is NULL is not looked at.
 */
int plan_check_spec(const struct spec *s, struct diag *d, struct error *err) MUST_CHECK;
/*
 * Everything. Marks mount points, writes /etc/fstab, what makes partitions grow and the boot loader's
 * files into the tree, then calls tree_finish(). What cannot fit, and what cannot start, is
 * ERROR_USAGE and noted in d with its place. opts is borrowed until the release. Release in any case.
 */
int plan_make(struct plan *p, const struct spec *s, struct tree *t, const struct plan_opts *opts,
	struct diag *d, struct error *err) MUST_CHECK;
void plan_release(struct plan *p);

/* True for a disk that becomes a snapshot. */
bool plan_has_content(const struct plan_disk *disk);

/*
 * Writes table, file systems, hashes and boot code of one disk to dev (of at least the planned
 * size). The tree must still be there, and the plan until dev is closed.
 */
int plan_write_disk(struct plan *p, size_t disk, struct dev *dev, struct error *err) MUST_CHECK;

/*
 * The block device mapping of all disks. snapshots: an id for each disk with content (others are
 * not looked at); *mappings has nr_disks items and is the caller's to free.
 */
int plan_mappings(const struct spec *s, const char *const *snapshots, struct ec2_mapping **mappings,
	struct error *err) MUST_CHECK;
/* What RegisterImage gets; texts and arrays are borrowed from p, mappings and tags. */
void plan_image(const struct plan *p, const struct ec2_mapping *mappings, const struct aws_tag *tags,
	size_t nr_tags, struct ec2_image_opts *out);

#endif
