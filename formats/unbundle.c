/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest's values. The two signed elements are cut out of the text as every verifier does, by the
 * first start tag and the first end tag behind it, and parsed as a document of their own: so no comment or second
 * element outside of them can say something else than what was signed.
 */
#include "formats/unbundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "base/xmldoc.h"

#define VERSION "2007-10-10"

enum { MANIFEST_MAX = 16 << 20, PARTS_MAX = 1 << 16, NAME_MAX_LEN = 255, TEXT_SIZE = 512 };

static int bad(struct error *err, const char *what)
{
	return error_set(err, ERROR_INPUT, 0, "%s", what);
}

/* Appends "<tag>…</tag>" of text. */
static int cut(const char *text, const char *tag, struct buf *out, struct error *err)
{
	char start[64], end[64];
	const char *from, *to;

	snprintf(start, sizeof(start), "<%s>", tag);
	snprintf(end, sizeof(end), "</%s>", tag);
	from = strstr(text, start);
	to = from ? strstr(from, end) : NULL;
	if (!to)
		return error_set(err, ERROR_INPUT, 0, "it has no %s", start);
	return buf_add(out, from, (size_t)(to - from) + strlen(end), err);
}

/* A text that must be there, of at most size - 1 bytes. */
static int text_of(const struct xmldoc_node *node, const char *name, char *out, size_t size,
	struct error *err)
{
	const struct xmldoc_node *child = xmldoc_child(node, name);

	if (!child)
		return error_set(err, ERROR_INPUT, 0, "it has no %s", name);
	if (xmldoc_text(child, out, size) >= size)
		return error_set(err, ERROR_INPUT, 0, "its %s is too long", name);
	return 0;
}

static char *copy_of(const struct xmldoc_node *node, const char *name, struct error *err)
{
	char text[TEXT_SIZE];

	return text_of(node, name, text, sizeof(text), err) < 0 ? NULL : buf_strf(err, "%s", text);
}

/* Decimal digits and nothing else, as all who write manifests have them. */
static bool parse(const char *text, uint64_t max, uint64_t *value)
{
	return *text && strspn(text, "0123456789") == strlen(text) && num_parse(text, max, value, NULL) == 0;
}

static int number_of(const struct xmldoc_node *node, const char *name, uint64_t *value,
	struct error *err)
{
	char text[32];

	if (text_of(node, name, text, sizeof(text), err) < 0)
		return -1;
	return parse(text, INT64_MAX, value) ? 0 :
		error_set(err, ERROR_INPUT, 0, "its %s is no number of bytes", name);
}

static int digest_of(const struct xmldoc_node *node, const char *where, uint8_t out[SHA1_SIZE],
	struct error *err)
{
	char text[SHA1_HEX_SIZE + 1], algorithm[16];

	xmldoc_attribute(xmldoc_child(node, "digest"), "algorithm", algorithm, sizeof(algorithm));
	if (algorithm[0] && strcmp(algorithm, "SHA1"))
		return error_set(err, ERROR_INPUT, 0, "it has a digest of %s by '%s'; only SHA1 is known", where,
			algorithm);
	if (text_of(node, "digest", text, sizeof(text), err) == 0 && !hex_decode(out, SHA1_SIZE, text))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "it has no SHA-1 of %s", where);
}

static int hex_of(const struct xmldoc_node *node, const char *name, struct buf *out, struct error *err)
{
	char text[2 * CRYPTO_RSA_MAX + 2];
	size_t len;
	uint8_t *room;

	if (text_of(node, name, text, sizeof(text), err) < 0)
		return -1;
	len = strlen(text);
	room = buf_extend(out, len / 2, err);
	if (!room)
		return -1;
	return len && len % 2 == 0 && !hex_decode(room, len / 2, text) ? 0 :
		error_set(err, ERROR_INPUT, 0, "its %s is no hexadecimal number", name);
}

/* A file in a folder: never a way out of it. */
static bool is_file_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	return *name && strcmp(name, ".") && strcmp(name, "..");
}

static int read_part(struct unbundle *u, const struct xmldoc_node *node, struct error *err)
{
	char text[32], name[NAME_MAX_LEN + 1];
	struct unbundle_part *part;
	uint64_t index;

	xmldoc_attribute(node, "index", text, sizeof(text));
	if (!parse(text, UINT64_MAX, &index) || index >= u->nr_parts || u->parts[index].name)
		return bad(err, "its parts are not numbered from 0 to their count");
	part = &u->parts[index];
	if (text_of(node, "filename", name, sizeof(name), err) < 0 ||
		digest_of(node, "a part", part->sha1, err) < 0)
		return -1;
	if (!is_file_name(name))
		return bad(err, "it has a part whose name is none of a file");
	part->name = buf_strf(err, "%s", name);
	return part->name ? 0 : -1;
}

static int read_parts(struct unbundle *u, const struct xmldoc_node *parts, struct error *err)
{
	const struct xmldoc_node *first = xmldoc_child(parts, "part");
	uint64_t count;
	char text[32];

	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n))
		u->nr_parts++;
	xmldoc_attribute(parts, "count", text, sizeof(text));
	if (!parse(text, PARTS_MAX, &count) || !count || count != u->nr_parts) {
		u->nr_parts = 0;
		return bad(err, "the count of its parts is wrong");
	}
	u->parts = calloc(u->nr_parts, sizeof(*u->parts));
	if (!u->parts) {
		u->nr_parts = 0;
		return error_nomem(err, "parts");
	}
	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n))
		if (read_part(u, n, err) < 0)
			return -1;
	return 0;
}

static int read_image(struct unbundle *u, const struct xmldoc_node *root, struct error *err)
{
	const struct xmldoc_node *image = xmldoc_child(root, "image");

	u->architecture = copy_of(xmldoc_child(root, "machine_configuration"), "architecture", err);
	u->name = u->architecture ? copy_of(image, "name", err) : NULL;
	u->user = u->name ? copy_of(image, "user", err) : NULL;
	if (!u->user)
		return -1;
	if (digest_of(image, "the image", u->sha1, err) < 0 ||
		number_of(image, "size", &u->size, err) < 0 ||
		number_of(image, "bundled_size", &u->bundled_size, err) < 0 ||
		hex_of(image, "user_encrypted_key", &u->user_key, err) < 0 ||
		hex_of(image, "user_encrypted_iv", &u->user_iv, err) < 0)
		return -1;
	return read_parts(u, xmldoc_child(image, "parts"), err);
}

/* What is not signed: the version and the signature itself. */
static int read_outside(struct unbundle *u, const struct buf *text, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	const struct xmldoc_node *root;
	struct error why = ERROR_INIT;
	char version[32];

	doc = xmldoc_parse(text->data, text->len, &why);
	if (!doc)
		return error_set(err, ERROR_INPUT, 0, "it %s", why.text);
	root = xmldoc_root(doc);
	if (!xmldoc_is(root, "manifest") || text_of(root, "version", version, sizeof(version), err) < 0)
		return bad(err, "it is no manifest of a bundle");
	if (strcmp(version, VERSION))
		return error_set(err, ERROR_INPUT, 0,
			"it is of version '%s'; only '" VERSION "' can be read", version);
	return xmldoc_child(root, "signature") ? hex_of(root, "signature", &u->signature, err) : 0;
}

static int read_signed(struct unbundle *u, const char *text, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_BUF struct buf part = BUF_INIT(2 * MANIFEST_MAX), whole = BUF_INIT(2 * MANIFEST_MAX + 64);
	struct error why = ERROR_INIT;

	if (cut(text, "machine_configuration", &part, err) < 0 || cut(text, "image", &part, err) < 0 ||
		sha1(part.data, part.len, u->signed_sha1, err) < 0 ||
		buf_addf(&whole, err, "<manifest>%s</manifest>", buf_str(&part)) < 0)
		return -1;
	doc = xmldoc_parse(whole.data, whole.len, &why);
	if (!doc)
		return error_set(err, ERROR_INPUT, 0, "what is signed of it %s", why.text);
	return read_image(u, xmldoc_root(doc), err);
}

int unbundle_parse(struct unbundle *u, const char *path, const struct buf *text, struct error *err)
{
	*u = (struct unbundle){0};
	buf_init(&u->user_key, 2 * CRYPTO_RSA_MAX);
	buf_init(&u->user_iv, 2 * CRYPTO_RSA_MAX);
	buf_init(&u->signature, 2 * CRYPTO_RSA_MAX);
	u->path = buf_strf(err, "%s", path);
	if (!u->path)
		return -1;
	if (strlen(buf_str(text)) != text->len)
		return error_set(err, ERROR_INPUT, 0, "'%s' is no manifest of a bundle but binary", path);
	if (read_outside(u, text, err) < 0 || read_signed(u, buf_str(text), err) < 0)
		return error_wrap(err, "'%s' cannot be read as a bundle's manifest", path);
	return 0;
}

int unbundle_read(struct unbundle *u, const char *path, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(MANIFEST_MAX);

	*u = (struct unbundle){0};
	return file_read(path, &text, err) < 0 ? -1 : unbundle_parse(u, path, &text, err);
}

void unbundle_release(struct unbundle *u)
{
	for (size_t i = 0; i < u->nr_parts; i++)
		free(u->parts[i].name);
	free(u->parts);
	free(u->path);
	free(u->name);
	free(u->user);
	free(u->architecture);
	buf_release(&u->user_key);
	buf_release(&u->user_iv);
	buf_release(&u->signature);
	*u = (struct unbundle){0};
}

int unbundle_check_signature(const struct unbundle *u, const struct crypto_certificate *c,
	struct error *err)
{
	if (!u->signature.len)
		return error_set(err, ERROR_INPUT, 0, "'%s' is not signed", u->path);
	if (crypto_rsa_verify_sha1(c, u->signed_sha1, u->signature.data, u->signature.len, err) < 0)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' was changed after it was signed, or was not signed by the certificate's owner",
			u->path);
	return 0;
}
