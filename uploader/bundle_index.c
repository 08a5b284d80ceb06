/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's manifest, which may be anybody's: names that lead out of its folder are refused. */
#include "uploader/bundle_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/xmldoc.h"

enum { PARTS_MAX = 10000, FILE_MAX = 255 };

static int bad(const char *what, const char *why, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is no manifest of a bundle that can be used: %s", what, why);
}

static bool plain_name(const char *file)
{
	size_t len = strlen(file);

	if (len == 0 || len > FILE_MAX || strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
		return false;
	for (; *file; file++)
		if (*file == '/' || (unsigned char)*file < 0x20 || *file == 0x7f)
			return false;
	return true;
}

static int read_part(struct bundle_index *b, const struct xmldoc_node *node, const char *what,
	struct error *err)
{
	struct bundle_index_part *part = &b->parts[b->nr_parts];
	char file[FILE_MAX + 2], digest[SHA1_HEX_SIZE + 1];

	xmldoc_child_text(node, "filename", file, sizeof(file));
	xmldoc_child_text(node, "digest", digest, sizeof(digest));
	if (!plain_name(file))
		return bad(what, "a part has no file name, or one that leads elsewhere", err);
	if (hex_decode(part->sha1, SHA1_SIZE, digest))
		return bad(what, "a part has no SHA-1", err);
	part->file = strdup(file);
	if (!part->file)
		return error_nomem(err, "the parts of a bundle");
	b->nr_parts++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct bundle_index_part *)a)->file, ((const struct bundle_index_part *)b)->file);
}

/* Two parts of one name would be written over each other. */
static int check_names(const struct bundle_index *b, const char *what, struct error *err)
{
	CLEANUP_FREE struct bundle_index_part *sorted = calloc(b->nr_parts, sizeof(*sorted));

	if (!sorted)
		return error_nomem(err, "the parts of a bundle");
	memcpy(sorted, b->parts, b->nr_parts * sizeof(*sorted));
	qsort(sorted, b->nr_parts, sizeof(*sorted), by_name);
	for (size_t i = 1; i < b->nr_parts; i++)
		if (by_name(&sorted[i - 1], &sorted[i]) == 0)
			return bad(what, "two parts have one name", err);
	return 0;
}

static int read_parts(struct bundle_index *b, const struct xmldoc_node *image, const char *what,
	struct error *err)
{
	const struct xmldoc_node *first = xmldoc_child(xmldoc_child(image, "parts"), "part");
	size_t nr = 0;

	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n))
		nr++;
	if (nr == 0 || nr > PARTS_MAX)
		return bad(what, nr ? "it names over 10000 parts" : "it names no parts", err);
	b->parts = calloc(nr, sizeof(*b->parts));
	if (!b->parts)
		return error_nomem(err, "the parts of a bundle");
	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n))
		if (read_part(b, n, what, err) < 0)
			return -1;
	return check_names(b, what, err);
}

/* "root" of the mapping: the device that the kernel sees. */
static void read_root(struct bundle_index *b, const struct xmldoc_node *machine)
{
	const struct xmldoc_node *n =
		xmldoc_child(xmldoc_child(machine, "block_device_mapping"), "mapping");
	char name[32], device[sizeof(b->root_device)];

	for (; n; n = xmldoc_next(n)) {
		xmldoc_child_text(n, "virtual", name, sizeof(name));
		xmldoc_child_text(n, "device", device, sizeof(device));
		if (strcmp(name, "root") == 0)
			memcpy(b->root_device, device, sizeof(device));
	}
}

static int read_document(struct bundle_index *b, const struct xmldoc_node *root, const char *what,
	struct error *err)
{
	const struct xmldoc_node *machine = xmldoc_child(root, "machine_configuration");
	const struct xmldoc_node *image = xmldoc_child(root, "image");

	if (!xmldoc_is(root, "manifest") || !machine || !image)
		return bad(what, "it has no machine_configuration and image", err);
	xmldoc_child_text(machine, "architecture", b->architecture, sizeof(b->architecture));
	xmldoc_child_text(image, "user", b->user, sizeof(b->user));
	b->size = xmldoc_child_number(image, "size", 0);
	b->bundled_size = xmldoc_child_number(image, "bundled_size", 0);
	read_root(b, machine);
	if (!b->architecture[0])
		return bad(what, "it names no architecture", err);
	if (strlen(b->user) != 12 || strspn(b->user, "0123456789") != 12)
		return bad(what, "its user is no account number of 12 digits", err);
	if (b->size == 0 || b->bundled_size == 0)
		return bad(what, "it says no sizes", err);
	return read_parts(b, image, what, err);
}

int bundle_index_read(struct bundle_index *b, const char *text, size_t len, const char *what,
	struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;

	memset(b, 0, sizeof(*b));
	if (len > BUNDLE_INDEX_MAX)
		return bad(what, "it is over 4 MiB", err);
	doc = xmldoc_parse(text, len, NULL);
	if (!doc)
		return bad(what, "it is no well-formed XML, or has a document type", err);
	return read_document(b, xmldoc_root(doc), what, err);
}

void bundle_index_release(struct bundle_index *b)
{
	for (size_t i = 0; i < b->nr_parts; i++)
		free(b->parts[i].file);
	free(b->parts);
	memset(b, 0, sizeof(*b));
}

char *bundle_index_beside(const char *manifest_key, const char *file, struct error *err)
{
	const char *slash = strrchr(manifest_key, '/');

	return buf_strf(err, "%.*s%s", slash ? (int)(slash + 1 - manifest_key) : 0, manifest_key, file);
}
