/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PE/COFF. Every number of the file is taken as hostile: it is widened to 64 bits and checked
 * before it is used, so that nothing below can overflow.
 */
#include "formats/pe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Offsets in the COFF header, behind "PE\0\0". */
enum { COFF_MACHINE = 4, COFF_SECTIONS = 6, COFF_SYMBOLS = 12, COFF_NR_SYMBOLS = 16,
	COFF_OPT_LEN = 20, COFF_SIZE = 24 };

/* Offsets in the optional header of a 64-bit image (PE32+). */
enum { OPT_DATA_SIZE = 8, OPT_SECTION_ALIGN = 32, OPT_FILE_ALIGN = 36, OPT_IMAGE_SIZE = 56,
	OPT_HEADERS_SIZE = 60, OPT_CHECKSUM = 64, OPT_NR_DIRS = 108, OPT_DIRS = 112 };

enum { SECTION_SIZE = 40, DIR_CERTIFICATES = 4, DIR_SIZE = 8 };
enum { PE32_PLUS = 0x20b, DOS_HEADER = 64, DOS_PE_OFF = 60, PAGE = 4096 };
/* IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ */
enum { READ_ONLY_DATA = 0x40000040 };
enum { HEADERS_MAX = 1 << 20, CHUNK = 256 << 10 };

static int bad(const struct pe_input *in, struct error *err, const char *what)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is no sound EFI binary: %s", in->name, what);
}

static int pread_checked(
	const struct pe_input *in, void *buf, uint64_t len, uint64_t off, struct error *err)
{
	if (off > in->size || len > in->size - off)
		return bad(in, err, "it is cut short");
	return in->pread(in->ctx, buf, (size_t)len, off, err);
}

/* Where the headers are, and that they are those of a 64-bit image. */
static int read_coff(struct pe *pe, const struct pe_input *in, struct error *err)
{
	uint8_t dos[DOS_HEADER], coff[COFF_SIZE], opt[OPT_DIRS];

	if (in->size < DOS_HEADER)
		return bad(in, err, "it is too short");
	if (pread_checked(in, dos, sizeof(dos), 0, err) < 0)
		return -1;
	if (memcmp(dos, "MZ", 2) != 0)
		return bad(in, err, "it does not begin with \"MZ\"");
	pe->pe_off = num_get_le32(dos + DOS_PE_OFF);
	if (pread_checked(in, coff, sizeof(coff), pe->pe_off, err) < 0)
		return -1;
	if (memcmp(coff, "PE\0\0", 4) != 0)
		return bad(in, err, "it has no PE header");
	pe->machine = num_get_le16(coff + COFF_MACHINE);
	pe->nr_sections = num_get_le16(coff + COFF_SECTIONS);
	pe->opt_len = num_get_le16(coff + COFF_OPT_LEN);
	if (pe->pe_off < DOS_HEADER || pe->pe_off > HEADERS_MAX)
		return bad(in, err, "its PE header is at an impossible place");
	pe->opt_off = pe->pe_off + COFF_SIZE;
	if (pe->nr_sections > PE_SECTIONS_MAX)
		return bad(in, err, "it has too many sections");
	if (pe->opt_len < OPT_DIRS)
		return bad(in, err, "its optional header is too short for a 64-bit image");
	if (pread_checked(in, opt, sizeof(opt), pe->opt_off, err) < 0)
		return -1;
	if (num_get_le16(opt) != PE32_PLUS)
		return bad(in, err, "it is not a 64-bit image (PE32+)");
	pe->section_align = num_get_le32(opt + OPT_SECTION_ALIGN);
	pe->file_align = num_get_le32(opt + OPT_FILE_ALIGN);
	pe->image_size = num_get_le32(opt + OPT_IMAGE_SIZE);
	pe->headers_len = num_get_le32(opt + OPT_HEADERS_SIZE);
	return 0;
}

static bool is_alignment(uint32_t v)
{
	return v && !(v & (v - 1)) && v <= 1u << 28;
}

static uint32_t table_off(const struct pe *pe)
{
	return pe->opt_off + pe->opt_len;
}

/* The entry of the data directory, or NULL when the headers end before it. */
static uint8_t *certificates_entry(const struct pe *pe)
{
	uint8_t *opt = pe->headers + pe->opt_off;

	if (num_get_le32(opt + OPT_NR_DIRS) <= DIR_CERTIFICATES ||
		pe->opt_len < OPT_DIRS + (DIR_CERTIFICATES + 1) * DIR_SIZE)
		return NULL;
	return opt + OPT_DIRS + DIR_CERTIFICATES * DIR_SIZE;
}

static int read_headers(struct pe *pe, const struct pe_input *in, struct error *err)
{
	const uint8_t *entry;

	if (!is_alignment(pe->section_align) || !is_alignment(pe->file_align))
		return bad(in, err, "its alignments are no powers of two");
	if (pe->headers_len > HEADERS_MAX ||
		(uint64_t)table_off(pe) + pe->nr_sections * SECTION_SIZE > pe->headers_len)
		return bad(in, err, "its section table is not in its headers");
	pe->headers = malloc(pe->headers_len);
	if (!pe->headers)
		return error_nomem(err, "the headers of an EFI binary");
	if (pread_checked(in, pe->headers, pe->headers_len, 0, err) < 0)
		return -1;
	entry = certificates_entry(pe);
	if (!entry || !num_get_le32(entry + 4))
		return 0;
	pe->cert_off = num_get_le32(entry);
	pe->cert_len = num_get_le32(entry + 4);
	if ((uint64_t)pe->cert_off + pe->cert_len > in->size || pe->cert_off < pe->headers_len)
		return bad(in, err, "its certificates lie outside the file");
	return 0;
}

static int read_section(struct pe *pe, const struct pe_input *in, unsigned i, struct error *err)
{
	const uint8_t *raw = pe->headers + table_off(pe) + i * SECTION_SIZE;
	struct pe_section *s = &pe->sections[i];
	uint64_t raw_end;

	memcpy(s->name, raw, PE_NAME_MAX);
	s->name[PE_NAME_MAX] = '\0';
	s->vsize = num_get_le32(raw + 8);
	s->vaddr = num_get_le32(raw + 12);
	s->raw_len = num_get_le32(raw + 16);
	s->raw_off = num_get_le32(raw + 20);
	if (!s->raw_len)
		s->raw_off = 0;
	raw_end = (uint64_t)s->raw_off + s->raw_len;
	if (raw_end > in->size)
		return bad(in, err, "a section lies outside the file");
	if (s->raw_len && s->raw_off < pe->headers_len)
		return bad(in, err, "a section lies over the headers");
	if (pe->cert_len && raw_end > pe->cert_off)
		return bad(in, err, "a section lies over the certificates");
	if ((uint64_t)s->vaddr + s->vsize > UINT32_MAX)
		return bad(in, err, "a section lies outside the address space");
	pe->end = MAX(pe->end, raw_end);
	return 0;
}

static bool over(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len && b_len && a < b + b_len && b < a + a_len;
}

static int check_overlaps(const struct pe *pe, const struct pe_input *in, struct error *err)
{
	for (unsigned i = 0; i < pe->nr_sections; i++) {
		const struct pe_section *a = &pe->sections[i];

		for (unsigned k = 0; k < i; k++) {
			const struct pe_section *b = &pe->sections[k];

			if (over(a->raw_off, a->raw_len, b->raw_off, b->raw_len) ||
				over(a->vaddr, a->vsize, b->vaddr, b->vsize))
				return bad(in, err, "two of its sections overlap");
		}
	}
	return 0;
}

int pe_read(struct pe *pe, const struct pe_input *input, struct error *err)
{
	memset(pe, 0, sizeof(*pe));
	if (read_coff(pe, input, err) < 0 || read_headers(pe, input, err) < 0)
		return -1;
	pe->end = pe->headers_len;
	for (unsigned i = 0; i < pe->nr_sections; i++)
		if (read_section(pe, input, i, err) < 0)
			return -1;
	return check_overlaps(pe, input, err);
}

void pe_release(struct pe *pe)
{
	free(pe->headers);
	pe->headers = NULL;
}

const struct pe_section *pe_find(const struct pe *pe, const char *name)
{
	for (unsigned i = 0; i < pe->nr_sections; i++)
		if (!strcmp(pe->sections[i].name, name))
			return &pe->sections[i];
	return NULL;
}

/* What lies behind the sections goes, and with it what the headers say of it. */
static int forget_rest(struct pe *pe, struct error *err)
{
	uint8_t *coff = pe->headers + pe->pe_off;

	num_put_le32(coff + COFF_SYMBOLS, 0);
	num_put_le32(coff + COFF_NR_SYMBOLS, 0);
	return pe->cert_len ? pe_set_certificates(pe, 0, 0, err) : 0;
}

/* Where the headers may grow to: the first content may begin before SizeOfHeaders is over. */
static int check_room(const struct pe *pe, struct error *err)
{
	uint64_t need = table_off(pe) + (uint64_t)(pe->nr_sections + 1) * SECTION_SIZE;

	if (pe->nr_sections < PE_SECTIONS_MAX && need <= pe->headers_len)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"the headers of the EFI binary have no room for another section than its %u",
		pe->nr_sections);
}

static void put_section(struct pe *pe, const struct pe_section *s)
{
	uint8_t *raw = pe->headers + table_off(pe) + pe->nr_sections * SECTION_SIZE;
	uint8_t *opt = pe->headers + pe->opt_off;

	memset(raw, 0, SECTION_SIZE);
	memcpy(raw, s->name, strnlen(s->name, PE_NAME_MAX));
	num_put_le32(raw + 8, s->vsize);
	num_put_le32(raw + 12, s->vaddr);
	num_put_le32(raw + 16, s->raw_len);
	num_put_le32(raw + 20, s->raw_off);
	num_put_le32(raw + 36, READ_ONLY_DATA);
	pe->sections[pe->nr_sections++] = *s;
	num_put_le16(pe->headers + pe->pe_off + COFF_SECTIONS, (uint16_t)pe->nr_sections);
	num_put_le32(opt + OPT_DATA_SIZE, num_get_le32(opt + OPT_DATA_SIZE) + s->raw_len);
	num_put_le32(opt + OPT_IMAGE_SIZE, pe->image_size);
	num_put_le32(opt + OPT_CHECKSUM, 0);
}

int pe_add_section(struct pe *pe, const char *name, uint64_t len, uint64_t vsize, uint64_t *raw_off,
	struct error *err)
{
	uint64_t align = MAX(pe->section_align, PAGE), vaddr = pe->image_size, off, raw_len, top;
	struct pe_section s = {.vsize = 0};

	if (check_room(pe, err) < 0 || forget_rest(pe, err) < 0)
		return -1;
	if (len > UINT32_MAX || vsize > UINT32_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"the section '%s' of an EFI binary would have over 4 GiB", name);
	for (unsigned i = 0; i < pe->nr_sections; i++)
		vaddr = MAX(vaddr, (uint64_t)pe->sections[i].vaddr + pe->sections[i].vsize);
	vaddr = num_align(vaddr, align);
	vsize = MAX(vsize, len);
	off = num_align(pe->end, pe->file_align);
	raw_len = num_align(len, pe->file_align);
	top = num_align(vaddr + vsize, align);
	if (top > UINT32_MAX || off + raw_len > UINT32_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"an EFI binary with the section '%s' would have over 4 GiB", name);
	memcpy(s.name, name, strnlen(name, PE_NAME_MAX));
	s.vsize = (uint32_t)vsize;
	s.vaddr = (uint32_t)vaddr;
	s.raw_len = (uint32_t)raw_len;
	s.raw_off = (uint32_t)off;
	pe->image_size = (uint32_t)top;
	pe->end = off + raw_len;
	put_section(pe, &s);
	*raw_off = off;
	return 0;
}

int pe_set_certificates(struct pe *pe, uint64_t off, uint64_t len, struct error *err)
{
	uint8_t *entry = certificates_entry(pe);

	if (!entry)
		return error_set(err, ERROR_INPUT, 0,
			"the headers of the EFI binary have no field for a signature");
	if (off > UINT32_MAX || len > UINT32_MAX)
		return error_set(err, ERROR_INPUT, 0, "an EFI binary of over 4 GiB cannot be signed");
	pe->cert_off = (uint32_t)off;
	pe->cert_len = (uint32_t)len;
	num_put_le32(entry, pe->cert_off);
	num_put_le32(entry + 4, pe->cert_len);
	return 0;
}

static int hash_range(struct sha256 *h, const struct pe_input *in, uint64_t off, uint64_t end,
	struct error *err)
{
	CLEANUP_FREE uint8_t *chunk = malloc(CHUNK);

	if (!chunk)
		return error_nomem(err, "a buffer");
	while (off < end) {
		size_t n = (size_t)MIN(end - off, CHUNK);

		if (pread_checked(in, chunk, n, off, err) < 0 || sha256_update(h, chunk, n, err) < 0)
			return -1;
		off += n;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct pe_section *sa = a, *sb = b;

	return sa->raw_off < sb->raw_off ? -1 : sa->raw_off > sb->raw_off;
}

/* The headers without checksum and place of the certificates. */
static int hash_headers(
	struct sha256 *h, const struct pe *pe, const struct pe_input *in, struct error *err)
{
	uint64_t checksum = pe->opt_off + OPT_CHECKSUM;
	const uint8_t *entry = certificates_entry(pe);
	uint64_t dir = entry ? (uint64_t)(entry - pe->headers) : checksum + 4;

	if (hash_range(h, in, 0, checksum, err) < 0 ||
		hash_range(h, in, checksum + 4, dir, err) < 0)
		return -1;
	return hash_range(h, in, entry ? dir + DIR_SIZE : dir, pe->headers_len, err);
}

static int hash_all(
	struct sha256 *h, const struct pe *pe, const struct pe_input *in, struct error *err)
{
	uint64_t end = pe->cert_len ? pe->cert_off : in->size, sum = pe->headers_len;
	struct pe_section sorted[PE_SECTIONS_MAX];

	if (pe->cert_len && (uint64_t)pe->cert_off + pe->cert_len != in->size)
		return bad(in, err, "something follows its certificates");
	if (hash_headers(h, pe, in, err) < 0)
		return -1;
	memcpy(sorted, pe->sections, pe->nr_sections * sizeof(*sorted));
	qsort(sorted, pe->nr_sections, sizeof(*sorted), by_place);
	for (unsigned i = 0; i < pe->nr_sections; i++) {
		uint64_t off = sorted[i].raw_off;

		if (hash_range(h, in, off, off + sorted[i].raw_len, err) < 0)
			return -1;
		sum += sorted[i].raw_len;
	}
	/* As firmware does it: so much from the end, wherever gaps between sections have been. */
	return hash_range(h, in, sum, end, err);
}

int pe_digest(const struct pe *pe, const struct pe_input *input, uint8_t out[SHA256_SIZE],
	struct error *err)
{
	struct sha256 *h = sha256_new(err);
	int r;

	if (!h)
		return -1;
	r = hash_all(h, pe, input, err);
	if (!r)
		r = sha256_final(h, out, err);
	sha256_free(h);
	return r;
}
