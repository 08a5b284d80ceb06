/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI image into a tree: from the reference to the layers. */
#include "fs/tree_oci.h"

#include <string.h>

#include "base/tempdir.h"
#include "fs/tree_oci_internal.h"

/* A layout may be a `docker save` as well (docker 25 and later write both): the layout says more. */
static int load_layout(const struct oci_store *s, const struct oci_ref *ref,
	const char *architecture, struct oci_image *image, struct error *err)
{
	struct oci_digest manifest;
	tree_node index, docker;
	uint64_t size;
	int64_t manifest_size;

	if (oci_store_file(s, "index.json", &index, &size, err) < 0 ||
		oci_store_file(s, "manifest.json", &docker, &size, err) < 0)
		return -1;
	if (ref->transport == OCI_DOCKER_ARCHIVE && docker == TREE_NONE)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is not what `docker save` writes: it has no manifest.json", s->name);
	if (ref->transport == OCI_DOCKER_ARCHIVE || (ref->transport == OCI_ANY && index == TREE_NONE &&
							docker != TREE_NONE))
		return oci_image_load_docker(s, ref->tag, architecture, image, err);
	if (oci_index_pick(s, ref->tag, architecture, &manifest, &manifest_size, err) < 0)
		return -1;
	return oci_image_load(s, &manifest, manifest_size, architecture, image, err);
}

static int add_layers(struct oci_store *s, const struct oci_image *image, struct tree *t,
	const struct tree_oci_opts *opts, struct error *err)
{
	for (size_t i = 0; i < image->nr_layers; i++)
		if (oci_layer_add(s, &image->layers[i], t, opts->cancelled, err) < 0)
			return -1;
	if (opts->digest)
		oci_digest_text(opts->digest, &image->id);
	return 0;
}

static int add_host(struct tree *t, const struct oci_ref *ref, const struct tree_oci_opts *opts,
	struct error *err)
{
	CLEANUP(oci_store_cleanup) struct oci_store *s =
		oci_store_open(ref->path, ref->path, opts->spool_dir, err);
	struct oci_image image = {.nr_layers = 0};
	int r;

	if (!s)
		return -1;
	r = load_layout(s, ref, opts->architecture, &image, err);
	if (r == 0)
		r = add_layers(s, &image, t, opts, err);
	oci_image_release(&image);
	return r;
}

static int add_fetched(struct tree *t, const struct oci_ref *ref, const char *folder,
	const struct tree_oci_opts *opts, struct error *err)
{
	CLEANUP(oci_store_cleanup) struct oci_store *s = NULL;
	struct oci_image image = {.nr_layers = 0};
	int r;

	if (oci_fetch(ref, folder, opts, err) < 0)
		return -1;
	s = oci_store_open(folder, ref->path, opts->spool_dir, err);
	if (!s)
		return -1;
	s->fetched = true;
	r = oci_image_load_fetched(s, opts->architecture, &image, err);
	if (r == 0)
		r = add_layers(s, &image, t, opts, err);
	oci_image_release(&image);
	return r;
}

static int add_registry(struct tree *t, const struct oci_ref *ref, const struct tree_oci_opts *opts,
	struct error *err)
{
	CLEANUP(tempdir_cleanup) char *tmp = tempdir_new(opts->spool_dir, err);
	CLEANUP_FREE char *folder = tmp ? buf_strf(err, "%s/image", tmp) : NULL;

	return folder ? add_fetched(t, ref, folder, opts, err) : -1;
}

int tree_oci_add(struct tree *t, const char *ref, const struct tree_oci_opts *opts,
	struct error *err)
{
	struct oci_ref parsed = {.path = NULL};
	int r;

	if (oci_ref_parse(&parsed, ref, err) < 0)
		return -1;
	r = parsed.transport == OCI_REGISTRY ? add_registry(t, &parsed, opts, err) :
					       add_host(t, &parsed, opts, err);
	oci_ref_release(&parsed);
	return r;
}
