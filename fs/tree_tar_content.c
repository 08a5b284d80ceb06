/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents and extended attributes of tar entries. The content of a file in a plain tar is one run
 * of bytes of the archive (several for a sparse file): it is referred to without being read. Other
 * contents go to the tree's spool as they come.
 */
#include "fs/tree_tar_internal.h"

#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/num.h"

/* Bytes at `at` of the archive as a piece. */
static int refer(struct tar_scan *s, tree_node node, uint64_t off, uint64_t len, uint64_t at,
	struct error *err)
{
	struct tree_piece piece = {.off = off, .len = len, .src = s->source, .id = s->source_id,
		.src_off = s->source_off + at};

	return tree_add_piece(s->tree, node, &piece, err);
}

/*
 * Once libarchive has handed out a block, the position of its input is where that block begins:
 * what it hands out is consumed at the next call only.
 */
static uint64_t block_position(const struct tar_scan *s)
{
	return (uint64_t)archive_filter_bytes(s->archive, 0);
}

static int check_in_archive(const struct tar_scan *s, uint64_t at, uint64_t len, struct error *err)
{
	if (at <= s->source_size && len <= s->source_size - at)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' is cut off in the content of entry '%s'",
		s->name, buf_str(&s->last));
}

/* The first block tells where the content begins; the rest is skipped by the next header's read. */
static int refer_whole(struct tar_scan *s, uint64_t size, tree_node node, struct error *err)
{
	const void *data;
	size_t len;
	la_int64_t off;
	int r = archive_read_data_block(s->archive, &data, &len, &off);

	if (r == ARCHIVE_EOF)
		return 0; /* a sparse file that is one hole */
	if (r != ARCHIVE_OK)
		return tar_damaged(s, err);
	if (check_in_archive(s, block_position(s), size, err) < 0)
		return -1;
	return refer(s, node, 0, size, block_position(s), err);
}

static int place_block(struct tar_scan *s, tree_node node, const void *data, size_t len, uint64_t off,
	struct error *err)
{
	struct tree_piece piece = {.off = off, .len = len};
	struct spool *spool;

	if (s->source) {
		if (check_in_archive(s, block_position(s), len, err) < 0)
			return -1;
		return refer(s, node, off, len, block_position(s), err);
	}
	spool = tree_spool(s->tree, err);
	if (!spool || spool_append(spool, data, len, &piece.src_off, err) < 0)
		return -1;
	piece.src = spool_source(spool);
	return tree_add_piece(s->tree, node, &piece, err);
}

static int add_blocks(struct tar_scan *s, uint64_t size, bool sparse, tree_node node,
	struct error *err)
{
	uint64_t end = 0;

	for (;;) {
		const void *data;
		size_t len;
		la_int64_t off;
		int r = archive_read_data_block(s->archive, &data, &len, &off);

		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return tar_damaged(s, err);
		if (len == 0)
			continue;
		if (off < 0 || (uint64_t)off < end || (uint64_t)off > size || len > size - (uint64_t)off)
			return error_set(err, ERROR_INPUT, 0,
				"'%s': the pieces of sparse entry '%s' overlap or lie outside its size",
				s->name, buf_str(&s->last));
		if (place_block(s, node, data, len, (uint64_t)off, err) < 0)
			return -1;
		end = (uint64_t)off + len;
	}
	if (!sparse && end < size && end > 0)
		return error_set(err, ERROR_INPUT, 0, "'%s' is cut off in the content of entry '%s'",
			s->name, buf_str(&s->last));
	return 0;
}

int tar_add_content(struct tar_scan *s, struct archive_entry *entry, tree_node node,
	struct error *err)
{
	uint64_t size = (uint64_t)archive_entry_size(entry);
	bool sparse = archive_entry_sparse_count(entry) > 0;

	if (size == 0)
		return 0;
	if (s->source && !sparse)
		return refer_whole(s, size, node, err);
	return add_blocks(s, size, sparse, node, err);
}

/*
 * An ACL in the form of the kernel's xattr: a version, then 8 bytes an entry (tag, permissions,
 * id), in the order of tags and ids. Tags and permission bits are those of POSIX.1e draft 17.
 */
enum { ACL_VERSION = 2, ACL_HEADER = 4, ACL_ENTRY = 8, ACL_MAX = 8000 };
enum { ACL_TAG_MASK = 0x10 };
#define ACL_NO_ID UINT32_MAX

static const struct {
	int libarchive;
	uint16_t kernel;
	bool has_id;
} acl_tags[] = {
	{ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01, false},
	{ARCHIVE_ENTRY_ACL_USER, 0x02, true},
	{ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04, false},
	{ARCHIVE_ENTRY_ACL_GROUP, 0x08, true},
	{ARCHIVE_ENTRY_ACL_MASK, ACL_TAG_MASK, false},
	{ARCHIVE_ENTRY_ACL_OTHER, 0x20, false},
};

static int put_acl_entry(struct tar_scan *s, struct buf *out, int tag, int perm, int id,
	const char *name, struct error *err)
{
	uint8_t *p;

	for (size_t i = 0; i < ARRAY_SIZE(acl_tags); i++) {
		if (acl_tags[i].libarchive != tag)
			continue;
		if (acl_tags[i].has_id && id < 0)
			return error_set(err, ERROR_INPUT, 0,
				"'%s': an ACL of entry '%s' names '%s' without its number (pack it with "
				"numeric owners)",
				s->name, buf_str(&s->last), name ? name : "");
		p = buf_extend(out, ACL_ENTRY, err);
		if (!p)
			return -1;
		num_put_le16(p, acl_tags[i].kernel);
		num_put_le16(p + 2, (uint16_t)(perm & 7));
		num_put_le32(p + 4, acl_tags[i].has_id ? (uint32_t)id : ACL_NO_ID);
		return 0;
	}
	return error_set(err, ERROR_INPUT, 0, "'%s': an ACL of entry '%s' is of a kind that Linux lacks",
		s->name, buf_str(&s->last));
}

static int compare_acl_entries(const void *a, const void *b)
{
	uint16_t tag_a = num_get_le16(a), tag_b = num_get_le16(b);
	uint32_t id_a = num_get_le32((const uint8_t *)a + 4), id_b = num_get_le32((const uint8_t *)b + 4);

	if (tag_a != tag_b)
		return tag_a < tag_b ? -1 : 1;
	return id_a < id_b ? -1 : id_a > id_b;
}

/* The group bits of a mode are the mask where there is one. */
static void apply_mask(struct tar_scan *s, tree_node node, const struct buf *acl)
{
	struct tree_attr attr;

	for (size_t at = ACL_HEADER; at < acl->len; at += ACL_ENTRY) {
		const char *p = acl->data + at;

		if (num_get_le16(p) != ACL_TAG_MASK)
			continue;
		tree_get(s->tree, node, &attr);
		tree_chmod(s->tree, node, (attr.mode & 07707) | (uint32_t)num_get_le16(p + 2) << 3);
	}
}

static int add_acl(struct tar_scan *s, struct archive_entry *entry, tree_node node, int type,
	const char *xattr, struct error *err)
{
	CLEANUP_BUF struct buf acl = BUF_INIT(ACL_HEADER + ACL_MAX * ACL_ENTRY);
	int found, perm, tag, id;
	const char *name;
	uint8_t *version;

	if (archive_entry_acl_reset(entry, type) == 0)
		return 0;
	version = buf_extend(&acl, ACL_HEADER, err);
	if (!version)
		return -1;
	num_put_le32(version, ACL_VERSION);
	while (archive_entry_acl_next(entry, type, &found, &perm, &tag, &id, &name) == ARCHIVE_OK)
		if (put_acl_entry(s, &acl, tag, perm, id, name, err) < 0)
			return -1;
	if (acl.len == ACL_HEADER)
		return 0;
	qsort(acl.data + ACL_HEADER, (acl.len - ACL_HEADER) / ACL_ENTRY, ACL_ENTRY,
		compare_acl_entries);
	if (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
		apply_mask(s, node, &acl);
	return tree_set_xattr(s->tree, node, xattr, acl.data, acl.len, err);
}

int tar_add_xattrs(struct tar_scan *s, struct archive_entry *entry, tree_node node,
	struct error *err)
{
	int types = archive_entry_acl_types(entry);
	const char *name;
	const void *value;
	size_t len;

	if (types & ARCHIVE_ENTRY_ACL_TYPE_NFS4)
		return error_set(err, ERROR_INPUT, 0,
			"'%s': entry '%s' has an NFSv4 ACL, which Linux file systems cannot hold",
			s->name, buf_str(&s->last));
	if (add_acl(s, entry, node, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", err) < 0)
		return -1;
	if (add_acl(s, entry, node, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", err) < 0)
		return -1;
	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK)
		if (tree_set_xattr(s->tree, node, name, value, len, err) < 0)
			return error_wrap(err, "'%s': entry '%s'", s->name, buf_str(&s->last));
	return 0;
}
