/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PE images: hostile headers, sections that are added, the digest that is signed. Foreign eyes on
 * whole images (objdump, sbverify) are in test_loader_uki.c.
 */
#include "formats/pe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

/* Where this file's images have their fields. */
enum { PE_OFF = 0x80, OPT = PE_OFF + 24, OPT_LEN = 240, TABLE = OPT + OPT_LEN, HEADERS = 0x400 };
enum { SIZE = 0x800 };

struct image {
	uint8_t *data; /* on the heap, so that a read too far is seen */
	size_t size;
};

static int image_pread(void *ctx, void *buf, size_t len, uint64_t off, struct error *err)
{
	const struct image *img = ctx;

	(void)err;
	assert_true(off <= img->size && len <= img->size - off);
	memcpy(buf, img->data + off, len);
	return 0;
}

static struct pe_input input_of(struct image *img)
{
	return (struct pe_input){"x.efi", img->size, img, image_pread};
}

static void put_section(struct image *img, unsigned i, const char *name, uint32_t vaddr,
	uint32_t vsize, uint32_t raw_off, uint32_t raw_len)
{
	uint8_t *s = img->data + TABLE + 40 * i;

	memcpy(s, name, strlen(name));
	num_put_le32(s + 8, vsize);
	num_put_le32(s + 12, vaddr);
	num_put_le32(s + 16, raw_len);
	num_put_le32(s + 20, raw_off);
}

/* Two sections of 0x200 bytes behind headers of 0x400. */
static struct image sound(void)
{
	struct image img = {calloc(1, SIZE), SIZE};
	uint8_t *d = img.data;

	assert_non_null(d);
	memcpy(d, "MZ", 2);
	num_put_le32(d + 60, PE_OFF);
	memcpy(d + PE_OFF, "PE\0\0", 4);
	num_put_le16(d + PE_OFF + 4, PE_MACHINE_X86_64);
	num_put_le16(d + PE_OFF + 6, 2);
	num_put_le16(d + PE_OFF + 20, OPT_LEN);
	num_put_le16(d + OPT, 0x20b);
	num_put_le32(d + OPT + 32, 0x1000);
	num_put_le32(d + OPT + 36, 0x200);
	num_put_le32(d + OPT + 56, 0x3000);
	num_put_le32(d + OPT + 60, HEADERS);
	num_put_le32(d + OPT + 64, 0x12345678);
	num_put_le32(d + OPT + 108, 16);
	put_section(&img, 0, ".text", 0x1000, 0x180, 0x400, 0x200);
	put_section(&img, 1, ".data", 0x2000, 0x1000, 0x600, 0x200);
	for (unsigned i = HEADERS; i < SIZE; i++)
		d[i] = (uint8_t)(i * 7);
	return img;
}

static void refused(struct image *img, const char *why)
{
	struct error err = ERROR_INIT;
	struct pe_input in = input_of(img);
	struct pe pe;

	assert_int_equal(pe_read(&pe, &in, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "x.efi"));
	if (!strstr(err.text, why))
		fail_msg("'%s' has no '%s'", err.text, why);
	pe_release(&pe);
	free(img->data);
}

static void test_read(void **state)
{
	struct error err = ERROR_INIT;
	struct image img = sound();
	struct pe_input in = input_of(&img);
	struct pe pe;

	(void)state;
	assert_int_equal(pe_read(&pe, &in, &err), 0);
	assert_int_equal(pe.machine, PE_MACHINE_X86_64);
	assert_int_equal(pe.nr_sections, 2);
	assert_true(pe.end == SIZE && pe.headers_len == HEADERS && !pe.cert_len);
	assert_int_equal(pe_find(&pe, ".data")->raw_off, 0x600);
	assert_null(pe_find(&pe, ".dat"));
	pe_release(&pe);
	free(img.data);
}

/* One field at a time. */
static void test_hostile(void **state)
{
	static const struct {
		unsigned off, bytes;
		uint32_t value;
		const char *why;
	} cases[] = {
		{0, 2, 0, "MZ"},
		{60, 4, 0xfffffff0, "cut short"},
		{60, 4, SIZE - 8, "cut short"},
		{60, 4, 0x84, "no PE header"},
		{PE_OFF, 4, 0, "no PE header"},
		{PE_OFF + 6, 2, 0xffff, "too many"},
		{PE_OFF + 6, 2, 96, "section table"},
		{PE_OFF + 20, 2, 96, "too short for a 64-bit"},
		{PE_OFF + 20, 2, 0xffff, "section table"},
		{OPT, 2, 0x10b, "64-bit"},
		{OPT + 32, 4, 0, "alignments"},
		{OPT + 36, 4, 0x300, "alignments"},
		{OPT + 60, 4, 0xffffffff, "section table"},
		{OPT + 60, 4, 0x10000, "cut short"},
		{OPT + 60, 4, 0, "section table"},
		{TABLE + 20, 4, 0x7ff, "outside the file"},
		{TABLE + 20, 4, 0xffffff00, "outside the file"},
		{TABLE + 20, 4, 0x100, "over the headers"},
		{TABLE + 20, 4, 0x500, "overlap"},
		{TABLE + 12, 4, 0x2fff, "overlap"},
		{TABLE + 12, 4, 0xffffffff, "address space"},
		{TABLE + 8, 4, 0xffffffff, "address space"},
		{OPT + 112 + 36, 4, 8, "certificates"}, /* offset 0 */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image img = sound();

		if (cases[i].bytes == 2)
			num_put_le16(img.data + cases[i].off, (uint16_t)cases[i].value);
		else
			num_put_le32(img.data + cases[i].off, cases[i].value);
		refused(&img, cases[i].why);
	}
}

/* Cut at each byte of the headers: an error, never a read too far. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t size = 0; size < SIZE; size++) {
		struct image whole = sound();
		struct image img = {malloc(size ? size : 1), size};

		assert_non_null(img.data);
		memcpy(img.data, whole.data, size);
		free(whole.data);
		refused(&img, "no sound EFI binary");
	}
}

static void test_add_section(void **state)
{
	struct error err = ERROR_INIT;
	struct image img = sound();
	struct pe_input in = input_of(&img);
	struct image grown = {NULL, 0x800 + 0x400 + 0x200};
	struct pe pe, again;
	uint64_t off;

	(void)state;
	num_put_le32(img.data + PE_OFF + 12, 0x700);
	assert_int_equal(pe_read(&pe, &in, &err), 0);
	assert_int_equal(pe_add_section(&pe, ".cmdline", 0x201, 0, &off, &err), 0);
	assert_int_equal(off, 0x800);
	assert_int_equal(pe_add_section(&pe, ".linux", 1, 0x2345, &off, &err), 0);
	assert_int_equal(off, 0xc00);
	assert_int_equal(pe.end, grown.size);

	grown.data = calloc(1, grown.size);
	assert_non_null(grown.data);
	memcpy(grown.data, img.data, SIZE);
	memcpy(grown.data, pe.headers, pe.headers_len);
	in = input_of(&grown);
	assert_int_equal(pe_read(&again, &in, &err), 0);
	assert_int_equal(again.nr_sections, 4);
	assert_int_equal(again.image_size, 0x4000 + 0x3000);
	assert_int_equal(pe_find(&again, ".cmdline")->vaddr, 0x3000);
	assert_int_equal(pe_find(&again, ".cmdline")->vsize, 0x201);
	assert_int_equal(pe_find(&again, ".cmdline")->raw_len, 0x400);
	assert_int_equal(pe_find(&again, ".linux")->vaddr, 0x4000);
	assert_int_equal(pe_find(&again, ".linux")->vsize, 0x2345);
	assert_int_equal(num_get_le32(again.headers + OPT + 64), 0);     /* checksum */
	assert_int_equal(num_get_le32(again.headers + PE_OFF + 12), 0);  /* symbols */
	pe_release(&again);

	assert_int_equal(pe_add_section(&pe, ".big", UINT32_MAX - 0x1000, 0, &off, &err), -1);
	assert_non_null(strstr(err.text, "4 GiB"));
	while (!pe_add_section(&pe, ".x", 1, 1, &off, &err))
		;
	assert_non_null(strstr(err.text, "no room"));
	assert_true(TABLE + 40 * pe.nr_sections <= HEADERS);
	assert_true(TABLE + 40 * (pe.nr_sections + 1) > HEADERS);
	pe_release(&pe);
	free(img.data);
	free(grown.data);
}

static void digest_of(struct image *img, uint8_t out[SHA256_SIZE])
{
	struct error err = ERROR_INIT;
	struct pe_input in = input_of(img);
	struct pe pe;

	assert_int_equal(pe_read(&pe, &in, &err), 0);
	assert_int_equal(pe_digest(&pe, &in, out, &err), 0);
	pe_release(&pe);
}

/* All bytes count but checksum, place of certificates and the certificates. */
static void test_digest(void **state)
{
	struct image img = sound();
	uint8_t plain[SHA256_SIZE], other[SHA256_SIZE];
	struct image cert = {calloc(1, SIZE + 16), SIZE + 16};

	(void)state;
	digest_of(&img, plain);
	for (unsigned off = HEADERS - 1; off < SIZE; off += 97) {
		img.data[off] ^= 1;
		digest_of(&img, other);
		assert_memory_not_equal(plain, other, sizeof(plain));
		img.data[off] ^= 1;
	}
	img.data[OPT + 65] ^= 1;
	digest_of(&img, other);
	assert_memory_equal(plain, other, sizeof(plain));

	assert_non_null(cert.data);
	memcpy(cert.data, img.data, SIZE);
	num_put_le32(cert.data + OPT + 112 + 32, SIZE);
	num_put_le32(cert.data + OPT + 112 + 36, 16);
	digest_of(&cert, other);
	assert_memory_equal(plain, other, sizeof(plain));
	free(cert.data);
	free(img.data);
}

static void test_certificates(void **state)
{
	struct error err = ERROR_INIT;
	struct image img = sound();
	struct pe_input in = input_of(&img);
	uint8_t digest[SHA256_SIZE];
	struct pe pe;

	(void)state;
	/* Something behind the certificates would be signed by nobody. */
	num_put_le32(img.data + OPT + 112 + 32, 0x700);
	num_put_le32(img.data + OPT + 112 + 36, 0x80);
	num_put_le32(img.data + TABLE + 40 + 16, 0x100);
	assert_int_equal(pe_read(&pe, &in, &err), 0);
	assert_int_equal(pe_digest(&pe, &in, digest, &err), -1);
	assert_non_null(strstr(err.text, "follows"));
	pe_release(&pe);
	/* Headers with fewer directories have no place for them. */
	num_put_le32(img.data + OPT + 108, 4);
	assert_int_equal(pe_read(&pe, &in, &err), 0);
	assert_int_equal(pe_set_certificates(&pe, SIZE, 8, &err), -1);
	assert_int_equal(pe_digest(&pe, &in, digest, &err), 0);
	pe_release(&pe);
	free(img.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_add_section),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
