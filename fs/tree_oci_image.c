/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a manifest to the layers of an image: of an OCI or Docker (schema 2) manifest, and of the
 * manifest.json of `docker save`, which is a list of images by file names.
 */
#include "fs/tree_oci_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

void oci_image_release(struct oci_image *image)
{
	free(image->layers);
	*image = (struct oci_image){.nr_layers = 0};
}

static int bad(const struct oci_store *s, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s': %s", s->name, what);
}

static void copy_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

void oci_platform_read(const struct json *j, struct oci_platform *p)
{
	static const struct {
		const char *other, *go;
	} names[] = {{"x86_64", "amd64"}, {"x86-64", "amd64"}, {"aarch64", "arm64"}};

	copy_text(p->os, sizeof(p->os), json_get_str(j, "os", ""));
	copy_text(p->architecture, sizeof(p->architecture), json_get_str(j, "architecture", ""));
	copy_text(p->variant, sizeof(p->variant), json_get_str(j, "variant", ""));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(p->architecture, names[i].other))
			copy_text(p->architecture, sizeof(p->architecture), names[i].go);
}

/* Variants above the first need processors that not every machine of EC2 has. */
unsigned oci_platform_fits(const struct oci_platform *p, const char *architecture)
{
	const char *base = strcmp(architecture, "arm64") ? "v1" : "v8";

	if ((p->os[0] && strcmp(p->os, "linux")) || strcmp(p->architecture, architecture))
		return 0;
	return !p->variant[0] || !strcmp(p->variant, base) ? 2 : 1;
}

static int check_platform(const struct oci_store *s, const struct json *config,
	const char *architecture, struct error *err)
{
	struct oci_platform p;

	oci_platform_read(config, &p);
	if (oci_platform_fits(&p, architecture))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s': the image is for %s/%s, not for linux/%s", s->name,
		p.os[0] ? p.os : "linux", p.architecture[0] ? p.architecture : "(nothing)", architecture);
}

/* Room for the layers, with their diff_ids. */
static int read_diff_ids(const struct oci_store *s, const struct json *config, size_t nr,
	struct oci_image *image, struct error *err)
{
	const struct json *ids = json_get(json_get(config, "rootfs"), "diff_ids");

	if (nr > OCI_LAYERS_MAX)
		return bad(s, "the image has too many layers", err);
	if (json_length(ids) != nr)
		return error_set(err, ERROR_INPUT, 0,
			"'%s': the image has %zu layers, its configuration knows %zu", s->name, nr,
			json_length(ids));
	image->layers = calloc(nr + 1, sizeof(*image->layers));
	if (!image->layers)
		return error_nomem(err, "layers of an image");
	image->nr_layers = nr;
	for (size_t i = 0; i < nr; i++)
		if (oci_digest_parse(s, json_text(json_at(ids, i), NULL), "configuration's diff_id",
			&image->layers[i].diff_id, err) < 0)
			return -1;
	return 0;
}

/* The spec's, Docker's, and both with a way of compression, which the content tells better. */
static int check_layer_type(const struct oci_store *s, const char *type, struct error *err)
{
	static const char *const known[] = {"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar"};

	if (strstr(type, "+encrypted"))
		return bad(s, "the image is encrypted: decrypt it first (skopeo copy --decryption-key)",
			err);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(type, known[i], strlen(known[i])))
			return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s': a layer of type '%.100s' is no file system",
		s->name, type);
}

/* The blob that a descriptor names. */
static int find_blob(const struct oci_store *s, const struct json *descriptor, const char *what,
	struct oci_digest *digest, tree_node *node, struct error *err)
{
	int64_t size = json_get_int(descriptor, "size", -1);

	if (oci_digest_parse(s, json_get_str(descriptor, "digest", NULL), what, digest, err) < 0)
		return -1;
	if (size < 0)
		return error_set(err, ERROR_INPUT, 0, "'%s': the %s has no size", s->name, what);
	return oci_store_blob(s, digest, size, node, err);
}

static struct json *read_config(const struct oci_store *s, const struct json *manifest,
	struct error *err)
{
	struct oci_digest digest;
	tree_node node;

	if (find_blob(s, json_get(manifest, "config"), "configuration", &digest, &node, err) < 0)
		return NULL;
	return oci_store_json(s, node, "configuration", &digest, NULL, err);
}

static int read_manifest(const struct oci_store *s, const struct json *manifest,
	const char *architecture, struct oci_image *image, struct error *err)
{
	const struct json *layers = json_get(manifest, "layers");
	CLEANUP(json_cleanup) struct json *config = NULL;

	if (json_get_int(manifest, "schemaVersion", 0) != 2 || !json_is_array(layers))
		return bad(s, "the manifest is not of schema 2: push or copy the image anew with a "
			      "current tool", err);
	config = read_config(s, manifest, err);
	if (!config || check_platform(s, config, architecture, err) < 0 ||
		read_diff_ids(s, config, json_length(layers), image, err) < 0)
		return -1;
	for (size_t i = 0; i < image->nr_layers; i++) {
		const struct json *descriptor = json_at(layers, i);
		struct oci_layer *layer = &image->layers[i];

		if (check_layer_type(s, json_get_str(descriptor, "mediaType", ""), err) < 0 ||
			find_blob(s, descriptor, "layer", &layer->digest, &layer->node, err) < 0)
			return -1;
		layer->has_digest = true;
	}
	return 0;
}

static struct json *open_manifest(const struct oci_store *s, const struct oci_digest *digest,
	int64_t size, struct error *err)
{
	tree_node node;

	if (oci_store_blob(s, digest, size, &node, err) < 0)
		return NULL;
	return oci_store_json(s, node, "manifest", digest, NULL, err);
}

int oci_image_load(const struct oci_store *s, const struct oci_digest *manifest, int64_t size,
	const char *architecture, struct oci_image *image, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = open_manifest(s, manifest, size, err);

	image->id = *manifest;
	return j ? read_manifest(s, j, architecture, image, err) : -1;
}

int oci_image_platform(const struct oci_store *s, const struct oci_digest *manifest, int64_t size,
	struct oci_platform *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = open_manifest(s, manifest, size, err);
	CLEANUP(json_cleanup) struct json *config = NULL;

	*p = (struct oci_platform){.os = ""};
	if (!j)
		return -1;
	if (!json_get(j, "config"))
		return 0;
	config = read_config(s, j, err);
	if (!config)
		return -1;
	oci_platform_read(config, p);
	return 0;
}

int oci_image_load_fetched(const struct oci_store *s, const char *architecture,
	struct oci_image *image, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = NULL;
	tree_node node;
	uint64_t size;

	if (oci_store_file(s, "manifest.json", &node, &size, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return bad(s, "skopeo left no manifest", err);
	j = oci_store_json(s, node, "manifest", NULL, &image->id, err);
	return j ? read_manifest(s, j, architecture, image, err) : -1;
}

/* docker.io/library/debian:12 is debian:12 for those who use it. */
static const char *familiar(const char *name)
{
	static const char *const implied[] = {"docker.io/", "library/"};

	for (size_t i = 0; i < ARRAY_SIZE(implied); i++)
		if (!strncmp(name, implied[i], strlen(implied[i])))
			name += strlen(implied[i]);
	return name;
}

bool oci_name_matches(const char *name, const char *tag)
{
	const char *slash = strrchr(name, '/'), *colon = strchr(slash ? slash : name, ':');

	return !strcmp(familiar(name), familiar(tag)) || (colon && !strcmp(colon + 1, tag));
}

static bool item_matches(const struct json *item, const char *tag)
{
	const struct json *tags = json_get(item, "RepoTags");

	for (size_t i = 0; i < json_length(tags); i++)
		if (oci_name_matches(json_text(json_at(tags, i), ""), tag))
			return true;
	return false;
}

static int list_items(const struct oci_store *s, const struct json *list, const char *tag,
	struct error *err)
{
	CLEANUP_BUF struct buf names = BUF_INIT(600);

	for (size_t i = 0; i < json_length(list); i++) {
		const struct json *tags = json_get(json_at(list, i), "RepoTags");

		for (size_t k = 0; k < json_length(tags); k++)
			if (buf_addf(&names, err, "%s%s", names.len ? ", " : "",
				json_text(json_at(tags, k), "")) < 0)
				break; /* as many as there is room for */
	}
	return error_set(err, ERROR_USAGE, 0,
		tag ? "'%s' has no single image '%s': it has %s" :
		      "'%s' has several images%s: choose one with docker-archive:PATH:NAME, NAME being "
		      "one of %s",
		s->name, tag ? tag : "", names.len ? buf_str(&names) : "none with a name");
}

static const struct json *pick_item(const struct oci_store *s, const struct json *list,
	const char *tag, struct error *err)
{
	const struct json *found = NULL;
	size_t nr = 0;

	for (size_t i = 0; i < json_length(list); i++)
		if (!tag || item_matches(json_at(list, i), tag)) {
			found = json_at(list, i);
			nr++;
		}
	if (nr != 1) {
		list_items(s, list, tag, err);
		return NULL;
	}
	return found;
}

/* The configuration's file name is its digest, in all forms that `docker save` has had. */
static int check_config_name(const struct oci_store *s, const char *path,
	const struct oci_digest *is, struct error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char hex[SHA256_HEX_SIZE];
	size_t len = strcspn(name, ".");

	hex_encode(hex, is->sha256, SHA256_SIZE);
	if (len != SHA256_HEX_SIZE - 1 || !memcmp(name, hex, len))
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"'%s': the configuration '%s' is damaged: its digest is %s", s->name, path, hex);
}

static struct json *read_docker_config(const struct oci_store *s, const struct json *item,
	struct oci_digest *id, struct error *err)
{
	const char *path = json_get_str(item, "Config", NULL);
	CLEANUP(json_cleanup) struct json *config = NULL;
	tree_node node = TREE_NONE;
	uint64_t size;

	if (path && oci_store_file(s, path, &node, &size, err) < 0)
		return NULL;
	if (node == TREE_NONE) {
		bad(s, "the image's configuration is not in the archive", err);
		return NULL;
	}
	config = oci_store_json(s, node, "configuration", NULL, id, err);
	if (!config || check_config_name(s, path, id, err) < 0)
		return NULL;
	return steal_ptr(&config);
}

static int load_item(const struct oci_store *s, const struct json *item, const char *architecture,
	struct oci_image *image, struct error *err)
{
	const struct json *layers = json_get(item, "Layers");
	CLEANUP(json_cleanup) struct json *config = read_docker_config(s, item, &image->id, err);

	if (!config || check_platform(s, config, architecture, err) < 0 ||
		read_diff_ids(s, config, json_length(layers), image, err) < 0)
		return -1;
	for (size_t i = 0; i < image->nr_layers; i++) {
		const char *path = json_text(json_at(layers, i), "");
		uint64_t size;

		if (oci_store_file(s, path, &image->layers[i].node, &size, err) < 0)
			return -1;
		if (image->layers[i].node == TREE_NONE)
			return error_set(err, ERROR_INPUT, 0, "'%s' lacks the layer '%s'", s->name, path);
	}
	return 0;
}

int oci_image_load_docker(const struct oci_store *s, const char *tag, const char *architecture,
	struct oci_image *image, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = NULL;
	const struct json *item;
	tree_node node;
	uint64_t size;

	if (oci_store_file(s, "manifest.json", &node, &size, err) < 0)
		return -1;
	list = oci_store_json(s, node, "manifest.json", NULL, NULL, err);
	if (!list)
		return -1;
	if (!json_is_array(list))
		return bad(s, "its manifest.json is not that of `docker save`", err);
	item = pick_item(s, list, tag, err);
	return item ? load_item(s, item, architecture, image, err) : -1;
}
