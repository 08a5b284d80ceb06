/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the vfat writer share:
 *
 *   vfat        the entry in the table of file systems; shape and size
 *   vfat_scan   whether FAT can hold the tree, and how many clusters it takes
 *   vfat_make   mkfs.fat and mtools put it into a temporary file
 *   vfat_image  that file: names compared, times set, clusters in use found
 */
#ifndef AMIWRIGHT_FS_VFAT_INTERNAL_H
#define AMIWRIGHT_FS_VFAT_INTERNAL_H

#include "fs/fs.h"

enum {
	VFAT_SECTOR = 512,
	VFAT_FATS = 2,
	VFAT_ENTRY = 32,      /* bytes of a directory entry */
	VFAT_LABEL = 11,
	VFAT_LFN_UNITS = 13,  /* UTF-16 units of a name in one entry */
};

/* How a number of sectors is divided. */
struct vfat_shape {
	uint64_t sectors;
	uint32_t bits;         /* 16 or 32 */
	uint32_t per_cluster;  /* sectors */
	uint32_t reserved;     /* sectors before the first FAT */
	uint32_t root_entries; /* of FAT16's fixed root directory; 0 with FAT32 */
	uint32_t fat_sectors;  /* of one FAT */
	uint64_t clusters;
};

/* What a tree needs. */
struct vfat_need {
	uint64_t clusters;     /* of files and of all directories but FAT16's root */
	uint64_t files;        /* files and directories */
	uint32_t root_entries; /* entries of the root directory, its label too */
};

/* True for a directory whose children are in this file system. */
bool vfat_is_open_dir(const struct fs *fs, tree_node node);
/* The directory after dir in depth-first order, TREE_NONE at the end; begin with fs->root. */
tree_node vfat_next_dir(const struct fs *fs, tree_node dir);
/*
 * The children of dir in the order in which they are made: directories, then files. Begin with
 * TREE_NONE; TREE_NONE at the end.
 */
tree_node vfat_next_child(const struct fs *fs, tree_node dir, tree_node after);
/* ERROR_INPUT with "'/path' …" before the text. */
int vfat_path_error(const struct fs *fs, tree_node node, struct error *err, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* ERROR_INPUT for what FAT cannot hold, naming the path. */
int vfat_check(const struct fs *fs, struct error *err) MUST_CHECK;
/* What the tree takes with clusters of so many bytes; an upper bound by a cluster a directory. */
void vfat_measure(const struct fs *fs, uint32_t cluster_bytes, struct vfat_need *need);

/* The label as FAT has it: upper case, what it lacks as '_'; "" for none. */
void vfat_label(const struct fs *fs, char out[VFAT_LABEL + 1]);
uint32_t vfat_volume_id(const struct fs *fs);

/* A descriptor of the finished image, a file without a name; -1 on error. */
int vfat_make(const struct fs *fs, const struct vfat_shape *shape, struct error *err) MUST_CHECK;

struct vfat_image;

/* Looks at the image in fd (borrowed). ERROR_INPUT when it is not as the shape says. */
struct vfat_image *vfat_image_open(int fd, const struct vfat_shape *shape, struct error *err)
	MUST_CHECK;
void vfat_image_close(struct vfat_image *im);
DEFINE_CLEANUP(vfat_image, struct vfat_image, vfat_image_close)
/*
 * Walks tree and image side by side: sets all times, and finds out whether each name and size is as
 * it should be. ERROR_INPUT names what is not.
 */
int vfat_image_finish(struct vfat_image *im, const struct fs *fs, struct error *err) MUST_CHECK;
/* Bytes before the first cluster, bytes of a cluster, and number of clusters. */
uint64_t vfat_image_data_off(const struct vfat_image *im);
uint32_t vfat_image_cluster_bytes(const struct vfat_image *im);
uint32_t vfat_image_clusters(const struct vfat_image *im);
/* Whether cluster number i, from 0, is in use. */
bool vfat_image_in_use(const struct vfat_image *im, uint32_t i);

#endif
