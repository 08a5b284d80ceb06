/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: pure sums over spec and tree. Which tree goes to which partition, every size and offset, every derived
 * uuid, the block device mapping, the AMI's name. Nothing is written. What cannot fit is found here.
 */
#ifndef AMIWRIGHT_BUILDER_PLAN_H
#define AMIWRIGHT_BUILDER_PLAN_H

#include "builder/spec.h"
#include "fs/ext4.h"
#include "fs/partition.h"
#include "uploader/ec2.h"

struct plan_fs {
	const struct spec_partition *part; /* NULL: a file system over the whole disk */
	size_t part_index;
	const char *type;        /* "ext4" */
	uint64_t off, len;       /* bytes on the disk */
	tree_node root;          /* directory that becomes its root; TREE_NONE: an empty file system */
	struct ext4_opts ext4;
	struct ext4_plan sums;
};

struct plan_disk {
	const struct spec_disk *spec;
	uint64_t size;           /* bytes, whole GiB; 0 for volumes without content */
	struct partition_table table;
	struct plan_fs *fs;      /* owned */
	size_t nr_fs;
};

struct plan {
	const struct spec *spec; /* borrowed */
	struct plan_disk *disks; /* owned; one for each of the spec's */
	size_t nr_disks;
	char ami_name[EC2_NAME_SIZE];
	char identity[65];       /* hex SHA-256 over spec name and version, the seed of all derived ids */
};

/* salt: "" or the --unique salt. */
struct plan_opts {
	int64_t epoch;
	const char *salt;
};

/*
 * What can be known without a tree: names, block device mapping rules, partitions whose sizes exceed the
 * disk. Called before any work. All mistakes at once.
 */
int plan_check_spec(const struct spec *s, struct diag *d, struct error *err) MUST_CHECK;
/*
 * Everything. Writes /etc/fstab into the tree and marks mount points, then calls tree_finish(). Mistakes
 * name the spec's place. Release in any case.
 */
int plan_make(struct plan *p, const struct spec *s, struct tree *t, const struct plan_opts *opts,
	struct error *err) MUST_CHECK;
void plan_release(struct plan *p);

/* Writes table and file systems of one disk to dev (of at least the planned size). */
int plan_write_disk(const struct plan *p, size_t disk, const struct tree *t, struct dev *dev,
	struct error *err) MUST_CHECK;

#endif
