/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining the core image; the formats are in the header. The LZMA stream is liblzma's, so the same
 * payload may have another stream where the library's encoder changed; GRUB decodes all of them.
 */
#include "formats/grub_core.h"

#include <string.h>

#include <lzma.h>

#include "base/num.h"
#include "formats/grub_core_internal.h"

enum {
	INFO_SIZE = 12,                /* magic, offset, size */
	/* Fields of lzma_decompress.img. */
	DECOMPRESS_COMPRESSED = 0x08, DECOMPRESS_UNCOMPRESSED = 0x0c,
	DECOMPRESS_MIN = 0x20, DECOMPRESS_MAX = 0x9000 - 0x8200,
	/* util/mkimage.c: what the boot code loads must end below this address. */
	CORE_END = 0x78000,
	/* The block list: one entry at the end of diskboot.img, one of zeros before it. */
	BLOCK_SIZE = 12, BLOCK_SEGMENT = 0x820,
	/* Fields of boot.img. */
	BOOT_KERNEL_SECTOR = 0x5c, BOOT_DRIVE = 0x64, BOOT_DRIVE_CHECK = 0x66,
	PAYLOAD_MAX = 32 << 20,
};

int grub_core_load(const struct grub_core_in *in, const char *name, struct buf *out,
	struct error *err)
{
	bool found;

	if (in->load(in->arg, name, out, &found, err) < 0)
		return -1;
	if (!found)
		return error_set(err, ERROR_INPUT, 0, "GRUB's file '%s' is missing", name);
	return 0;
}

/* Header, bytes and zeros up to a multiple of 4, which count as part of the object. */
static int add_object(struct buf *out, uint32_t type, const void *data, size_t len, size_t padded,
	struct error *err)
{
	uint8_t *p = buf_extend(out, GRUB_OBJ_HEADER + padded, err);

	if (!p)
		return -1;
	num_put_le32(p, type);
	num_put_le32(p + 4, (uint32_t)(GRUB_OBJ_HEADER + padded));
	if (len > 0)
		memcpy(p + GRUB_OBJ_HEADER, data, len);
	memset(p + GRUB_OBJ_HEADER + len, 0, padded - len);
	return 0;
}

/* Texts end with a NUL. */
static int add_text(struct buf *out, uint32_t type, const char *text, struct error *err)
{
	size_t len = strlen(text);

	return add_object(out, type, text, len, num_align(len + 1, 4), err);
}

static int add_module(const struct grub_core_in *in, const char *name, struct buf *out,
	struct error *err)
{
	CLEANUP_BUF struct buf content = BUF_INIT(GRUB_FILE_MAX);
	CLEANUP_FREE char *file = buf_strf(err, "%s.mod", name);

	if (!file || grub_core_load(in, file, &content, err) < 0)
		return -1;
	if (content.len < 4 || memcmp(content.data, "\177ELF", 4) != 0)
		return error_set(err, ERROR_INPUT, 0, "GRUB's file '%s' is no module", file);
	return add_object(out, GRUB_OBJ_ELF, content.data, content.len, num_align(content.len, 4),
		err);
}

static int add_objects(const struct grub_core_in *in, struct buf *out, struct error *err)
{
	struct grub_module_list list;
	int r = grub_core_modules(in, &list, err);

	for (size_t i = 0; r == 0 && i < list.nr; i++)
		r = add_module(in, list.names[i], out, err);
	grub_module_list_release(&list);
	if (r == 0 && in->config)
		r = add_text(out, GRUB_OBJ_CONFIG, in->config, err);
	if (r == 0 && in->prefix)
		r = add_text(out, GRUB_OBJ_PREFIX, in->prefix, err);
	return r;
}

int grub_core_payload(const struct grub_core_in *in, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf elf = BUF_INIT(GRUB_FILE_MAX);
	uint64_t end;
	size_t info;
	uint8_t *p;

	if (grub_core_load(in, "kernel.img", &elf, err) < 0 ||
		grub_core_kernel(&elf, out, &end, err) < 0)
		return -1;
	info = out->len;
	if (!buf_extend(out, INFO_SIZE, err) || add_objects(in, out, err) < 0)
		return -1;
	p = (uint8_t *)out->data + info;
	num_put_le32(p, GRUB_MODULE_MAGIC);
	num_put_le32(p + 4, INFO_SIZE);
	num_put_le32(p + 8, (uint32_t)(out->len - info));
	return 0;
}

/* Appends the raw LZMA1 stream of data. */
static int compress(const struct buf *data, struct buf *out, struct error *err)
{
	lzma_options_lzma opts = {
		.dict_size = 1 << 16, .lc = 3, .lp = 0, .pb = 2, .mode = LZMA_MODE_NORMAL,
		.nice_len = 273, .mf = LZMA_MF_BT4, .depth = 0,
	};
	lzma_filter filters[] = {
		{.id = LZMA_FILTER_LZMA1, .options = &opts}, {.id = LZMA_VLI_UNKNOWN}};
	/* What cannot be made smaller grows by less than this; it would not fit anyway. */
	size_t room = data->len + data->len / 16 + 4096, used = 0, start = out->len;
	uint8_t *p = buf_extend(out, room, err);
	lzma_ret r;

	if (!p)
		return -1;
	r = lzma_raw_buffer_encode(
		filters, NULL, (const uint8_t *)data->data, data->len, p, &used, room);
	if (r == LZMA_MEM_ERROR)
		return error_nomem(err, "GRUB's core image");
	if (r != LZMA_OK)
		return error_set(err, ERROR_BUG, 0, "liblzma cannot compress GRUB's core image (%d)",
			(int)r);
	buf_truncate(out, start + used);
	return 0;
}

static int check_stages(const struct buf *diskboot, const struct buf *decompress, struct error *err)
{
	if (diskboot->len != GRUB_SECTOR)
		return error_set(err, ERROR_INPUT, 0, "GRUB's diskboot.img has %zu bytes, not %d",
			diskboot->len, GRUB_SECTOR);
	if (decompress->len < DECOMPRESS_MIN || decompress->len > DECOMPRESS_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB's lzma_decompress.img has %zu bytes, not %d to %d", decompress->len,
			DECOMPRESS_MIN, DECOMPRESS_MAX);
	return 0;
}

static int pad(struct buf *out, struct error *err)
{
	size_t more = num_align(out->len, GRUB_SECTOR) - out->len;
	void *p = buf_extend(out, more, err);

	if (!p)
		return -1;
	memset(p, 0, more);
	return 0;
}

int grub_core_make(const struct grub_core_in *in, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf diskboot = BUF_INIT(GRUB_FILE_MAX);
	CLEANUP_BUF struct buf decompress = BUF_INIT(GRUB_FILE_MAX);
	CLEANUP_BUF struct buf payload = BUF_INIT(PAYLOAD_MAX);
	CLEANUP_BUF struct buf core = BUF_INIT(2 * PAYLOAD_MAX);
	size_t head;
	uint8_t *p;

	if (grub_core_load(in, "diskboot.img", &diskboot, err) < 0 ||
		grub_core_load(in, "lzma_decompress.img", &decompress, err) < 0 ||
		check_stages(&diskboot, &decompress, err) < 0 ||
		grub_core_payload(in, &payload, err) < 0)
		return -1;
	head = diskboot.len + decompress.len;
	if (buf_add(&core, diskboot.data, diskboot.len, err) < 0 ||
		buf_add(&core, decompress.data, decompress.len, err) < 0 ||
		compress(&payload, &core, err) < 0)
		return -1;
	if (GRUB_LINK_ADDR + core.len - diskboot.len > CORE_END)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB's core image has %zu bytes; the boot code loads at most %d", core.len,
			CORE_END - GRUB_LINK_ADDR + GRUB_SECTOR);
	p = (uint8_t *)core.data + GRUB_SECTOR;
	num_put_le32(p + DECOMPRESS_COMPRESSED, (uint32_t)(core.len - head));
	num_put_le32(p + DECOMPRESS_UNCOMPRESSED, (uint32_t)payload.len);
	if (pad(&core, err) < 0)
		return -1;
	grub_core_place((uint8_t *)core.data, core.len, 1);
	return buf_add(out, core.data, core.len, err);
}

void grub_core_place(uint8_t *core, size_t len, uint64_t lba)
{
	uint8_t *block = core + GRUB_SECTOR - BLOCK_SIZE;

	num_put_le64(block, lba + 1);
	num_put_le16(block + 8, (uint16_t)(len / GRUB_SECTOR - 1));
	num_put_le16(block + 10, BLOCK_SEGMENT);
}

int grub_boot_code(const struct buf *boot_img, uint8_t out[GRUB_BOOT_CODE], struct error *err)
{
	if (boot_img->len != GRUB_SECTOR ||
		num_get_le16(boot_img->data + GRUB_SECTOR - 2) != 0xaa55)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB's boot.img is no boot sector of %d bytes", GRUB_SECTOR);
	memcpy(out, boot_img->data, GRUB_BOOT_CODE);
	return 0;
}

/* Some BIOSes hand over a floppy's number for a disk: with the jump gone the code looks for it. */
void grub_boot_code_place(uint8_t code[GRUB_BOOT_CODE], uint64_t lba)
{
	num_put_le64(code + BOOT_KERNEL_SECTOR, lba);
	code[BOOT_DRIVE] = 0xff;
	memset(code + BOOT_DRIVE_CHECK, 0x90, 2);
}
