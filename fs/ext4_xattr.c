/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: first into the rest of the inode, what does not fit there into one block. In
 * both, entries grow from the start and values from the end:
 *
 *   | header | entry, name | entry, name | 0 |  …  | value | value |
 *
 * Names are stored as a namespace's number and the rest. ACLs come in the form that the kernel
 * shows and are stored in ext4's own, which leaves out the ids of entries that have none.
 */
#include "fs/ext4_internal.h"

#include <string.h>

#include <ext2fs/ext2_ext_attr.h>

#include "base/num.h"

enum {
	IBODY_SIZE = EXT4_INODE_SIZE - EXT2_GOOD_OLD_INODE_SIZE - EXT4_EXTRA_ISIZE,
	IBODY_HEADER = 4,
	BLOCK_HEADER = sizeof(struct ext2_ext_attr_header),
	ENTRY = sizeof(struct ext2_ext_attr_entry),
	TERMINATOR = 4,
	INDEX_ACL_ACCESS = 2,
	INDEX_ACL_DEFAULT = 3,
};

/* Those that the kernel hands out; under "system." it knows ACLs alone. */
static const struct {
	const char *prefix;
	uint8_t index;
	bool whole; /* the prefix is the whole name */
} namespaces[] = {
	{"user.", 1, false},
	{"system.posix_acl_access", INDEX_ACL_ACCESS, true},
	{"system.posix_acl_default", INDEX_ACL_DEFAULT, true},
	{"trusted.", 4, false},
	{"security.", 6, false},
};

struct item {
	uint8_t index;
	const char *name; /* without the namespace; borrowed */
	size_t name_len;
	const uint8_t *value; /* as the tree has it; borrowed */
	size_t len;
	size_t stored; /* bytes of the value as ext4 keeps it */
};

/*
 * ACL entries: tag, permissions, id (2, 2, 4 bytes) behind a version of 4 bytes; ext4 drops some
 * ids.
 */
enum {
	ACL_HEADER = 4,
	ACL_XATTR_VERSION = 2,
	ACL_EXT4_VERSION = 1,
	ACL_LONG = 8,
	ACL_SHORT = 4,
	ACL_USER = 2,
	ACL_GROUP = 8
};

static bool is_acl(const struct item *it)
{
	return it->index == INDEX_ACL_ACCESS || it->index == INDEX_ACL_DEFAULT;
}

static size_t acl_entry_len(const uint8_t *entry)
{
	uint16_t tag = num_get_le16(entry);

	return tag == ACL_USER || tag == ACL_GROUP ? ACL_LONG : ACL_SHORT;
}

/* Size in ext4's form; false when the value is no ACL. */
static bool acl_size(const struct item *it, size_t *size)
{
	if (it->len < ACL_HEADER || (it->len - ACL_HEADER) % ACL_LONG ||
		num_get_le32(it->value) != ACL_XATTR_VERSION)
		return false;
	*size = ACL_HEADER;
	for (size_t off = ACL_HEADER; off < it->len; off += ACL_LONG)
		*size += acl_entry_len(it->value + off);
	return true;
}

static void put_value(const struct item *it, uint8_t *out)
{
	if (!is_acl(it)) {
		memcpy(out, it->value, it->len);
		return;
	}
	num_put_le32(out, ACL_EXT4_VERSION);
	out += ACL_HEADER;
	for (size_t off = ACL_HEADER; off < it->len; off += ACL_LONG) {
		size_t len = acl_entry_len(it->value + off);

		memcpy(out, it->value + off, len);
		out += len;
	}
}

static bool parse_name(const char *full, struct item *it)
{
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		size_t len = strlen(namespaces[i].prefix);

		if (strncmp(full, namespaces[i].prefix, len) != 0 ||
			(full[len] == '\0') != namespaces[i].whole)
			continue;
		it->index = namespaces[i].index;
		it->name = full + len;
		it->name_len = strlen(full + len);
		return it->name_len <= 255;
	}
	return false;
}

/* Number `index` of the node's attributes: 1, 0 past the end, -1 when ext4 cannot hold it. */
static int get_item(const struct ext4_build *b, tree_node node, uint32_t index, struct item *it,
	struct error *err)
{
	const char *full;
	const void *value;

	if (!tree_xattr(b->t, node, index, &full, &value, &it->len))
		return 0;
	it->value = value;
	it->stored = it->len;
	if (!parse_name(full, it))
		return ext4_path_error(
			b, node, err, "ext4 cannot hold the extended attribute '%s'", full);
	if (is_acl(it) && !acl_size(it, &it->stored))
		return ext4_path_error(
			b, node, err, "extended attribute '%s' is no valid ACL", full);
	return 1;
}

/* A region that is being filled: an inode's tail, or a block. Also without memory, to measure. */
struct region {
	uint8_t *base;  /* value offsets count from here; NULL: measure only */
	size_t entries; /* end of the entries so far */
	size_t values;  /* start of the values so far */
};

static size_t pad4(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

static bool fits(const struct region *r, const struct item *it)
{
	return r->values >= r->entries + TERMINATOR &&
	       r->values - r->entries - TERMINATOR >= ENTRY + pad4(it->name_len) + pad4(it->stored);
}

/*
 * Puts the entry where it belongs by order: index, length of the name, name. The kernel bisects by
 * it in blocks.
 */
static size_t entry_position(const struct region *r, size_t first, const struct item *it)
{
	size_t off = first;

	while (off < r->entries) {
		const struct ext2_ext_attr_entry *e = (const void *)(r->base + off);
		int c = (int)e->e_name_index - (int)it->index;

		if (c == 0)
			c = (int)e->e_name_len - (int)it->name_len;
		if (c == 0)
			c = memcmp(e + 1, it->name, it->name_len);
		if (c > 0)
			break;
		off += EXT2_EXT_ATTR_LEN(e->e_name_len);
	}
	return off;
}

static void put_item(struct region *r, size_t first, const struct item *it)
{
	size_t len = ENTRY + pad4(it->name_len), off;
	struct ext2_ext_attr_entry *e;

	r->values -= pad4(it->stored);
	if (r->base) {
		off = entry_position(r, first, it);
		memmove(r->base + off + len, r->base + off, r->entries - off);
		memset(r->base + off, 0, len);
		put_value(it, r->base + r->values);
		e = (void *)(r->base + off);
		e->e_name_len = (uint8_t)it->name_len;
		e->e_name_index = it->index;
		e->e_value_offs = (uint16_t)(it->stored ? r->values : 0);
		e->e_value_size = (uint32_t)it->stored;
		memcpy(e + 1, it->name, it->name_len);
		e->e_hash = ext2fs_ext_attr_hash_entry(e, r->base + r->values);
	}
	r->entries += len;
}

/* What goes where: the same for planning (bases NULL) and for writing. */
static int distribute(const struct ext4_build *b, tree_node node, struct region *ibody,
	struct region *block, bool *used_block, struct error *err)
{
	struct item it;
	int rc;

	*used_block = false;
	for (uint32_t i = 0; (rc = get_item(b, node, i, &it, err)) > 0; i++) {
		if (fits(ibody, &it)) {
			put_item(ibody, 0, &it);
			continue;
		}
		if (!fits(block, &it))
			return ext4_path_error(b, node, err,
				"extended attributes take more than the %u bytes "
				"that ext4 has for them",
				b->block_size);
		put_item(block, BLOCK_HEADER, &it);
		*used_block = true;
	}
	return rc;
}

int ext4_xattr_plan(
	const struct ext4_build *b, tree_node node, bool *needs_block, struct error *err)
{
	struct region ibody = {NULL, 0, IBODY_SIZE - IBODY_HEADER};
	struct region block = {NULL, BLOCK_HEADER, b->block_size};

	return distribute(b, node, &ibody, &block, needs_block, err);
}

int ext4_xattr_put(const struct ext4_build *b, tree_node node, uint8_t *ibody, uint8_t *block,
	struct error *err)
{
	/* Offsets of values in an inode count from the first entry, behind the magic number. */
	struct region in = {ibody + IBODY_HEADER, 0, IBODY_SIZE - IBODY_HEADER};
	struct region out = {block, BLOCK_HEADER, b->block_size};
	struct ext2_ext_attr_header *h = (void *)block;
	bool used_block;

	if (distribute(b, node, &in, &out, &used_block, err) < 0)
		return -1;
	if (in.entries)
		num_put_le32(ibody, EXT2_EXT_ATTR_MAGIC);
	if (!block)
		return 0;
	h->h_magic = EXT2_EXT_ATTR_MAGIC;
	h->h_refcount = 1;
	h->h_blocks = 1;
	ext2fs_ext_attr_block_rehash(h, (void *)(block + out.entries));
	return 0;
}
