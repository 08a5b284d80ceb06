/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of fs/tree_oci*.c share.
 *
 *   reference ─▶ store (a layout, as a tree of its own) ─▶ image (manifest, checked) ─▶ layers
 *
 * A layout is read as a tree, whether it is a folder or a tar, plain or compressed: names in it
 * cannot lead out, and blobs of a plain tar stay where they are.
 */
#ifndef AMIWRIGHT_FS_TREE_OCI_INTERNAL_H
#define AMIWRIGHT_FS_TREE_OCI_INTERNAL_H

#include "base/hash.h"
#include "base/json.h"
#include "base/source.h"
#include "fs/tree_oci.h"

/* More than any real manifest has, and small enough to be kept in memory. */
enum { OCI_JSON_MAX = 16 << 20, OCI_LAYERS_MAX = 4096 };

enum oci_transport { OCI_ANY, OCI_LAYOUT, OCI_ARCHIVE, OCI_DOCKER_ARCHIVE, OCI_REGISTRY };

struct oci_ref {
	enum oci_transport transport;
	char *path; /* on the host; of a registry: what is behind "docker://" */
	char *tag;  /* NULL: none given */
};

/*
 * "docker://NAME", "oci:PATH:TAG", "oci-archive:…", "docker-archive:…", or a path. ERROR_USAGE for
 * skopeo's other kinds and for no name. Empty after a failure.
 */
int oci_ref_parse(struct oci_ref *ref, const char *text, struct error *err) MUST_CHECK;
void oci_ref_release(struct oci_ref *ref);

/* The image of a registry into folder, in skopeo's "dir" form: blobs and manifest as they are. */
int oci_fetch(const struct oci_ref *ref, const char *folder, const struct tree_oci_opts *opts,
	struct error *err) MUST_CHECK;

/*
 * A store is a source too, whose content ids are nodes of its tree: so contents of layers that are
 * not compressed stay in it.
 */
struct oci_store {
	struct source base;
	struct tree *tree;
	const char *name; /* for messages; borrowed, until the layers are added */
	bool fetched;     /* in skopeo's form, and gone when the layers are added */
	bool taken;       /* by the tree that is made */
};

/* A folder, or a tar archive of one. ERROR_IO when it cannot be opened. */
struct oci_store *oci_store_open(const char *path, const char *name, const char *spool_dir,
	struct error *err) MUST_CHECK;
/* Unless it was taken. NULL is fine. */
void oci_store_drop(struct oci_store *s);
DEFINE_CLEANUP(oci_store, struct oci_store, oci_store_drop)

struct oci_digest {
	uint8_t sha256[SHA256_SIZE];
};
/* "sha256:" and 64 lower-case digits, nothing else. what: whose digest it is. */
int oci_digest_parse(const struct oci_store *s, const char *text, const char *what,
	struct oci_digest *out, struct error *err) MUST_CHECK;
/* Returns out. */
char *oci_digest_text(char out[TREE_OCI_DIGEST_SIZE], const struct oci_digest *d);

/* A file of the store by its path; TREE_NONE when there is none. */
int oci_store_file(const struct oci_store *s, const char *path, tree_node *node, uint64_t *size,
	struct error *err) MUST_CHECK;
/* A blob, which must be there and have this size (negative: any). */
int oci_store_blob(const struct oci_store *s, const struct oci_digest *d, int64_t size,
	tree_node *node, struct error *err) MUST_CHECK;
/* A whole file as JSON. want: its digest, checked, or NULL; got: its digest, or NULL. */
struct json *oci_store_json(const struct oci_store *s, tree_node node, const char *what,
	const struct oci_digest *want, struct oci_digest *got, struct error *err) MUST_CHECK;

struct oci_layer {
	tree_node node;
	bool has_digest; /* docker-archive: only the diff_id is known */
	struct oci_digest digest, diff_id;
};

struct oci_image {
	struct oci_digest id; /* as tree_oci_opts.digest */
	struct oci_layer *layers;
	size_t nr_layers;
};

void oci_image_release(struct oci_image *image);
/* The image of one manifest; its platform must be the architecture's. */
int oci_image_load(const struct oci_store *s, const struct oci_digest *manifest, int64_t size,
	const char *architecture, struct oci_image *image, struct error *err) MUST_CHECK;
/* That of a `docker save`; tag NULL: the only one. */
int oci_image_load_docker(const struct oci_store *s, const char *tag, const char *architecture,
	struct oci_image *image, struct error *err) MUST_CHECK;
/* The same of what oci_fetch() made. */
int oci_image_load_fetched(const struct oci_store *s, const char *architecture,
	struct oci_image *image, struct error *err) MUST_CHECK;

struct oci_platform {
	char os[32], architecture[32], variant[32]; /* "" when not said */
};

/* From a descriptor's `platform` or from a configuration; other names are made Go's. */
void oci_platform_read(const struct json *j, struct oci_platform *p);
/* 0: it is not for linux on architecture; higher is better. */
unsigned oci_platform_fits(const struct oci_platform *p, const char *architecture);
/* The platform that the manifest's configuration names; empty when it is no image's. */
int oci_image_platform(const struct oci_store *s, const struct oci_digest *manifest, int64_t size,
	struct oci_platform *p, struct error *err) MUST_CHECK;

/* True when an image with this name is what the user means by tag. */
bool oci_name_matches(const char *name, const char *tag);

/* The manifest of a layout for the architecture. tag may be NULL. */
int oci_index_pick(const struct oci_store *s, const char *tag, const char *architecture,
	struct oci_digest *manifest, int64_t *size, struct error *err) MUST_CHECK;

/* Adds one layer, after checking it. */
int oci_layer_add(struct oci_store *s, const struct oci_layer *layer, struct tree *t,
	bool (*cancelled)(void), struct error *err) MUST_CHECK;

#endif
