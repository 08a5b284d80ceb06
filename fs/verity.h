/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity: a tree of SHA-256 digests over a partition, which the kernel checks each block against
 * when it is read. The format is that of `veritysetup format` (type 1, blocks of 4 KiB for data and
 * digests, salt before the block), superblock and all: the kernel's
 * Documentation/admin-guide/device-mapper/verity.rst and cryptsetup's wiki page DMVerity.
 *
 * libcryptsetup does the same for files; ours are devices full of references, which are read where
 * they lie.
 */
#ifndef AMIWRIGHT_FS_VERITY_H
#define AMIWRIGHT_FS_VERITY_H

#include "base/dev.h"
#include "base/hash.h"

enum { VERITY_BLOCK = 4096, VERITY_SALT_MAX = 256 };

struct verity_opts {
	uint8_t uuid[16];          /* of the superblock */
	uint8_t salt[VERITY_SALT_MAX];
	size_t salt_len;           /* 0..VERITY_SALT_MAX; veritysetup's default is 32 */
	unsigned workers;          /* threads; 0 or 1: none but the caller */
	bool (*cancelled)(void);   /* NULL: never */
};

/* Bytes of the hash device, its superblock too, for data_len bytes of data (> 0, whole blocks). */
uint64_t verity_size(uint64_t data_len);

/*
 * Reads all of data and writes the tree to hash, which must be apart from it (windows of one disk
 * are fine) and have verity_size() bytes at least; what is beyond becomes EXTENT_UNUSED. In data,
 * what was EXTENT_UNUSED becomes EXTENT_ZERO: a digest is over it, so it must read as zeros
 * wherever the image goes. root is what the kernel must be told. ERROR_INPUT when data is not of
 * whole blocks or hash is too small. Memory: 32 MiB.
 */
int verity_write(struct dev *data, struct dev *hash, const struct verity_opts *opts,
	uint8_t root[SHA256_SIZE], struct error *err) MUST_CHECK;

#endif
