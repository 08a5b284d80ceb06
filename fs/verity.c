/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash device:
 *
 *   | superblock | top level: 1 block | … | level 0: a digest for each block of data |
 *
 * Each level has the digests of the blocks of the one below, 128 in a block, the last block filled
 * up with zeros; the root hash is the digest of the top block. With one block of data there are no
 * levels, and the root hash is that block's digest.
 *
 * A level is hashed in rounds: workers read and hash chunks, then the digests are written. Nobody
 * writes while workers read, as data and hash may be windows of one disk. A round's chunks bound
 * the memory.
 */
#include "fs/verity.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/pool.h"
#include "base/zero.h"

enum {
	PER_BLOCK = VERITY_BLOCK / SHA256_SIZE,
	CHUNK_BLOCKS = 2 * PER_BLOCK, /* 1 MiB: two blocks of digests */
	CHUNK = CHUNK_BLOCKS * VERITY_BLOCK,
	ROUND = 32, /* chunks */
	LEVELS_MAX = 10,
};

struct chunk {
	struct dev *from;
	uint64_t off;
	uint32_t blocks;
	bool zero; /* known without reading */
	struct sha256 *sha;
	uint8_t *data;                              /* CHUNK bytes */
	uint8_t digests[CHUNK_BLOCKS * SHA256_SIZE];
};

struct verity {
	const struct verity_opts *opts;
	struct dev *hash;
	struct pool *pool;
	struct chunk *chunks; /* ROUND of them */
	uint8_t zero_digest[SHA256_SIZE];
};

struct levels {
	uint32_t nr;
	uint64_t blocks[LEVELS_MAX]; /* of level 0, 1 … */
	uint64_t off[LEVELS_MAX];    /* bytes on the hash device */
	uint64_t size;               /* of the hash device */
};

static struct levels levels_of(uint64_t data_blocks)
{
	struct levels l = {.size = VERITY_BLOCK};

	for (uint64_t below = data_blocks; below > 1; l.nr++) {
		below = num_div_up(below, PER_BLOCK);
		l.blocks[l.nr] = below;
	}
	for (uint32_t i = l.nr; i-- > 0;) {
		l.off[i] = l.size;
		l.size += l.blocks[i] * VERITY_BLOCK;
	}
	return l;
}

uint64_t verity_size(uint64_t data_len)
{
	return levels_of(data_len / VERITY_BLOCK).size;
}

static int digest(const struct verity *v, struct sha256 *sha, const uint8_t *block,
	uint8_t out[SHA256_SIZE], struct error *err)
{
	if (sha256_update(sha, v->opts->salt, v->opts->salt_len, err) < 0 ||
		sha256_update(sha, block, VERITY_BLOCK, err) < 0)
		return -1;
	return sha256_final(sha, out, err);
}

/* In a worker. */
static int hash_chunk(void *item, void *arg, struct error *err)
{
	const struct verity *v = arg;
	struct chunk *c = item;

	if (!c->zero &&
		dev_pread(c->from, c->data, (size_t)c->blocks * VERITY_BLOCK, c->off, err) < 0)
		return -1;
	memset(c->digests, 0, sizeof(c->digests));
	for (uint32_t i = 0; i < c->blocks; i++) {
		const uint8_t *block = c->data + (size_t)i * VERITY_BLOCK;
		uint8_t *out = c->digests + (size_t)i * SHA256_SIZE;

		if (c->zero || zero_all(block, VERITY_BLOCK))
			memcpy(out, v->zero_digest, SHA256_SIZE);
		else if (digest(v, c->sha, block, out, err) < 0)
			return -1;
	}
	return 0;
}

/* Whether nothing of the range is data: then it reads as zeros. */
static int find_zero(struct dev *dev, uint64_t off, uint64_t len, bool *zero, struct error *err)
{
	struct extent_list list = EXTENT_LIST_INIT;
	int r = dev_extents(dev, off, len, &list, err);

	*zero = true;
	for (size_t i = 0; r == 0 && i < list.nr; i++)
		*zero = *zero && list.items[i].kind != EXTENT_DATA;
	extent_list_release(&list);
	return r;
}

/* Takes chunks of [*off, end) until a round is full. */
static int submit_round(struct verity *v, struct dev *from, uint64_t *off, uint64_t end,
	struct error *err)
{
	for (uint32_t i = 0; i < ROUND && *off < end; i++) {
		struct chunk *c = &v->chunks[i];
		uint64_t len = MIN(end - *off, (uint64_t)CHUNK);

		c->from = from;
		c->off = *off;
		c->blocks = (uint32_t)(len / VERITY_BLOCK);
		if (find_zero(from, *off, len, &c->zero, err) < 0 ||
			pool_submit(v->pool, c, err) < 0)
			return -1;
		*off += len;
	}
	return 0;
}

/* Waits for the round, all of it, and keeps its first error. */
static int wait_round(struct verity *v, struct error *err)
{
	struct error first = ERROR_INIT;
	int r = 0;
	void *item;

	do {
		struct error e = ERROR_INIT;

		if (pool_next(v->pool, &item, &e) < 0 && r == 0) {
			first = e;
			r = -1;
		}
	} while (item);
	if (r < 0 && err)
		*err = first;
	return r;
}

static int write_round(struct verity *v, uint64_t blocks, uint64_t *to, struct error *err)
{
	for (uint32_t i = 0; blocks > 0; i++) {
		const struct chunk *c = &v->chunks[i];
		size_t len = num_align((uint64_t)c->blocks * SHA256_SIZE, VERITY_BLOCK);

		if (dev_pwrite(v->hash, c->digests, len, *to, err) < 0)
			return -1;
		*to += len;
		blocks -= c->blocks;
	}
	return 0;
}

/* Digests of the blocks of [off, end) to a level that begins at `to`. */
static int hash_level(struct verity *v, struct dev *from, uint64_t off, uint64_t end, uint64_t to,
	struct error *err)
{
	while (off < end) {
		const uint64_t before = off;
		int r;

		if (v->opts->cancelled && v->opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		r = submit_round(v, from, &off, end, err);
		/* After a failure too: the chunks are ours again only when all have come out. */
		if (wait_round(v, r < 0 ? NULL : err) < 0 || r < 0)
			return -1;
		if (write_round(v, (off - before) / VERITY_BLOCK, &to, err) < 0)
			return -1;
	}
	return 0;
}

static int write_super(struct verity *v, uint64_t data_blocks, struct error *err)
{
	uint8_t block[VERITY_BLOCK] = "verity";

	num_put_le32(block + 8, 1);  /* version of the superblock */
	num_put_le32(block + 12, 1); /* type: salt first, as the kernel has it */
	memcpy(block + 16, v->opts->uuid, sizeof(v->opts->uuid));
	memcpy(block + 32, "sha256", 6);
	num_put_le32(block + 64, VERITY_BLOCK); /* of data */
	num_put_le32(block + 68, VERITY_BLOCK); /* of digests */
	num_put_le64(block + 72, data_blocks);
	num_put_le16(block + 80, (uint16_t)v->opts->salt_len);
	memcpy(block + 88, v->opts->salt, v->opts->salt_len);
	return dev_pwrite(v->hash, block, sizeof(block), 0, err);
}

static int use_all(struct dev *data, struct error *err)
{
	struct extent_list list = EXTENT_LIST_INIT;
	int r = dev_extents(data, 0, data->size, &list, err);

	for (size_t i = 0; r == 0 && i < list.nr; i++)
		if (list.items[i].kind == EXTENT_UNUSED)
			r = dev_clear(data, list.items[i].off, list.items[i].len, EXTENT_ZERO, err);
	extent_list_release(&list);
	return r;
}

static void verity_release(struct verity *v)
{
	pool_free(v->pool);
	for (uint32_t i = 0; v->chunks && i < ROUND; i++) {
		sha256_free(v->chunks[i].sha);
		free(v->chunks[i].data);
	}
	free(v->chunks);
}

static int verity_init(struct verity *v, struct error *err)
{
	v->chunks = calloc(ROUND, sizeof(*v->chunks));
	for (uint32_t i = 0; v->chunks && i < ROUND; i++) {
		/* Zeroed: the first one is what the digest of zeros is made of. */
		v->chunks[i].data = calloc(1, CHUNK);
		v->chunks[i].sha = sha256_new(err);
		if (!v->chunks[i].sha)
			return -1;
		if (!v->chunks[i].data)
			return error_nomem(err, "digests");
	}
	if (!v->chunks)
		return error_nomem(err, "digests");
	if (digest(v, v->chunks[0].sha, v->chunks[0].data, v->zero_digest, err) < 0)
		return -1;
	v->pool = pool_new(v->opts->workers, ROUND, hash_chunk, v, err);
	return v->pool ? 0 : -1;
}

static int write_tree(struct verity *v, struct dev *data, uint8_t root[SHA256_SIZE],
	struct error *err)
{
	const struct levels l = levels_of(data->size / VERITY_BLOCK);
	struct dev *top = data;
	uint64_t off = 0, end = data->size;

	for (uint32_t i = 0; i < l.nr; i++) {
		if (hash_level(v, top, off, end, l.off[i], err) < 0)
			return -1;
		top = v->hash;
		off = l.off[i];
		end = off + l.blocks[i] * VERITY_BLOCK;
	}
	if (dev_pread(top, v->chunks[0].data, VERITY_BLOCK, off, err) < 0 ||
		digest(v, v->chunks[0].sha, v->chunks[0].data, root, err) < 0)
		return -1;
	if (v->hash->size > l.size &&
		dev_clear(v->hash, l.size, v->hash->size - l.size, EXTENT_UNUSED, err) < 0)
		return -1;
	return write_super(v, data->size / VERITY_BLOCK, err);
}

int verity_write(struct dev *data, struct dev *hash, const struct verity_opts *opts,
	uint8_t root[SHA256_SIZE], struct error *err)
{
	struct verity v = {.opts = opts, .hash = hash};
	char need[NUM_SIZE_TEXT], has[NUM_SIZE_TEXT];
	int r;

	if (data->size == 0 || data->size % VERITY_BLOCK)
		return error_set(err, ERROR_INPUT, 0,
			"dm-verity needs data of whole blocks of %d bytes, not of %llu bytes",
			VERITY_BLOCK, (unsigned long long)data->size);
	if (hash->size < verity_size(data->size))
		return error_set(err, ERROR_INPUT, 0, "dm-verity needs %s for its digests and has %s",
			num_format_size(need, verity_size(data->size)),
			num_format_size(has, hash->size));
	if (opts->salt_len > VERITY_SALT_MAX)
		return error_set(err, ERROR_BUG, 0, "a salt of %zu bytes", opts->salt_len);
	if (use_all(data, err) < 0)
		return -1;
	r = verity_init(&v, err);
	if (r == 0)
		r = write_tree(&v, data, root, err);
	verity_release(&v);
	return r;
}
