/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PE/COFF images as UEFI starts them: boot loaders, stubs, kernels. Reads the headers of one, adds
 * sections behind those that are there (that makes a unified kernel image out of a stub), and gives
 * the digest that a signature is over. Contents are never held: they are read through a struct
 * pe_input, and written by the caller where the sections say.
 *
 *   ┌──────────┬──────────────┬───────────────┬─────────┬─ … ─┬──────────────┐
 *   │ MZ, stub │ PE\0\0, COFF │ section table │ section │     │ certificates │
 *   │          │ and optional │ + room        │         │     │              │
 *   └──────────┴──────────────┴───────────────┴─────────┴─ … ─┴──────────────┘
 *   0          pe_off                         headers_len      cert_off
 *
 * Sources: Microsoft's "PE Format" and "Windows Authenticode Portable Executable Signature Format"
 * (the digest), UEFI 2.10 section 32.
 */
#ifndef AMIWRIGHT_FORMATS_PE_H
#define AMIWRIGHT_FORMATS_PE_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum { PE_MACHINE_X86_64 = 0x8664, PE_MACHINE_ARM64 = 0xaa64 };
enum { PE_SECTIONS_MAX = 96, PE_NAME_MAX = 8 };
enum { PE_CERT_ALIGN = 8, PE_CERT_HEADER = 8 };

struct pe_input {
	const char *name; /* for messages; borrowed */
	uint64_t size;    /* bytes */
	void *ctx;
	/* Exactly len bytes at off, which lie inside size. */
	int (*pread)(void *ctx, void *buf, size_t len, uint64_t off, struct error *err);
};

struct pe_section {
	char name[PE_NAME_MAX + 1];
	uint32_t vsize, vaddr;     /* bytes in memory, and where from the image's base */
	uint32_t raw_len, raw_off; /* bytes in the file; raw_len may be more or less than vsize */
};

struct pe {
	uint16_t machine;
	uint32_t pe_off, opt_off, opt_len; /* of the headers, in the file */
	uint32_t section_align, file_align;
	uint32_t image_size;         /* SizeOfImage */
	uint32_t cert_off, cert_len; /* the table of certificates; 0, 0: none */
	uint8_t *headers;            /* the first headers_len bytes of the file; owned */
	uint32_t headers_len;        /* SizeOfHeaders */
	struct pe_section sections[PE_SECTIONS_MAX];
	unsigned nr_sections;
	uint64_t end;                /* of all that is loaded: headers and sections, bytes in the file */
};

/*
 * Reads and checks the headers: 64-bit, all offsets inside the file, no two sections over one
 * another in the file or in memory. ERROR_INPUT otherwise, naming input->name and what is wrong.
 * Release in any case.
 */
int pe_read(struct pe *pe, const struct pe_input *input, struct error *err) MUST_CHECK;
void pe_release(struct pe *pe);

/* The section called name, or NULL. */
const struct pe_section *pe_find(const struct pe *pe, const char *name);

/*
 * Adds a section of len bytes of content and at least vsize bytes in memory (read-only data) to the
 * headers, behind all others in file and memory; *raw_off is where its content belongs, and up to
 * pe->end zeros follow. What lay behind the sections (symbols, certificates) is dropped; the
 * checksum becomes 0, which UEFI does not look at. ERROR_INPUT when the headers have no room, or
 * with over 4 GiB.
 */
int pe_add_section(struct pe *pe, const char *name, uint64_t len, uint64_t vsize, uint64_t *raw_off,
	struct error *err) MUST_CHECK;

/* Writes into the headers where the table of certificates is; ERROR_INPUT when they have no field. */
int pe_set_certificates(struct pe *pe, uint64_t off, uint64_t len, struct error *err) MUST_CHECK;

/*
 * The Authenticode digest (SHA-256): everything but checksum, place of the certificates, and the
 * certificates, which must be the last of the file.
 */
int pe_digest(const struct pe *pe, const struct pe_input *input, uint8_t out[SHA256_SIZE],
	struct error *err) MUST_CHECK;

#endif
