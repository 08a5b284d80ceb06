/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the spec's disks; the rules are in the header. */
#include "builder/layout.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum partition_table_kind layout_table_kind(const char *name)
{
	if (!name)
		return PARTITION_TABLE_NONE;
	if (!strcmp(name, "mbr"))
		return PARTITION_TABLE_MBR;
	return strcmp(name, "hybrid") ? PARTITION_TABLE_GPT : PARTITION_TABLE_HYBRID;
}

uint64_t layout_percent(uint64_t disk_size, uint64_t percent)
{
	return MAX(disk_size / 100 * percent / PARTITION_ALIGN, 1) * PARTITION_ALIGN;
}

int layout_check_disk_size(uint64_t size, struct error *err)
{
	char text[NUM_SIZE_TEXT];

	if (size <= 64 * TIB)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "%s are needed, and an EBS volume has at most 64 TiB",
		num_format_size(text, size));
}

bool layout_is_type(const struct spec *s, const struct spec_partition *p, const char *type)
{
	uint8_t has[16], asked[16];
	struct error unknown = ERROR_INIT;

	if (!p->type || !s->architecture)
		return p->type && !strcmp(p->type, type);
	return !partition_type(p->type, s->architecture, has, &unknown) &&
	       !partition_type(type, s->architecture, asked, &unknown) &&
	       !memcmp(has, asked, sizeof(has));
}

static bool is_at(const struct spec_partition *p, const char *mount)
{
	return p->mount && !strcmp(p->mount, mount);
}

int layout_entry(const struct spec *s, const struct spec_disk *disk, size_t index,
	struct partition *out, struct error *err)
{
	const struct spec_partition *p = &disk->partitions[index];
	enum partition_table_kind kind = layout_table_kind(disk->table);
	bool has_mbr = kind == PARTITION_TABLE_MBR || kind == PARTITION_TABLE_HYBRID;

	*out = (struct partition){.bootable = has_mbr && is_at(p, "/")};
	out->hybrid = out->bootable && kind == PARTITION_TABLE_HYBRID;
	snprintf(out->name, sizeof(out->name), "%s", p->name ? p->name : "");
	return partition_type(p->type, s->architecture, out->type, err);
}

static void keep_first(const struct spec_partition **slot, const struct spec_partition *p)
{
	if (!*slot)
		*slot = p;
}

static void look_at_root_disk(const struct spec *s, struct layout *l, const struct spec_partition *p)
{
	if (is_at(p, "/"))
		l->root = p;
	if (layout_is_type(s, p, "esp"))
		keep_first(&l->esp, p);
	if (layout_is_type(s, p, "xbootldr"))
		keep_first(&l->xbootldr, p);
	if (layout_is_type(s, p, "bios-boot"))
		keep_first(&l->bios_boot, p);
	if (p->verity)
		l->verity = p;
}

/* A file system for /boot may lie on any disk. */
static void look_at_disk(const struct spec *s, struct layout *l, const struct spec_disk *disk)
{
	if (disk->mount && !strcmp(disk->mount, "/boot")) {
		l->own_boot = true;
		l->boot_fs = disk->filesystem;
	}
	for (size_t i = 0; i < disk->nr_partitions; i++) {
		const struct spec_partition *p = &disk->partitions[i];

		if (is_at(p, "/boot")) {
			l->own_boot = true;
			l->boot_fs = p->filesystem;
		}
		if (disk == l->root_disk) {
			look_at_root_disk(s, l, p);
			continue;
		}
		l->esp_elsewhere |= layout_is_type(s, p, "esp");
		l->bios_boot_elsewhere |= layout_is_type(s, p, "bios-boot");
	}
}

void layout_look(const struct spec *s, struct layout *out)
{
	struct layout *l = out;

	*l = (struct layout){.root_disk = NULL};
	for (size_t i = 0; i < s->nr_disks && !l->root_disk; i++)
		if (spec_mounts_root(&s->disks[i]))
			l->root_disk = &s->disks[i];
	for (size_t i = 0; i < s->nr_disks; i++)
		look_at_disk(s, l, &s->disks[i]);
	if (!l->root_disk)
		return;
	l->root_fs = l->root ? l->root->filesystem : l->root_disk->filesystem;
	if (!l->own_boot)
		l->boot_fs = l->root_fs;
	l->gap = layout_table_kind(l->root_disk->table) == PARTITION_TABLE_MBR;
}

int layout_check_core(const struct layout *l, struct error *err)
{
	static const char add[] = "{name: bios, type: bios-boot, size: 1M}";

	if (l->gap || l->bios_boot)
		return 0;
	if (!l->root_disk->table)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB's core has no place on a root disk without a partition table: give it "
			"'table: gpt' and a partition %s", add);
	if (l->bios_boot_elsewhere)
		return error_set(err, ERROR_INPUT, 0,
			"the partition of type bios-boot is not on the root disk, where GRUB's core must "
			"be: add %s there", add);
	return error_set(err, ERROR_INPUT, 0,
		"the root disk has no place for GRUB's core: add a partition %s", add);
}

int layout_check_esp(const struct layout *l, struct error *err)
{
	static const char add[] =
		"{name: esp, type: esp, size: 128M, filesystem: vfat, mount: /boot/efi}";

	if (l->esp)
		return 0;
	return error_set(err, ERROR_INPUT, 0, l->esp_elsewhere ?
		"the EFI system partition is not on the root disk, where it must be: add %s there" :
		"the root disk has no EFI system partition: add %s", add);
}

int layout_check_boot_uuid(const struct layout *l, struct error *err)
{
	if (!l->boot_fs || strcmp(l->boot_fs, "squashfs"))
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"GRUB finds /boot by the uuid of its file system, and a squashfs has none: put /boot on a "
		"partition of its own ({name: boot, type: linux, size: 512M, filesystem: ext4, mount: "
		"/boot}), or write 'loader: uki'");
}
