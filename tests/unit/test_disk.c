/* SPDX-License-Identifier: Apache-2.0 */
/* The disk against a flat array that does the same by the simplest means. */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "base/spool.h"

enum { SECTOR = 512, MODEL_SIZE = 1200 * 1000 + 77, SOURCE_SIZE = 300 * 1000, STEPS = 6000 };

/*
 * A source of arbitrary bytes without a descriptor; content `id` is the same bytes, id added to
 * each.
 */
struct byte_source {
	struct source source;
	uint8_t bytes[SOURCE_SIZE];
};

static int byte_pread(
	struct source *src, uint64_t id, void *buf, size_t len, uint64_t off, struct error *err)
{
	const struct byte_source *b = (const struct byte_source *)src;

	if (off > SOURCE_SIZE || len > SOURCE_SIZE - off)
		return error_set(err, ERROR_INPUT, 0, "read past the end of a source");
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(b->bytes[off + i] + id);
	return 0;
}

static const struct source_ops byte_ops = {.name = "bytes", .pread = byte_pread};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/*
 * What the disk must hold: content to the byte; kinds to the byte, and which sectors were
 * written.
 */
struct model {
	uint8_t bytes[MODEL_SIZE];
	uint8_t kind[MODEL_SIZE];
	bool written[MODEL_SIZE / SECTOR + 1];
};

struct fixture {
	struct dev *disk;
	struct model *model;
	struct byte_source *sources[3];
	uint64_t random;
};

static void model_write(struct model *m, uint64_t off, const uint8_t *data, size_t len)
{
	memcpy(m->bytes + off, data, len);
	for (uint64_t s = off / SECTOR; s * SECTOR < off + len; s++)
		m->written[s] = true;
}

static void model_cover(struct model *m, uint64_t off, size_t len, enum extent_kind kind)
{
	memset(m->kind + off, kind, len);
	for (uint64_t s = num_div_up(off, SECTOR); s * SECTOR < off + len; s++) {
		if ((s + 1) * SECTOR <= off + len || off + len == MODEL_SIZE)
			m->written[s] = false;
	}
}

static enum extent_kind model_kind(const struct model *m, uint64_t off)
{
	return m->written[off / SECTOR] ? EXTENT_DATA : (enum extent_kind)m->kind[off];
}

static void random_range(struct fixture *f, uint64_t max, uint64_t *off, size_t *len)
{
	static const uint64_t aligns[] = {1, 1, 512, 4096, 32768};
	uint64_t align = aligns[next_random(&f->random) % ARRAY_SIZE(aligns)];
	/* Mostly short ones, now and then a long one. */
	uint64_t limit = next_random(&f->random) % 16 ? 9000 : max;

	*off = next_random(&f->random) % MODEL_SIZE / align * align;
	*len = num_align(1 + next_random(&f->random) % limit, align);
	if (next_random(&f->random) % 50 == 0 || *len > MODEL_SIZE - *off)
		*len = MODEL_SIZE - *off;
	*len = MIN(*len, max);
}

static void step_write(struct fixture *f)
{
	static uint8_t data[MODEL_SIZE];
	struct error err = ERROR_INIT;
	uint64_t off;
	size_t len;

	random_range(f, 120000, &off, &len);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(f->random >> i % 50);
	assert_int_equal(dev_pwrite(f->disk, data, len, off, &err), 0);
	model_write(f->model, off, data, len);
}

static void step_clear(struct fixture *f)
{
	enum extent_kind kind = next_random(&f->random) % 2 ? EXTENT_ZERO : EXTENT_UNUSED;
	struct error err = ERROR_INIT;
	uint64_t off;
	size_t len;

	random_range(f, MODEL_SIZE, &off, &len);
	assert_int_equal(dev_clear(f->disk, off, len, kind, &err), 0);
	memset(f->model->bytes + off, 0, len);
	model_cover(f->model, off, len, kind);
}

static void step_refer(struct fixture *f)
{
	struct byte_source *src = f->sources[next_random(&f->random) % 3];
	uint64_t id = next_random(&f->random) % 4;
	struct error err = ERROR_INIT;
	uint64_t off, src_off;
	size_t len;

	random_range(f, SOURCE_SIZE, &off, &len);
	src_off = next_random(&f->random) % (SOURCE_SIZE - len + 1);
	assert_int_equal(dev_refer(f->disk, off, len, &src->source, id, src_off, &err), 0);
	assert_int_equal(
		byte_pread(&src->source, id, f->model->bytes + off, len, src_off, &err), 0);
	model_cover(f->model, off, len, EXTENT_DATA);
}

static void check_range(struct fixture *f, uint64_t off, size_t len)
{
	static uint8_t data[MODEL_SIZE];
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	uint64_t at = off;

	assert_int_equal(dev_pread(f->disk, data, len, off, &err), 0);
	assert_memory_equal(data, f->model->bytes + off, len);
	assert_int_equal(dev_extents(f->disk, off, len, &list, &err), 0);
	for (size_t i = 0; i < list.nr; i++) {
		assert_int_equal(list.items[i].off, at);
		for (uint64_t end = at + list.items[i].len; at < end; at++)
			assert_int_equal(list.items[i].kind, model_kind(f->model, at));
	}
	assert_int_equal(at, off + len);
	extent_list_release(&list);
}

static void step_check(struct fixture *f)
{
	uint64_t off;
	size_t len;

	random_range(f, 100000, &off, &len);
	check_range(f, off, len);
}

static void run_model(uint64_t seed, uint64_t mem_limit)
{
	static void (*const steps[])(struct fixture *) = {
		step_write, step_write, step_clear, step_refer, step_refer, step_check};
	const struct disk_opts opts = {.mem_limit = mem_limit};
	struct fixture f = {.random = seed};
	struct error err = ERROR_INIT;

	f.model = calloc(1, sizeof(*f.model));
	assert_non_null(f.model);
	f.disk = disk_new(MODEL_SIZE, &opts, &err);
	assert_non_null(f.disk);
	for (size_t i = 0; i < 3; i++) {
		f.sources[i] = calloc(1, sizeof(*f.sources[i]));
		assert_non_null(f.sources[i]);
		f.sources[i]->source.ops = &byte_ops;
		for (size_t k = 0; k < SOURCE_SIZE; k++)
			f.sources[i]->bytes[k] = (uint8_t)next_random(&f.random);
	}
	for (int i = 0; i < STEPS; i++) {
		steps[next_random(&f.random) % ARRAY_SIZE(steps)](&f);
		if (i % 500 == 0)
			check_range(&f, 0, MODEL_SIZE);
	}
	check_range(&f, 0, MODEL_SIZE);
	assert_int_equal(dev_close(f.disk, &err), 0);
	for (size_t i = 0; i < 3; i++)
		free(f.sources[i]);
	free(f.model);
}

static void test_model_in_memory(void **state)
{
	(void)state;
	run_model(1, 0);
	run_model(0x123456789, 0);
}

static void test_model_in_spool(void **state)
{
	(void)state;
	run_model(2, 1);          /* one chunk in memory */
	run_model(99, 5 * 32768); /* five */
}

/*
 * Many references, written as several ascending streams, downwards, and at random: all must be
 * found.
 */
static void test_many_refs(void **state)
{
	enum { NR = 40000, STRIDE = 4096 };
	struct byte_source *src = calloc(1, sizeof(*src));
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new((uint64_t)NR * STRIDE, NULL, &err);
	uint64_t random = 7;
	uint32_t *order = calloc(NR, sizeof(*order));

	(void)state;
	assert_non_null(src);
	assert_non_null(order);
	src->source.ops = &byte_ops;
	for (uint32_t i = 0; i < NR; i++) /* a quarter each: two streams in turn, down, shuffled */
		order[i] = i < NR / 2 ? i / 2 + i % 2 * (NR / 4) : i;
	for (uint32_t i = NR / 2; i < NR * 3 / 4; i++)
		order[i] = NR * 5 / 4 - 1 - i;
	for (uint32_t i = NR * 3 / 4; i < NR; i++) {
		uint32_t k = (uint32_t)(NR * 3 / 4 + next_random(&random) % (NR / 4));
		uint32_t tmp = order[i];

		order[i] = order[k];
		order[k] = tmp;
	}
	for (uint32_t i = 0; i < NR; i++)
		assert_int_equal(dev_refer(disk, (uint64_t)order[i] * STRIDE, 1, &src->source,
					 order[i] % 251, 0, &err),
			0);
	for (uint32_t i = 0; i < NR; i++) {
		uint8_t byte[2];

		assert_int_equal(dev_pread(disk, byte, 2, (uint64_t)i * STRIDE, &err), 0);
		assert_int_equal(byte[0], i % 251);
		assert_int_equal(byte[1], 0);
	}
	assert_int_equal(dev_close(disk, &err), 0);
	free(order);
	free(src);
}

static void test_neighbours_stay_unused(void **state)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(64 * MIB, NULL, &err);
	uint8_t block[4096] = {1};

	(void)state;
	assert_int_equal(dev_pwrite(disk, block, sizeof(block), 3 * 4096, &err), 0);
	assert_int_equal(dev_clear(disk, 20 * MIB, MIB, EXTENT_ZERO, &err), 0);
	assert_int_equal(dev_extents(disk, 0, disk->size, &list, &err), 0);
	assert_int_equal(list.nr, 5);
	assert_int_equal(list.items[1].off, 3 * 4096);
	assert_int_equal(list.items[1].len, 4096);
	assert_int_equal(list.items[1].kind, EXTENT_DATA);
	assert_int_equal(list.items[3].off, 20 * MIB);
	assert_int_equal(list.items[3].len, MIB);
	assert_int_equal(list.items[3].kind, EXTENT_ZERO);
	extent_list_release(&list);
	assert_int_equal(dev_close(disk, &err), 0);
}

/* A descriptor is given for what a file holds in one long piece, and for nothing else. */
static void test_locate(void **state)
{
	struct error err = ERROR_INIT;
	struct spool *sp = spool_new(NULL, &err);
	struct dev *disk = disk_new(MIB, NULL, &err);
	static uint8_t data[300 * 1024];
	uint64_t len = MIB, fd_off, at;
	uint8_t got[16];
	bool owned;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 2654435761U >> 11);
	assert_int_equal(spool_append(sp, data, sizeof(data), &at, &err), 0);
	assert_int_equal(spool_flush(sp, &err), 0);
	assert_int_equal(dev_refer(disk, 1000, 500, spool_source(sp), 0, 0, &err), 0);
	assert_int_equal(dev_refer(disk, 8192, 200000, spool_source(sp), 0, 100, &err), 0);
	assert_int_equal(dev_pwrite(disk, data, 10, 150000, &err), 0);

	assert_int_equal(dev_locate(disk, 0, &len, &fd, &fd_off, &owned, &err), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(len, 8192);
	len = MIB - 9000;
	assert_int_equal(dev_locate(disk, 9000, &len, &fd, &fd_off, &owned, &err), 0);
	assert_true(fd >= 0 && owned);
	assert_int_equal(len, 150000 / SECTOR * SECTOR - 9000); /* up to the written sector */
	assert_int_equal(pread(fd, got, sizeof(got), (off_t)fd_off), sizeof(got));
	assert_memory_equal(got, data + 100 + 9000 - 8192, sizeof(got));
	close(fd);
	assert_int_equal(dev_close(disk, &err), 0);
	spool_free(sp);
}

static void test_limits(void **state)
{
	struct error err = ERROR_INIT;
	struct disk_opts opts = {.mem_limit = 1, .spool_dir = "/nonexistent/folder"};
	struct dev *disk;
	uint8_t byte = 1;

	(void)state;
	assert_null(disk_new(UINT64_MAX, NULL, &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	disk = disk_new(64 * TIB, &opts, &err);
	assert_non_null(disk);
	assert_int_equal(dev_pwrite(disk, &byte, 1, 64 * TIB - 1, &err), 0);
	assert_int_equal(dev_pread(disk, &byte, 1, 64 * TIB - 1, &err), 0);
	assert_int_equal(byte, 1);
	/* The second chunk needs the spool, which cannot be made. */
	assert_int_equal(dev_pwrite(disk, &byte, 1, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(err.errnum, ENOENT);
	assert_int_equal(dev_close(disk, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_in_memory),
		cmocka_unit_test(test_model_in_spool),
		cmocka_unit_test(test_many_refs),
		cmocka_unit_test(test_neighbours_stay_unused),
		cmocka_unit_test(test_locate),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
