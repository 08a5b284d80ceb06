/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI image as a layer of a tree: its file system, put together from its own layers with their
 * whiteouts. Nothing is unpacked on the host; what the image says about running (Env, Cmd, …) is
 * not used. Facts: OCI image-spec 1.1 (image-layout.md, image-index.md, manifest.md, config.md,
 * layer.md) and moby's image/spec for `docker save`.
 *
 * References:
 *
 *   PATH                    a folder with an image layout (oci-layout, index.json, blobs/), a tar
 *                           of one, or what `docker save` wrote
 *   oci:PATH[:TAG]          the layout, and which image of it
 *   oci-archive:PATH[:TAG]  the tar of a layout (also compressed)
 *   docker-archive:PATH[:TAG]
 *   docker://NAME[:TAG|@DIGEST]   an image of a registry, fetched by skopeo; plain HTTP is tried
 *                           for registries on this machine (localhost, 127.0.0.0/8, [::1])
 *
 * PATH is the longest one that is there, so that both may have colons. TAG is an image's name in
 * the layout, what is behind the last colon of it, or its digest. A layout that has several images
 * for the platform needs one.
 *
 * Every digest and size is checked before anything is taken from a blob, and the diff_id of every
 * layer against its unpacked bytes. All paths of a layout are looked up inside of it.
 */
#ifndef AMIWRIGHT_FS_TREE_OCI_H
#define AMIWRIGHT_FS_TREE_OCI_H

#include "fs/tree.h"

#include <stdbool.h>

/* "sha256:", 64 digits and a NUL. */
enum { TREE_OCI_DIGEST_SIZE = 72 };

struct tree_oci_opts {
	const char *architecture; /* "amd64" or "arm64"; the operating system is linux */
	const char *spool_dir;    /* for temporary files; NULL: /var/tmp */
	bool (*cancelled)(void);  /* asked a few times a second; NULL: never */
	/*
	 * Gets the digest of the image's manifest (docker-archive: of its configuration, the image
	 * id); NULL: not wanted.
	 */
	char *digest;
};

/*
 * ERROR_USAGE for a reference that cannot be, a tag that is not there or has to be chosen (they are
 * listed), skopeo not installed; ERROR_INPUT for damage and for no image of the architecture.
 */
int tree_oci_add(struct tree *t, const char *ref, const struct tree_oci_opts *opts,
	struct error *err) MUST_CHECK;

/* The reference with a relative PATH joined with dir (NULL: as it is). The caller's to free. */
char *tree_oci_join(const char *dir, const char *ref, struct error *err) MUST_CHECK;
/* The PATH of a reference; *path stays NULL for one of a registry. The caller's to free. */
int tree_oci_path(const char *ref, char **path, struct error *err) MUST_CHECK;
/* Whether the reference is well-formed, and PATH (or skopeo) there. ERROR_USAGE. */
int tree_oci_check(const char *ref, struct error *err) MUST_CHECK;

#endif
