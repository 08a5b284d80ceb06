/* SPDX-License-Identifier: Apache-2.0 */
/* What all image formats stand on: the output, chunks, the survey, the table of formats. */
#include "formats/format.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/file.h"
#include "base/num.h"
#include "formats/chunks.h"
#include "formats/deflate.h"
#include "formats/gunzip.h"
#include "formats/survey.h"
#include "tests/lib/tmpdir.h"

static int enter(void **state)
{
	char *folder = tmpdir_new();

	*state = folder;
	return folder && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	int ret = chdir("/");

	tmpdir_free(*state);
	return ret;
}

/* 20 MiB and a bit: data at 1 MiB, at 7 MiB + 100, in the last bytes; zeros that were written. */
static struct dev *make_disk(void)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(20 * MIB + 1000, NULL, &err);
	uint8_t *bytes = malloc(300000);

	assert_non_null(dev);
	assert_non_null(bytes);
	for (size_t i = 0; i < 300000; i++)
		bytes[i] = (uint8_t)(i * 2654435761U >> 11 | 1);
	assert_int_equal(dev_pwrite(dev, bytes, 300000, MIB, &err), 0);
	assert_int_equal(dev_pwrite(dev, bytes, 1, 7 * MIB + 100, &err), 0);
	assert_int_equal(dev_pwrite(dev, bytes, 1000, 20 * MIB, &err), 0);
	memset(bytes, 0, 300000);
	assert_int_equal(dev_pwrite(dev, bytes, 300000, 12 * MIB, &err), 0);
	free(bytes);
	return dev;
}

static void test_out_file(void **state)
{
	static const struct out_opts opts = {.digest = true};
	struct error err = ERROR_INIT;
	uint8_t digest[SHA256_SIZE], again[SHA256_SIZE], big[3 * 1000 * 1000];
	struct out *o = out_open("file", &opts, &err);
	struct buf text = BUF_INIT(0);
	struct stat st;

	(void)state;
	memset(big, 7, sizeof(big));
	assert_non_null(o);
	assert_int_equal(out_write(o, "abc", 3, &err), 0);
	assert_int_equal(out_pad(o, 512, &err), 0);
	assert_int_equal(out_off(o), 512);
	assert_int_equal(out_pad(o, 512, &err), 0);
	assert_int_equal(out_write(o, big, sizeof(big), &err), 0);
	assert_int_equal(out_zeros(o, 8 * MIB, &err), 0);
	assert_int_equal(out_off(o), 512 + sizeof(big) + 8 * MIB);
	assert_int_equal(access("file", F_OK), -1);
	assert_int_equal(out_commit(o, digest, &err), 0);
	assert_int_equal(stat("file", &st), 0);
	assert_int_equal(st.st_size, 512 + sizeof(big) + 8 * MIB);
	assert_true(st.st_blocks * 512 < (off_t)(4 * MIB));
	assert_int_equal(file_read("file", &text, &err), 0);
	assert_int_equal(sha256(text.data, text.len, again, &err), 0);
	assert_memory_equal(digest, again, SHA256_SIZE);
	assert_memory_equal(text.data, "abc\0", 4);
	assert_memory_equal(text.data + 512, big, sizeof(big));
	buf_release(&text);
	unlink("file");
}

/* Standard output gets what a file gets, holes as zeros. */
static void test_out_pipe(void **state)
{
	static const struct out_opts opts = {.durable = true};
	struct error err = ERROR_INIT;
	int saved = dup(STDOUT_FILENO), fds[2];
	char got[200000];
	size_t len = 0;
	struct out *o;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) >= 0);
	dup2(fds[1], STDOUT_FILENO);
	close(fds[1]);
	o = out_open("-", &opts, &err);
	if (!o || out_write(o, "ab", 2, &err) < 0 || out_zeros(o, 100000, &err) < 0 ||
		out_write(o, "c", 1, &err) < 0 || out_commit(o, NULL, &err) < 0)
		len = SIZE_MAX;
	dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_int_equal(len, 0);
	while ((n = read(fds[0], got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	assert_int_equal(len, 100003);
	assert_memory_equal(got, "ab\0\0", 4);
	assert_int_equal(got[100001], 0);
	assert_int_equal(got[100002], 'c');
}

static void test_out_abort(void **state)
{
	static const struct out_opts opts;
	struct error err = ERROR_INIT;
	struct out *o = out_open("file", &opts, &err);

	(void)state;
	assert_non_null(o);
	assert_int_equal(out_write(o, "x", 1, &err), 0);
	out_abort(o);
	assert_int_equal(access("file", F_OK), -1);
	assert_null(out_open("no/folder", &opts, &err));
	assert_int_equal(err.kind, ERROR_IO);
}

/* What the chunks were, as text. */
struct log {
	char text[4096];
	bool all;
};

static int note_length(struct chunk *c, void *arg, struct error *err)
{
	(void)arg;
	return buf_addf(&c->out, err, "%u", c->data[c->len - 1]);
}

static int note(struct chunk *c, void *arg, struct error *err)
{
	struct log *l = arg;
	size_t len = strlen(l->text);

	(void)err;
	snprintf(l->text + len, sizeof(l->text) - len, "%llu+%zu%s%s ", (unsigned long long)(c->off >> 20),
		c->len, c->data ? "=" : "", c->data ? buf_str(&c->out) : "");
	return 0;
}

static int note_block(void *arg, uint64_t index, const uint8_t digest[32], struct error *err)
{
	struct log *l = arg;
	size_t len = strlen(l->text);

	(void)err;
	snprintf(l->text + len, sizeof(l->text) - len, "%llu:%02x%02x ", (unsigned long long)index,
		digest[0], digest[1]);
	return 0;
}

static void run_chunks(struct log *chunks, struct log *blocks, unsigned workers, bool all)
{
	struct error err = ERROR_INIT;
	struct dev *dev = make_disk();
	const struct chunks_opts opts = {
		.size = 4 * MIB,
		.workers = workers,
		.what = "testing",
		.all = all,
		.block = blocks ? note_block : NULL,
		.block_arg = blocks,
		.work = note_length,
		.emit = note,
		.arg = chunks,
	};

	assert_int_equal(chunks_run(dev, &opts, &err), 0);
	dev_close(dev, &err);
}

static void test_chunks(void **state)
{
	(void)state;
	for (unsigned workers = 0; workers < 9; workers += 2) {
		struct log chunks = {.text = ""}, all = {.text = ""}, blocks = {.text = ""};

		run_chunks(&chunks, NULL, workers, false);
		assert_string_equal(chunks.text, "0+4194304=0 4+4194304=0 20+1000=125 ");
		run_chunks(&all, &blocks, workers, true);
		assert_string_equal(all.text,
			"0+4194304=0 4+4194304=0 8+4194304 12+4194304 16+4194304 20+1000=125 ");
		/* Written zeros count as data here, as they do in a raw image's manifest. */
		assert_int_equal(strncmp(blocks.text, "2:", 2), 0);
		assert_non_null(strstr(blocks.text, " 14:"));
		assert_non_null(strstr(blocks.text, " 24:"));
		assert_non_null(strstr(blocks.text, " 40:"));
	}
}

static int refuse(struct chunk *c, void *arg, struct error *err)
{
	(void)arg;
	return c->off < 20 * MIB ? 0 : error_set(err, ERROR_INPUT, 0, "not the last one");
}

static void test_chunks_fail(void **state)
{
	(void)state;
	for (unsigned workers = 0; workers < 5; workers += 4) {
		struct error err = ERROR_INIT;
		struct dev *dev = make_disk();
		struct chunks_opts opts = {.size = MIB, .workers = workers, .what = "testing", .work = refuse};

		assert_int_equal(chunks_run(dev, &opts, &err), -1);
		assert_string_equal(err.text, "not the last one");
		error_clear(&err);
		opts.work = NULL;
		opts.emit = refuse;
		assert_int_equal(chunks_run(dev, &opts, &err), -1);
		assert_string_equal(err.text, "not the last one");
		dev_close(dev, NULL);
	}
}

static void test_survey(void **state)
{
	uint8_t first[SHA256_SIZE];

	(void)state;
	for (unsigned workers = 0; workers < 5; workers += 2) {
		struct survey_opts opts = {.workers = workers};
		struct error err = ERROR_INIT;
		struct dev *dev = make_disk();
		struct survey s;

		assert_int_equal(survey_make(&s, dev, 64 * KIB, &opts, &err), 0);
		assert_int_equal(s.nr_units, 321);
		assert_int_equal(s.nr_data, 5 + 1 + 1);
		for (uint64_t i = 0; i < s.nr_units; i++)
			assert_int_equal(survey_has(&s, i), (i >= 16 && i < 21) || i == 112 || i == 320);
		if (!workers)
			memcpy(first, s.id, sizeof(first));
		assert_memory_equal(first, s.id, sizeof(first));
		survey_release(&s);
		assert_int_equal(dev_pwrite(dev, "!", 1, 7 * MIB + 100, &err), 0);
		assert_int_equal(survey_make(&s, dev, 64 * KIB, &opts, &err), 0);
		assert_memory_not_equal(first, s.id, sizeof(first));
		survey_release(&s);
		dev_close(dev, NULL);
	}
}

static int collect(void *arg, const void *data, size_t len, struct error *err)
{
	return buf_add(arg, data, len, err);
}

static int gunzip(const struct buf *file, size_t step, struct buf *out, struct error *err)
{
	CLEANUP(gunzip_cleanup) struct gunzip *g = gunzip_new(collect, out, err);

	assert_non_null(g);
	for (size_t at = 0; at < file->len; at += step)
		if (gunzip_push(g, file->data + at, MIN(step, file->len - at), err) < 0)
			return -1;
	return gunzip_end(g, err);
}

static void test_gzip(void **state)
{
	CLEANUP(deflate_cleanup) struct deflate *d = NULL;
	CLEANUP_BUF struct buf file = BUF_INIT(0);
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;
	char text[5000];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i * i % 26);
	d = deflate_new(0, &err);
	assert_non_null(d);
	assert_int_equal(deflate_gzip(d, text, 4000, &file, &err), 0);
	assert_int_equal(deflate_gzip(d, "", 0, &file, &err), 0);
	assert_int_equal(deflate_gzip(d, text + 4000, 1000, &file, &err), 0);
	for (size_t step = 1; step < file.len + 7; step += 7) {
		buf_clear(&out);
		assert_int_equal(gunzip(&file, step, &out, &err), 0);
		assert_int_equal(out.len, sizeof(text));
		assert_memory_equal(out.data, text, sizeof(text));
	}
	/* Each byte is looked at: a changed one, a missing end, something behind it. */
	for (size_t i = 0; i < file.len; i++) {
		bool named = i >= 4 && i <= 9; /* time, level and system of the header mean nothing */

		file.data[i] ^= 0x40;
		buf_clear(&out);
		error_clear(&err);
		if (gunzip(&file, 100, &out, &err) == 0 && !named)
			assert_true(out.len == sizeof(text) && !memcmp(out.data, text, sizeof(text)));
		file.data[i] ^= 0x40;
	}
	buf_clear(&out);
	assert_int_equal(buf_add(&file, "\0\0\0", 3, &err), 0);
	assert_int_equal(gunzip(&file, 10, &out, &err), 0);
	assert_int_equal(buf_add(&file, "x", 1, &err), 0);
	assert_int_equal(gunzip(&file, 10, &out, &err), -1);
	buf_truncate(&file, file.len - 6);
	error_clear(&err);
	assert_int_equal(gunzip(&file, 10, &out, &err), -1);
	assert_string_equal(err.text, "its gzip data ends too soon");
}

static void test_zlib(void **state)
{
	CLEANUP(deflate_cleanup) struct deflate *d = NULL;
	CLEANUP(inflate_cleanup) struct inflate *i = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;
	char text[5000] = "something", back[5001];

	(void)state;
	d = deflate_new(12, &err);
	i = inflate_new(&err);
	assert_non_null(d);
	assert_non_null(i);
	assert_int_equal(deflate_zlib(d, text, sizeof(text), &out, &err), 0);
	assert_int_equal(buf_add(&out, "padding", 7, &err), 0);
	assert_int_equal(inflate_zlib(i, out.data, out.len, back, sizeof(text), &err), 0);
	assert_memory_equal(back, text, sizeof(text));
	assert_int_equal(inflate_zlib(i, out.data, out.len, back, sizeof(text) + 1, &err), -1);
	assert_int_equal(inflate_zlib(i, out.data, out.len, back, sizeof(text) - 1, &err), -1);
	assert_int_equal(inflate_zlib(i, out.data, out.len - 9, back, sizeof(text), &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; format_names[i]; i++) {
		const struct format *f = format_find(format_names[i]);
		char path[64];

		assert_non_null(f);
		assert_string_equal(f->name, format_names[i]);
		snprintf(path, sizeof(path), "a/b%s", f->suffixes[0]);
		assert_string_equal(format_of_path(path)->suffixes[0], f->suffixes[0]);
		assert_int_equal(format_suffix_length(f, path), strlen(f->suffixes[0]));
	}
	assert_null(format_find("floppy"));
	assert_null(format_of_path("disk"));
	assert_null(format_of_path(".raw"));
	assert_null(format_of_path("a/.raw"));
	assert_string_equal(format_of_path("A.RAW")->name, "raw");
}

/* Every format writes the same into a file and into a pipe, with any number of workers. */
static void test_formats(void **state)
{
	(void)state;
	for (size_t i = 0; format_names[i]; i++) {
		const struct format *f = format_find(format_names[i]);
		uint8_t first[SHA256_SIZE];

		for (unsigned workers = 0; workers < 9; workers += 4) {
			struct format_write_opts opts = {.workers = workers, .digest = true, .spool_dir = "."};
			struct format_result result;
			struct error err = ERROR_INIT;
			struct dev *dev = make_disk();

			assert_int_equal(format_write(f, dev, "image", &opts, &result, &err), 0);
			dev_close(dev, NULL);
			if (!workers)
				memcpy(first, result.sha256, sizeof(first));
			assert_memory_equal(first, result.sha256, sizeof(first));
			unlink("image");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out_file),
		cmocka_unit_test(test_out_pipe),
		cmocka_unit_test(test_out_abort),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_chunks_fail),
		cmocka_unit_test(test_survey),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_zlib),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
