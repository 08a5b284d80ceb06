/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which image of a layout: the manifests of index.json and of the indexes that it leads to, by tag
 * and platform.
 */
#include "fs/tree_oci_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"

/* Indexes in indexes; descriptors looked at: one index may be named many times. */
enum { DEPTH_MAX = 4, VISITED_MAX = 4096, NAME_MAX_KEPT = 256, LISTED_MAX = 600 };

struct candidate {
	struct oci_digest digest;
	int64_t size;
	struct oci_platform platform;
	char name[NAME_MAX_KEPT]; /* or the digest */
};

struct picking {
	const struct oci_store *store;
	const char *tag, *architecture;
	struct candidate *items;
	size_t nr, alloc;
	unsigned visited;
	struct buf names; /* of all images, for messages */
};

static const char *const name_keys[] = {
	"org.opencontainers.image.ref.name",
	"io.containerd.image.name", /* of `docker save`: the whole name */
	NULL,
};

static bool is_index(const char *type)
{
	return !strcmp(type, "application/vnd.oci.image.index.v1+json") ||
		!strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

static bool is_manifest(const char *type)
{
	return !*type || !strcmp(type, "application/vnd.oci.image.manifest.v1+json") ||
		!strcmp(type, "application/vnd.docker.distribution.manifest.v2+json");
}

/* buildx puts what it attests beside the images, as manifests of an unknown platform. */
static bool is_attestation(const struct json *descriptor)
{
	const struct json *platform = json_get(descriptor, "platform");

	return json_get_str(json_get(descriptor, "annotations"), "vnd.docker.reference.type", NULL) ||
		!strcmp(json_get_str(platform, "architecture", ""), "unknown");
}

static const char *name_of(const struct json *descriptor)
{
	const struct json *annotations = json_get(descriptor, "annotations");
	const char *name = NULL;

	for (size_t i = 0; name_keys[i] && !name; i++)
		name = json_get_str(annotations, name_keys[i], NULL);
	return name ? name : json_get_str(descriptor, "digest", "");
}

static bool tag_matches(const struct json *descriptor, const char *tag)
{
	const struct json *annotations = json_get(descriptor, "annotations");

	for (size_t i = 0; name_keys[i]; i++)
		if (oci_name_matches(json_get_str(annotations, name_keys[i], ""), tag))
			return true;
	return !strcmp(json_get_str(descriptor, "digest", ""), tag);
}

/* Once each, and as many as there is room for. */
static int list_name(struct buf *names, const char *name, struct error *err)
{
	const char *found = strstr(buf_str(names), name);
	struct error e = ERROR_INIT;
	size_t len = strlen(name);

	if (!len)
		return 0;
	if (found && (found == names->data || found[-1] == ' ') && (!found[len] || found[len] == ','))
		return 0;
	if (buf_addf(names, &e, "%s%s", names->len ? ", " : "", name) < 0 && e.kind == ERROR_NOMEM)
		return error_nomem(err, "names of images");
	return 0;
}

static int add_candidate(struct picking *p, const struct candidate *c, struct error *err)
{
	for (size_t i = 0; i < p->nr; i++)
		if (!memcmp(&p->items[i].digest, &c->digest, sizeof(c->digest)))
			return 0;
	if (ARRAY_GROW(p->items, p->nr + 1, p->alloc, "manifests of an image", err) < 0)
		return -1;
	p->items[p->nr++] = *c;
	return 0;
}

static int take_manifest(struct picking *p, const struct json *descriptor,
	const struct oci_digest *digest, int64_t size, const char *name, struct error *err)
{
	const struct json *platform = json_get(descriptor, "platform");
	struct candidate c = {.digest = *digest, .size = size};

	if (platform)
		oci_platform_read(platform, &c.platform);
	else if (oci_image_platform(p->store, digest, size, &c.platform, err) < 0)
		return -1;
	if (!c.platform.architecture[0])
		return 0; /* something else that registries keep: a signature, a chart */
	snprintf(c.name, sizeof(c.name), "%s", name);
	return add_candidate(p, &c, err);
}

static int visit(struct picking *p, const struct json *index, const char *name, unsigned depth,
	struct error *err);

static int visit_index(struct picking *p, const struct oci_digest *digest, int64_t size,
	const char *name, unsigned depth, struct error *err)
{
	CLEANUP(json_cleanup) struct json *index = NULL;
	tree_node node;

	if (depth >= DEPTH_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s': indexes are nested more than %d deep",
			p->store->name, DEPTH_MAX);
	if (oci_store_blob(p->store, digest, size, &node, err) < 0)
		return -1;
	index = oci_store_json(p->store, node, "index", digest, NULL, err);
	return index ? visit(p, index, name, depth + 1, err) : -1;
}

static int visit_descriptor(struct picking *p, const struct json *d, const char *name,
	unsigned depth, struct error *err)
{
	const char *type = json_get_str(d, "mediaType", "");
	int64_t size = json_get_int(d, "size", -1);
	struct oci_digest digest;

	if (++p->visited > VISITED_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s' names more than %d manifests",
			p->store->name, VISITED_MAX);
	if (is_attestation(d) || !(is_index(type) || is_manifest(type)))
		return 0;
	if (!name) {
		name = name_of(d);
		if (list_name(&p->names, name, err) < 0)
			return -1;
		if (p->tag && !tag_matches(d, p->tag))
			return 0;
	}
	if (oci_digest_parse(p->store, json_get_str(d, "digest", NULL), "manifest", &digest, err) < 0)
		return -1;
	if (size < 0)
		return error_set(err, ERROR_INPUT, 0, "'%s': a manifest in an index has no size",
			p->store->name);
	return is_index(type) ? visit_index(p, &digest, size, name, depth, err) :
				take_manifest(p, d, &digest, size, name, err);
}

/* name: of the image that this index is; NULL: it is the layout's, which names its images. */
static int visit(struct picking *p, const struct json *index, const char *name, unsigned depth,
	struct error *err)
{
	const struct json *list = json_get(index, "manifests");

	if (!json_is_array(list))
		return error_set(err, ERROR_INPUT, 0, "'%s': an index has no list 'manifests'",
			p->store->name);
	for (size_t i = 0; i < json_length(list); i++)
		if (visit_descriptor(p, json_at(list, i), name, depth, err) < 0)
			return -1;
	return 0;
}

static int no_candidate(struct picking *p, struct error *err)
{
	CLEANUP_BUF struct buf platforms = BUF_INIT(LISTED_MAX);

	if (p->tag && !p->nr)
		return error_set(err, ERROR_USAGE, 0, "'%s' has no image '%s': it has %s",
			p->store->name, p->tag, p->names.len ? buf_str(&p->names) : "none");
	for (size_t i = 0; i < p->nr; i++) {
		const struct oci_platform *is = &p->items[i].platform;
		char text[112];

		snprintf(text, sizeof(text), "%s/%s%s%s", is->os[0] ? is->os : "linux",
			is->architecture, is->variant[0] ? "/" : "", is->variant);
		if (list_name(&platforms, text, err) < 0)
			return -1;
	}
	return error_set(err, ERROR_INPUT, 0, "'%s' has no image for linux/%s: it has %s",
		p->store->name, p->architecture, p->nr ? buf_str(&platforms) : "none");
}

static int several(struct picking *p, unsigned best, struct error *err)
{
	CLEANUP_BUF struct buf names = BUF_INIT(LISTED_MAX);

	for (size_t i = 0; i < p->nr; i++)
		if (oci_platform_fits(&p->items[i].platform, p->architecture) == best &&
			list_name(&names, p->items[i].name, err) < 0)
			return -1;
	return error_set(err, ERROR_USAGE, 0,
		"'%s' has several images for linux/%s: choose one with oci:PATH:TAG (or "
		"oci-archive:PATH:TAG), TAG being one of %s", p->store->name, p->architecture,
		buf_str(&names));
}

static int decide(struct picking *p, struct oci_digest *manifest, int64_t *size, struct error *err)
{
	unsigned best = 0;
	size_t nr = 0;

	for (size_t i = 0; i < p->nr; i++) {
		unsigned fits = oci_platform_fits(&p->items[i].platform, p->architecture);

		if (fits > best) {
			best = fits;
			nr = 0;
		}
		if (!fits || fits < best)
			continue;
		nr++;
		*manifest = p->items[i].digest;
		*size = p->items[i].size;
	}
	if (!nr)
		return no_candidate(p, err);
	return nr > 1 ? several(p, best, err) : 0;
}

static int check_layout(const struct oci_store *s, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = NULL;
	tree_node node;
	uint64_t size;
	const char *version;

	if (oci_store_file(s, "oci-layout", &node, &size, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is no OCI image: it has no file 'oci-layout' (a plain root file system is a "
			"tar or directory layer)", s->name);
	j = oci_store_json(s, node, "oci-layout", NULL, NULL, err);
	if (!j)
		return -1;
	version = json_get_str(j, "imageLayoutVersion", "");
	if (!strncmp(version, "1.", 2))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' is an image layout of version '%s', not 1.0.0",
		s->name, version);
}

int oci_index_pick(const struct oci_store *s, const char *tag, const char *architecture,
	struct oci_digest *manifest, int64_t *size, struct error *err)
{
	struct picking p = {.store = s, .tag = tag, .architecture = architecture,
		.names = BUF_INIT(LISTED_MAX)};
	CLEANUP(json_cleanup) struct json *index = NULL;
	tree_node node;
	uint64_t index_size;
	int r;

	if (check_layout(s, err) < 0 || oci_store_file(s, "index.json", &node, &index_size, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return error_set(err, ERROR_INPUT, 0, "'%s' has no index.json", s->name);
	index = oci_store_json(s, node, "index.json", NULL, NULL, err);
	r = index ? visit(&p, index, NULL, 0, err) : -1;
	if (r == 0)
		r = decide(&p, manifest, size, err);
	free(p.items);
	buf_release(&p.names);
	return r;
}
