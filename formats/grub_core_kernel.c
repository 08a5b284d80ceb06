/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB's kernel.img, an ELF file for a fixed address, as the bytes that must lie there. GRUB takes
 * its own length from where its data ends, so the modules must begin exactly there: at the end of
 * what the loaded segments have in the file.
 *
 * Source: System V ABI, edition 4.1, chapter 5 (program header).
 */
#include "formats/grub_core_internal.h"

#include <string.h>

#include "base/num.h"

enum {
	ELF_HEADER = 52,
	ELF_MACHINE = 18, ELF_PHOFF = 28, ELF_PHENTSIZE = 42, ELF_PHNUM = 44,
	ELF_MACHINE_386 = 3,
	PH_SIZE = 32, PH_OFFSET = 4, PH_VADDR = 8, PH_FILESZ = 16, PH_MEMSZ = 20,
	PH_LOAD = 1,
	KERNEL_END = 0x68000, /* util/mkimage.c: where kernel and .bss must end */
};

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERROR_INPUT, 0, "GRUB's kernel.img is no ELF file for i386-pc: %s", what);
}

/* Puts one loaded segment to its place behind start in out, which grows as needed. */
static int add_segment(const struct buf *elf, const uint8_t *ph, struct buf *out, size_t start,
	uint64_t *end, struct error *err)
{
	uint64_t off = num_get_le32(ph + PH_OFFSET), vaddr = num_get_le32(ph + PH_VADDR);
	uint64_t file = num_get_le32(ph + PH_FILESZ), mem = num_get_le32(ph + PH_MEMSZ);
	size_t at, have = out->len - start;

	if (off + file > elf->len || mem < file)
		return damaged(err, "a segment lies outside the file");
	if (vaddr < GRUB_LINK_ADDR || vaddr + mem > KERNEL_END)
		return damaged(err, "a segment does not lie between 0x9000 and 0x68000");
	at = vaddr - GRUB_LINK_ADDR;
	if (at + file > have) {
		void *more = buf_extend(out, at + file - have, err);

		if (!more)
			return -1;
		memset(more, 0, at + file - have);
	}
	memcpy(out->data + start + at, elf->data + off, file);
	*end = MAX(*end, vaddr + mem);
	return 0;
}

int grub_core_kernel(const struct buf *elf, struct buf *out, uint64_t *end, struct error *err)
{
	static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 1, 1}; /* 32 bits, little-endian */
	const uint8_t *h = (const uint8_t *)elf->data;
	size_t start = out->len;
	uint64_t phoff, phnum;

	*end = 0;
	if (elf->len < ELF_HEADER || memcmp(h, ident, sizeof(ident)) != 0 ||
		num_get_le16(h + ELF_MACHINE) != ELF_MACHINE_386)
		return damaged(err, "bad header");
	phoff = num_get_le32(h + ELF_PHOFF);
	phnum = num_get_le16(h + ELF_PHNUM);
	if (num_get_le16(h + ELF_PHENTSIZE) != PH_SIZE || phoff + phnum * PH_SIZE > elf->len)
		return damaged(err, "bad program header");
	for (uint64_t i = 0; i < phnum; i++) {
		const uint8_t *ph = h + phoff + i * PH_SIZE;

		if (num_get_le32(ph) == PH_LOAD && add_segment(elf, ph, out, start, end, err) < 0)
			return -1;
	}
	return *end > 0 ? 0 : damaged(err, "nothing to load");
}
