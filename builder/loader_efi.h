/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What loaders that are EFI binaries share: finding binaries in the tree or on the host, checking
 * kernels, putting binaries together from parts by reference, and signing them.
 */
#ifndef AMIWRIGHT_BUILDER_LOADER_EFI_H
#define AMIWRIGHT_BUILDER_LOADER_EFI_H

#include "base/crypto_sign.h"
#include "builder/loader.h"
#include "formats/pe.h"

struct loader_efi_arch {
	const char *architecture; /* of the spec */
	const char *suffix;       /* "x64": of systemd's files */
	const char *removable;    /* "EFI/BOOT/BOOTX64.EFI": what firmware starts by itself */
	uint16_t machine;         /* PE_MACHINE_… */
	const char *grub;         /* "x86_64-efi": what GRUB calls its platform */
	const char *grub_packages; /* that bring it, for messages */
};

/* NULL for another architecture. */
const struct loader_efi_arch *loader_efi_arch_find(const char *architecture);

/* ERROR_INPUT for another architecture. */
const struct loader_efi_arch *loader_efi_arch(const struct loader_in *in, struct error *err)
	MUST_CHECK;

/* A file of a tree, or one of the host in memory. Stays where it was opened: input points to it. */
struct loader_efi_file {
	const struct tree *tree; /* NULL: host */
	tree_node node;
	struct buf host;
	char *path;
	struct pe_input input;
};

/* A file of t. ERROR_INPUT when it has none at path. Close in any case. */
int loader_efi_open(struct loader_efi_file *f, const struct tree *t, const char *path,
	struct error *err) MUST_CHECK;
/*
 * The first of paths (NULL-terminated) in the tree, else on the host; say: the log tells of the
 * host's. ERROR_INPUT naming the package when there is none.
 */
int loader_efi_find(struct loader_efi_file *f, const struct loader_in *in, const char *const *paths,
	bool say, struct error *err) MUST_CHECK;
void loader_efi_close(struct loader_efi_file *f);

/* Headers of a binary, which must be for in's architecture. Release pe in any case. */
int loader_efi_read(struct pe *pe, const struct loader_in *in, const struct loader_efi_file *f,
	struct error *err) MUST_CHECK;

/*
 * What all have in common before work: firmware, ESP, kernels that are EFI binaries, initrds of a
 * verity root, key and certificate. name: of the loader.
 */
int loader_efi_check(const struct loader_in *in, enum loader_firmware fw, const char *name,
	struct error *err) MUST_CHECK;

/* "ROOT CMDLINE"; with hex its digits in place of the 64 zeros. The caller's to free. */
char *loader_efi_cmdline(const struct loader_in *in, const char *hex, struct error *err) MUST_CHECK;

/*
 * "DIR/REST" in t, where components of rest that are there already in other upper or lower case keep
 * their spelling: FAT takes both for one. The caller's to free.
 */
char *loader_efi_fold(const struct tree *t, const char *dir, const char *rest, struct error *err)
	MUST_CHECK;
/* The same on the EFI system partition of in. */
char *loader_efi_path(const struct loader_in *in, const char *rest, struct error *err) MUST_CHECK;

/*
 * A file in the making: pieces in ascending order, by reference where both are of one tree, else
 * copied to the spool; what is left out reads as zeros.
 */
struct loader_efi_image {
	struct tree *tree;
	struct tree_piece *pieces; /* owned */
	size_t nr, alloc;
	uint64_t size;
};

/* Copies bytes to `off`, behind all that was added so far. */
int loader_efi_add_bytes(struct loader_efi_image *img, uint64_t off, const void *data, size_t len,
	struct error *err) MUST_CHECK;
/* Bytes [from, from+len) of f. */
int loader_efi_add_file(struct loader_efi_image *img, uint64_t off, const struct loader_efi_file *f,
	uint64_t from, uint64_t len, struct error *err) MUST_CHECK;
/* Makes it the file at path; may be called for several paths, which then share all bytes. */
int loader_efi_store(const struct loader_efi_image *img, const char *path, int64_t epoch,
	struct error *err) MUST_CHECK;
void loader_efi_image_release(struct loader_efi_image *img);

/* Puts bytes over those of a file that loader_efi_store() or tree_edit_write() made. */
int loader_efi_overwrite(struct tree *t, const char *path, uint64_t off, const void *data, size_t len,
	struct error *err) MUST_CHECK;

/* Key and certificate; signer NULL and len 0 when in has none. */
struct loader_efi_signer {
	struct crypto_signer *signer;
	uint64_t len; /* bytes of a signature in the table of certificates */
};

/* Reads what in names. Close in any case. */
int loader_efi_signer_open(struct loader_efi_signer *s, const struct loader_in *in,
	struct error *err) MUST_CHECK;
void loader_efi_signer_close(struct loader_efi_signer *s);
/*
 * Reserves room behind all of img (whose content so far ends at img->size) and says so in pe's
 * headers, which must not have been added yet. Nothing to do without a key.
 */
int loader_efi_reserve(const struct loader_efi_signer *s, struct loader_efi_image *img,
	struct pe *pe, struct error *err) MUST_CHECK;
/* Adds the room itself; the last of an image. */
int loader_efi_add_room(const struct loader_efi_signer *s, struct loader_efi_image *img,
	struct error *err) MUST_CHECK;
/* Signs the stored file, in that room. Nothing to do without a key. */
int loader_efi_sign(const struct loader_efi_signer *s, struct tree *t, const char *path,
	struct error *err) MUST_CHECK;
/*
 * The binary f, signed when there is a key (signatures that it has stay), as the files at paths
 * (NULL-terminated) of t.
 */
int loader_efi_copy(const struct loader_efi_signer *s, const struct loader_in *in,
	const struct loader_efi_file *f, struct tree *t, const char *const *paths,
	struct error *err) MUST_CHECK;

#endif
