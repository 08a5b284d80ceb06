/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor that we write. Nothing of it comes from the clock or from chance: CID, which tells
 * whether a disk has changed, is of the content.
 */
#include "formats/vmdk_descriptor.h"

#include <string.h>

#include "base/num.h"
#include "formats/vmdk_header.h"

/*
 * The file that an embedded descriptor names is the one that it is in: readers do not look at the
 * name. It cannot be the real one, as the bytes do not depend on where they go.
 */
#define FILE_NAME "disk.vmdk"

enum {
	/* What peers write for want of a machine: ESX 3 and earlier looked at it. */
	HARDWARE_VERSION = 4,
	TOOLS_VERSION = 0x7fffffff, /* the guest's own tools (open-vm-tools) */
	TOOLS_UNMANAGED = 4,
	CYLINDERS_MAX = 65535,
	CYLINDERS_MAX_IDE = 16383,
	HEADS_MAX = 255,
	SECTORS_MAX = 63,
	CID_NONE = 0, /* and 2^32 - 1 (no parent), 2^32 - 2 (not to be trusted) */
};

struct chs {
	uint32_t cylinders, heads, sectors;
};

static const char *const adapters[] = {
	"lsilogic", "buslogic", "ide", "lsisas1068", "pvscsi", "legacyESX", NULL};

static const char *adapter_of(const struct format_write_opts *opts)
{
	return opts->adapter ? opts->adapter : adapters[0];
}

static int check_adapter(const char *adapter, struct error *err)
{
	for (size_t i = 0; adapters[i]; i++) {
		if (strcmp(adapters[i], adapter) == 0)
			return 0;
	}
	return error_set(err, ERROR_USAGE, 0,
		"--adapter: '%s' is not known to VMDK; there are lsilogic, buslogic, ide, lsisas1068, "
		"pvscsi, legacyESX",
		adapter);
}

static int check_geometry(const struct format_write_opts *opts, struct error *err)
{
	uint32_t c = opts->geometry.cylinders, h = opts->geometry.heads, s = opts->geometry.sectors;

	if (!c && !h && !s)
		return 0;
	if (c && c <= CYLINDERS_MAX && h && h <= HEADS_MAX && s && s <= SECTORS_MAX)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"--geometry: %u/%u/%u is not possible: up to %d cylinders, %d heads and %d sectors, "
		"each at least 1",
		c, h, s, CYLINDERS_MAX, HEADS_MAX, SECTORS_MAX);
}

int vmdk_check(const struct format_write_opts *opts, struct error *err)
{
	if (check_adapter(adapter_of(opts), err) < 0)
		return -1;
	return check_geometry(opts, err);
}

int vmdk_disk_size(uint64_t size, uint64_t max, uint64_t *out, struct error *err)
{
	char text[NUM_SIZE_TEXT], most[NUM_SIZE_TEXT];

	if (size > max)
		return error_set(err, ERROR_INPUT, 0, "a VMDK of this kind holds up to %s: the disk has %s",
			num_format_size(most, max), num_format_size(text, size));
	*out = num_align(size, VMDK_GRAIN);
	return 0;
}

/* IDE as ATA has it; SCSI as the BIOS of BusLogic and its followers translated by size. */
static struct chs derive_chs(uint64_t sectors, bool ide)
{
	struct chs g = {.heads = 16, .sectors = 63};
	uint64_t cylinders;

	if (!ide && sectors >= 2 * GIB / VMDK_SECTOR)
		g.heads = 255;
	else if (!ide) {
		g.heads = sectors >= GIB / VMDK_SECTOR ? 128 : 64;
		g.sectors = 32;
	}
	cylinders = sectors / (g.heads * g.sectors);
	cylinders = MIN(cylinders, (uint64_t)(ide ? CYLINDERS_MAX_IDE : CYLINDERS_MAX));
	g.cylinders = (uint32_t)MAX(cylinders, 1U);
	return g;
}

static struct chs chs_of(uint64_t sectors, const struct format_write_opts *opts)
{
	if (opts->geometry.cylinders)
		return (struct chs){
			opts->geometry.cylinders, opts->geometry.heads, opts->geometry.sectors};
	return derive_chs(sectors, strcmp(adapter_of(opts), "ide") == 0);
}

static uint32_t make_cid(const uint8_t id[SHA256_SIZE])
{
	uint32_t cid = num_get_le32(id);

	return cid == CID_NONE || cid >= UINT32_MAX - 1 ? cid ^ 0x80000000 : cid;
}

static int add_hardware(
	struct buf *out, const struct chs *g, const struct format_write_opts *opts, struct error *err)
{
	return buf_addf(out, err,
		"ddb.virtualHWVersion = \"%u\"\n"
		"ddb.geometry.cylinders = \"%u\"\n"
		"ddb.geometry.heads = \"%u\"\n"
		"ddb.geometry.sectors = \"%u\"\n"
		"ddb.adapterType = \"%s\"\n"
		"ddb.toolsInstallType = \"%d\"\n"
		"ddb.toolsVersion = \"%u\"\n",
		opts->hardware_version ? opts->hardware_version : HARDWARE_VERSION, g->cylinders, g->heads,
		g->sectors, adapter_of(opts), TOOLS_UNMANAGED,
		opts->tools_version ? opts->tools_version : TOOLS_VERSION);
}

int vmdk_descriptor_make(struct buf *out, const char *create_type, uint64_t sectors,
	const struct survey *survey, const struct format_write_opts *opts, struct error *err)
{
	const size_t room = VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR;
	uint32_t cid = make_cid(survey->id);
	struct chs g = chs_of(sectors, opts);
	size_t start = out->len, pad;
	char id[25];
	void *rest;

	if (buf_addf(out, err,
		    "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\n"
		    "parentCID=ffffffff\ncreateType=\"%s\"\n\n"
		    "# Extent description\nRW %llu SPARSE \"" FILE_NAME "\"\n\n"
		    "# The Disk Data Base\n#DDB\n\nddb.longContentID = \"%s%08x\"\n",
		    cid, create_type, (unsigned long long)sectors, hex_encode(id, survey->id + 4, 12), cid) < 0 ||
		add_hardware(out, &g, opts, err) < 0)
		return -1;
	if (out->len - start >= room)
		return error_set(err, ERROR_BUG, 0, "a VMDK descriptor is too long");
	pad = start + room - out->len;
	rest = buf_extend(out, pad, err);
	if (!rest)
		return -1;
	memset(rest, 0, pad);
	return 0;
}
