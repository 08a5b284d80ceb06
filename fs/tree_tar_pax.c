/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pax records, and the fields of a plain header with records where they are too small.
 */
#include "fs/tree_tar_pax.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* The largest values that the octal fields of a header hold. */
#define OCTAL_7 UINT64_C(07777777)
#define OCTAL_11 UINT64_C(077777777777)

/* "LENGTH key=value\n", where LENGTH counts itself. */
int tar_pax_add(struct buf *pax, const char *key, const void *value, size_t value_len,
	struct error *err)
{
	size_t rest = strlen(key) + value_len + 3, len = rest + 1;

	for (size_t digits = 1, limit = 10; len >= limit; limit *= 10)
		len = rest + ++digits;
	if (buf_addf(pax, err, "%zu %s=", len, key) < 0 ||
		buf_add(pax, value, value_len, err) < 0)
		return -1;
	return buf_add_char(pax, '\n', err);
}

int tar_pax_number(struct buf *pax, const char *key, uint64_t value, struct error *err)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);

	return tar_pax_add(pax, key, text, (size_t)len, err);
}

int tar_pax_field(struct buf *pax, char *field, size_t size, const char *key, uint64_t value,
	struct error *err)
{
	uint64_t max = size == 8 ? OCTAL_7 : OCTAL_11;
	char text[24];

	if (value > max && tar_pax_number(pax, key, value, err) < 0)
		return -1;
	snprintf(text, sizeof(text), "%0*llo", (int)size - 1,
		(unsigned long long)(value > max ? 0 : value));
	memcpy(field, text, size - 1);
	return 0;
}

int tar_pax_text(struct buf *pax, char field[100], const char *key, const struct buf *text,
	struct error *err)
{
	memcpy(field, buf_str(text), MIN(text->len, 100));
	return key && text->len > 100 ? tar_pax_add(pax, key, text->data, text->len, err) : 0;
}

/* Pax times are decimal numbers: half a second before 1969-12-31T23:59:59Z is -1.5. */
int tar_pax_mtime(struct buf *pax, char field[12], const struct tree_attr *a, struct error *err)
{
	bool negative = a->mtime < 0;
	uint64_t whole = negative ? (uint64_t)-a->mtime : (uint64_t)a->mtime;
	uint32_t part = a->mtime_ns;
	char text[40];
	int len;

	if (!negative && part == 0)
		return tar_pax_field(pax, field, 12, "mtime", whole, err);
	if (negative && part > 0) {
		whole--;
		part = 1000000000 - part;
	}
	len = snprintf(text, sizeof(text), "%s%llu.%09u", negative ? "-" : "",
		(unsigned long long)whole, part);
	snprintf(field, 12, "%011llo",
		(unsigned long long)(negative || whole > OCTAL_11 ? 0 : whole));
	return tar_pax_add(pax, "mtime", text, (size_t)len, err);
}

int tar_path_error(const struct tree *t, tree_node node, const char *what, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if (tree_path(t, node, &path, err) < 0)
		return -1;
	return error_set(err, ERROR_INPUT, 0, "'%s': %s", buf_str(&path), what);
}

/* Tags of ACL entries in the kernel's xattr form (linux/posix_acl_xattr.h), and their text. */
static const struct {
	uint16_t tag;
	const char *text;
	bool has_id;
} acl_tags[] = {
	{0x01, "user", false},
	{0x02, "user", true},
	{0x04, "group", false},
	{0x08, "group", true},
	{0x10, "mask", false},
	{0x20, "other", false},
};

static bool acl_entry_text(const uint8_t *p, char out[40])
{
	uint16_t tag = num_get_le16(p), perm = num_get_le16(p + 2);
	char id[16] = "";

	for (size_t i = 0; i < ARRAY_SIZE(acl_tags); i++) {
		if (acl_tags[i].tag != tag || perm > 7)
			continue;
		if (acl_tags[i].has_id)
			snprintf(id, sizeof(id), "%u", num_get_le32(p + 4));
		snprintf(out, 40, "%s:%s:%c%c%c", acl_tags[i].text, id, perm & 4 ? 'r' : '-',
			perm & 2 ? 'w' : '-', perm & 1 ? 'x' : '-');
		return true;
	}
	return false;
}

/* Behind a version (2) of 4 bytes come entries of 8: tag, permissions, id. */
static int add_acl(struct buf *pax, const struct tree *t, tree_node node, const char *key,
	const uint8_t *value, size_t len, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	char entry[40];

	if (len < 12 || len % 8 != 4 || num_get_le32(value) != 2)
		return tar_path_error(t, node, "its ACL is damaged", err);
	for (size_t at = 4; at < len; at += 8) {
		if (!acl_entry_text(value + at, entry))
			return tar_path_error(t, node, "its ACL has an entry of an unknown kind", err);
		if ((at > 4 && buf_add_char(&text, ',', err) < 0) ||
			buf_add_str(&text, entry, err) < 0)
			return -1;
	}
	return tar_pax_add(pax, key, text.data, text.len, err);
}

static int add_xattr(struct buf *pax, const char *name, const void *value, size_t len,
	struct error *err)
{
	CLEANUP_BUF struct buf key = BUF_INIT(0);

	if (buf_add_str(&key, "SCHILY.xattr.", err) < 0)
		return -1;
	for (const char *p = name; *p; p++)
		if (*p == '%' || *p == '=' ? buf_addf(&key, err, "%%%02X", *p) < 0
					   : buf_add_char(&key, *p, err) < 0)
			return -1;
	return tar_pax_add(pax, key.data, value, len, err);
}

int tar_pax_xattrs(struct buf *pax, const struct tree *t, tree_node node, struct error *err)
{
	const char *name;
	const void *value;
	size_t len;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && tree_xattr(t, node, i, &name, &value, &len); i++) {
		if (!strcmp(name, "system.posix_acl_access"))
			ret = add_acl(pax, t, node, "SCHILY.acl.access", value, len, err);
		else if (!strcmp(name, "system.posix_acl_default"))
			ret = add_acl(pax, t, node, "SCHILY.acl.default", value, len, err);
		else
			ret = add_xattr(pax, name, value, len, err);
	}
	return ret;
}
