/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest, version 2007-10-10. It has no white space between elements, and two of them are
 * signed as the bytes that they are in the file, one right behind the other:
 *
 *   manifest
 *     version · bundler
 *     machine_configuration   ┐ signed: "<machine_configuration>…</machine_configuration>"
 *     image                   ┘         "<image>…</image>"
 *     signature               RSASSA-PKCS1-v1_5 with SHA-1, hex
 */
#include "formats/bundle_internal.h"

#include <stdlib.h>
#include <string.h>

#define VERSION "2007-10-10"

enum { SIGNED_MAX = 8 << 20 };

static const char head[] = "<?xml version='1.0' encoding='UTF-8'?><manifest><version>" VERSION
			   "</version>";

static int add_escaped(struct buf *out, const char *text, struct error *err)
{
	for (; *text; text++) {
		const char *entity = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" :
				     *text == '&' ? "&amp;" : NULL;

		if ((entity ? buf_add_str(out, entity, err) : buf_add_char(out, *text, err)) < 0)
			return -1;
	}
	return 0;
}

/* <tag>text</tag>; text NULL: nothing. */
static int add(struct buf *out, const char *tag, const char *text, struct error *err)
{
	if (!text)
		return 0;
	return buf_addf(out, err, "<%s>", tag) < 0 || add_escaped(out, text, err) < 0 ||
		buf_addf(out, err, "</%s>", tag) < 0 ? -1 : 0;
}

static int add_number(struct buf *out, const char *tag, uint64_t value, struct error *err)
{
	return buf_addf(out, err, "<%s>%llu</%s>", tag, (unsigned long long)value, tag);
}

static int add_hex(struct buf *out, const char *tag, const char *attributes, const struct buf *data,
	struct error *err)
{
	CLEANUP_FREE char *hex = malloc(2 * data->len + 1);

	if (!hex)
		return error_nomem(err, "a manifest");
	hex_encode(hex, data->data, data->len);
	return buf_addf(out, err, "<%s%s>%s</%s>", tag, attributes, hex, tag);
}

static int add_list(struct buf *out, const char *list, const char *tag, const char *const *items,
	size_t nr, struct error *err)
{
	if (!nr)
		return 0;
	if (buf_addf(out, err, "<%s>", list) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (add(out, tag, items[i], err) < 0)
			return -1;
	return buf_addf(out, err, "</%s>", list);
}

static int by_virtual(const void *a, const void *b)
{
	return strcmp(((const struct bundle_mapping *)a)->virtual,
		((const struct bundle_mapping *)b)->virtual);
}

/* Sorted by the virtual name. */
static int add_mappings(struct buf *out, const struct bundle_opts *o, struct error *err)
{
	CLEANUP_FREE struct bundle_mapping *sorted = NULL;

	if (!o->nr_mappings)
		return 0;
	sorted = calloc(o->nr_mappings, sizeof(*sorted));
	if (!sorted)
		return error_nomem(err, "a manifest");
	memcpy(sorted, o->mappings, o->nr_mappings * sizeof(*sorted));
	qsort(sorted, o->nr_mappings, sizeof(*sorted), by_virtual);
	if (buf_add_str(out, "<block_device_mapping>", err) < 0)
		return -1;
	for (size_t i = 0; i < o->nr_mappings; i++)
		if (buf_add_str(out, "<mapping>", err) < 0 ||
			add(out, "virtual", sorted[i].virtual, err) < 0 ||
			add(out, "device", sorted[i].device, err) < 0 ||
			buf_add_str(out, "</mapping>", err) < 0)
			return -1;
	return buf_add_str(out, "</block_device_mapping>", err);
}

static int add_machine(struct buf *out, const struct bundle_opts *o, struct error *err)
{
	if (buf_add_str(out, "<machine_configuration>", err) < 0 ||
		add(out, "architecture", o->architecture, err) < 0 || add_mappings(out, o, err) < 0 ||
		add(out, "kernel_id", o->kernel, err) < 0 || add(out, "ramdisk_id", o->ramdisk, err) < 0 ||
		add_list(out, "product_codes", "product_code", o->product_codes, o->nr_product_codes,
			err) < 0)
		return -1;
	return buf_add_str(out, "</machine_configuration>", err);
}

static int add_keys(struct buf *out, const struct bundle_keys *k, struct error *err)
{
	static const char algorithm[] = " algorithm='AES-128-CBC'";

	if (add_hex(out, "ec2_encrypted_key", algorithm, &k->ec2_key, err) < 0 ||
		add_hex(out, "user_encrypted_key", algorithm, &k->user_key, err) < 0 ||
		add_hex(out, "ec2_encrypted_iv", "", &k->ec2_iv, err) < 0)
		return -1;
	return add_hex(out, "user_encrypted_iv", "", &k->user_iv, err);
}

static int add_image(struct buf *out, const struct bundle_opts *o, const struct bundle_keys *keys,
	const struct bundle_result *r, const struct buf *parts, struct error *err)
{
	char hex[SHA1_HEX_SIZE];

	if (buf_add_str(out, "<image>", err) < 0 || add(out, "name", o->prefix, err) < 0 ||
		add(out, "user", o->user, err) < 0 || add(out, "type", "machine", err) < 0 ||
		add_list(out, "ancestry", "ancestor_ami_id", o->ancestors, o->nr_ancestors, err) < 0)
		return -1;
	if (buf_addf(out, err, "<digest algorithm='SHA1'>%s</digest>",
		    hex_encode(hex, r->sha1, SHA1_SIZE)) < 0 ||
		add_number(out, "size", r->size, err) < 0 ||
		add_number(out, "bundled_size", r->bundled_size, err) < 0 ||
		add_keys(out, keys, err) < 0)
		return -1;
	if (buf_addf(out, err, "<parts count='%u'>", r->nr_parts) < 0 ||
		buf_add(out, parts->data, parts->len, err) < 0)
		return -1;
	return buf_add_str(out, "</parts></image>", err);
}

int bundle_manifest_add_part(struct buf *parts, const struct bundle_part *part, struct error *err)
{
	char hex[SHA1_HEX_SIZE];

	if (buf_addf(parts, err, "<part index='%u'>", part->index) < 0 ||
		add(parts, "filename", part->name, err) < 0)
		return -1;
	return buf_addf(parts, err, "<digest algorithm='SHA1'>%s</digest></part>",
		hex_encode(hex, part->sha1, SHA1_SIZE));
}

static int sign(const struct bundle_opts *o, const struct buf *text, struct buf *out, struct error *err)
{
	uint8_t digest[SHA1_SIZE];

	if (sha1(text->data, text->len, digest, err) < 0)
		return -1;
	return crypto_rsa_sign_sha1(o->key, digest, out, err);
}

int bundle_manifest_make(const struct bundle_opts *o, const struct bundle_keys *keys,
	const struct bundle_result *r, const struct buf *parts, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SIGNED_MAX);
	CLEANUP_BUF struct buf signature = BUF_INIT(CRYPTO_RSA_MAX);

	if (add_machine(&text, o, err) < 0 || add_image(&text, o, keys, r, parts, err) < 0 ||
		sign(o, &text, &signature, err) < 0)
		return -1;
	if (buf_add_str(out, head, err) < 0 || buf_add_str(out, "<bundler>", err) < 0 ||
		add(out, "name", "amiwright", err) < 0 || add(out, "version", o->tool_version, err) < 0 ||
		add(out, "release", "0", err) < 0 || buf_add_str(out, "</bundler>", err) < 0)
		return -1;
	if (buf_add(out, text.data, text.len, err) < 0 ||
		add_hex(out, "signature", "", &signature, err) < 0)
		return -1;
	return buf_add_str(out, "</manifest>", err);
}
