/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the manifest's JSON. */
#include "builder/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"

enum { FORMAT = 1, READ_SIZE = 1 << 20, BLOCK_SIZE = 512 << 10 };

void manifest_blocks_release(struct manifest_blocks *b)
{
	free(b->items);
	memset(b, 0, sizeof(*b));
}

int manifest_add_block(void *arg, uint64_t index, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct manifest_blocks *b = arg;

	if (ARRAY_GROW(b->items, b->nr + 1, b->alloc, "block digests", err) < 0)
		return -1;
	b->items[b->nr].index = index;
	memcpy(b->items[b->nr].digest, digest, SHA256_SIZE);
	b->nr++;
	return 0;
}

DEFINE_CLEANUP(sha256, struct sha256, sha256_free)

int manifest_aggregate(const struct manifest_blocks *b, uint8_t out[SHA256_SIZE], struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);

	if (!h)
		return -1;
	for (size_t i = 0; i < b->nr; i++)
		if (sha256_update(h, b->items[i].digest, SHA256_SIZE, err) < 0)
			return -1;
	return sha256_final(h, out, err);
}

static int set_digest(struct json *obj, const char *key, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	char hex[SHA256_HEX_SIZE];

	return json_set_str(obj, key, hex_encode(hex, digest, SHA256_SIZE), err);
}

static struct json *blocks_json(const struct manifest_blocks *b, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	CLEANUP(json_cleanup) struct json *digests = json_new_object(err);
	uint8_t aggregate[SHA256_SIZE];
	char key[24];

	if (!out || !digests || manifest_aggregate(b, aggregate, err) < 0)
		return NULL;
	for (size_t i = 0; i < b->nr; i++) {
		snprintf(key, sizeof(key), "%" PRIu64, b->items[i].index);
		if (set_digest(digests, key, b->items[i].digest, err) < 0)
			return NULL;
	}
	if (json_set_int(out, "size", BLOCK_SIZE, err) < 0 ||
		json_set_int(out, "count", (int64_t)b->nr, err) < 0 ||
		set_digest(out, "sha256", aggregate, err) < 0 ||
		json_set(out, "digests", steal_ptr(&digests), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

static int digest_file(const char *path, uint8_t digest[SHA256_SIZE], struct error *err)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	CLEANUP_FREE char *chunk = malloc(READ_SIZE);

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	if (!h)
		return -1;
	if (!chunk)
		return error_nomem(err, "a read buffer");
	for (;;) {
		ssize_t n = read(fd, chunk, READ_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read '%s'", path);
		if (!n)
			return sha256_final(h, digest, err);
		if (sha256_update(h, chunk, (size_t)n, err) < 0)
			return -1;
	}
}

/*
 * The path as the spec has it: relative to its folder again, so that the folder's place does not
 * show.
 */
static const char *spec_path(const struct spec *s, const char *path)
{
	size_t len = s->dir ? strlen(s->dir) : 0;

	if (len && !strncmp(path, s->dir, len) && path[len] == '/')
		return path + len + 1;
	return path;
}

/* Takes `taken`. The reference as the spec has it: the folder is in it behind the transport. */
static struct json *oci_input_json(const struct spec *s, const struct spec_layer *l,
	struct json *taken, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = taken;
	const char *colon = strchr(l->image, ':');
	bool plain = !colon || !strncmp(colon, "://", 3) || spec_path(s, l->image) != l->image;
	const char *path = plain ? l->image : colon + 1;
	CLEANUP_FREE char *image = buf_strf(err, "%.*s%s", (int)(path - l->image), l->image,
		spec_path(s, path));

	if (!image || json_set_str(out, "image", image, err) < 0 ||
		(l->digest[0] && json_set_str(out, "digest", l->digest, err) < 0))
		return NULL;
	return steal_ptr(&out);
}

static struct json *input_json(const struct spec *s, const struct spec_layer *l, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	const char *path = l->kind == SPEC_WRITE ? l->from : l->path;
	uint8_t digest[SHA256_SIZE];

	if (!out || json_set_str(out, "layer", spec_layer_name(l->kind), err) < 0)
		return NULL;
	if (l->kind == SPEC_DEBIAN) {
		if (json_set_str(out, "suite", l->suite, err) < 0 ||
			(l->snapshot && json_set_str(out, "snapshot", l->snapshot, err) < 0))
			return NULL;
		return steal_ptr(&out);
	}
	if (l->kind == SPEC_OCI)
		return oci_input_json(s, l, steal_ptr(&out), err);
	if (json_set_str(out, "path", spec_path(s, path), err) < 0)
		return NULL;
	if (l->kind != SPEC_DIRECTORY && (digest_file(path, digest, err) < 0 ||
						 set_digest(out, "sha256", digest, err) < 0))
		return NULL;
	return steal_ptr(&out);
}

static int add_inputs(struct json *doc, const struct spec *s, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list)
		return -1;
	for (size_t i = 0; i < s->nr_layers; i++) {
		const struct spec_layer *l = &s->layers[i];
		bool file = l->kind == SPEC_WRITE && l->from;

		if (l->kind != SPEC_DEBIAN && l->kind != SPEC_TAR && l->kind != SPEC_DIRECTORY &&
			l->kind != SPEC_OCI && !file)
			continue;
		if (json_append(list, input_json(s, l, err), err) < 0)
			return -1;
	}
	return json_set(doc, "inputs", steal_ptr(&list), err);
}

static int add_disks(struct json *doc, const struct plan *p, const struct manifest_blocks *blocks,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list)
		return -1;
	for (size_t i = 0; i < p->nr_disks; i++) {
		CLEANUP(json_cleanup) struct json *disk = NULL;

		if (!plan_has_content(&p->disks[i]))
			continue;
		disk = report_disk_json(p, i, err);
		if (!disk || json_set(disk, "blocks", blocks_json(&blocks[i], err), err) < 0 ||
			json_append(list, steal_ptr(&disk), err) < 0)
			return -1;
	}
	return json_set(doc, "disks", steal_ptr(&list), err);
}

static int add_tools(struct json *doc, struct error *err)
{
	CLEANUP(json_cleanup) struct json *tools = json_new_object(err);

	if (!tools || json_set_str(tools, "amiwright", AMIWRIGHT_VERSION, err) < 0)
		return -1;
	return json_set(doc, "tools", steal_ptr(&tools), err);
}

struct json *manifest_make(const struct build *b, const struct manifest_blocks *blocks,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	const struct spec *s = &b->spec;

	if (!doc || json_set_int(doc, "amiwright_manifest", FORMAT, err) < 0 ||
		json_set_str(doc, "name", s->name, err) < 0 ||
		json_set_str(doc, "version", s->version, err) < 0 ||
		json_set_str(doc, "architecture", s->architecture, err) < 0 ||
		json_set_int(doc, "epoch", s->epoch, err) < 0 ||
		(b->plan.boot_mode && json_set_str(doc, "boot_mode", b->plan.boot_mode, err) < 0) ||
		(b->salt[0] && json_set_str(doc, "salt", b->salt, err) < 0))
		return NULL;
	if (add_inputs(doc, s, err) < 0 || add_disks(doc, &b->plan, blocks, err) < 0 ||
		json_set(doc, "packages", manifest_packages(b->tree, err), err) < 0 ||
		add_tools(doc, err) < 0)
		return NULL;
	return steal_ptr(&doc);
}
