/* SPDX-License-Identifier: Apache-2.0 */
/* `disks`: devices, partitions, and what EBS is to make of them. */
#include "builder/spec_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fs/fs.h"

static const char *const tables[] = {"gpt", "mbr", "hybrid", NULL};
static const char *const volume_types[] = {
	"gp3", "gp2", "io1", "io2", "st1", "sc1", "standard", NULL,
};

#define FIELD(name) offsetof(struct spec_ebs, name)

static void read_ebs_size(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_ebs *ebs = out;
	const char *text = schema_text(s, node, key->name);
	struct error e = ERROR_INIT;

	if (!text)
		return;
	if (num_parse_size(text, &ebs->size, &e) < 0)
		schema_bad(s, node, "%s", e.text);
	else if (!ebs->size || ebs->size % GIB || ebs->size > 64 * TIB)
		schema_bad(s, node, "an EBS volume has whole GiB from 1G to 64T, not '%s'", text);
}

static const struct schema_key ebs_keys[] = {
	{.name = "type", .type = SCHEMA_CHOICE, .offset = FIELD(type), .place = FIELD(type_place),
		.choices = volume_types},
	{.name = "iops", .type = SCHEMA_NUMBER, .offset = FIELD(iops), .min = 1},
	{.name = "throughput", .type = SCHEMA_NUMBER, .offset = FIELD(throughput), .min = 1},
	{.name = "size", .type = SCHEMA_CUSTOM, .read = read_ebs_size, .place = FIELD(size_place)},
	{.name = "delete_on_termination", .type = SCHEMA_TRISTATE,
		.offset = FIELD(delete_on_termination)},
	{.name = "encrypted", .type = SCHEMA_TRISTATE, .offset = FIELD(encrypted)},
	{.name = "kms_key", .type = SCHEMA_LATER,
		.hint = "the snapshots' key is 'ami: {kms_key: …}'; RegisterImage takes none for an empty volume"},
	{0},
};

#undef FIELD
#define FIELD(name) offsetof(struct spec_partition, name)

/* The value of `filesystem`, of a partition or a disk. */
static void read_fs(struct schema *s, const struct schema_key *key, int node, char **slot)
{
	const struct schema_key choice = {
		.name = key->name, .type = SCHEMA_CHOICE, .choices = fs_names()};

	schema_value(s, &choice, node, slot);
}

static void read_partition_fs(struct schema *s, const struct schema_key *key, int node, void *out)
{
	read_fs(s, key, node, &((struct spec_partition *)out)->filesystem);
}

/* One word of fstab. */
static void read_options(struct schema *s, const struct schema_key *key, int node, char **slot)
{
	const char *text = schema_text(s, node, key->name);

	if (text && strpbrk(text, " \t\r\n\\"))
		schema_bad(s, node, "'%s' are mount options with commas between, without blanks", key->name);
	else if (text)
		schema_set(s, slot, text, strlen(text));
}

static void read_partition_options(struct schema *s, const struct schema_key *key, int node, void *out)
{
	read_options(s, key, node, &((struct spec_partition *)out)->options);
}

static void read_partition_size(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_partition *part = out;

	part->size_place = spec_yaml_place(s->yaml, node);
	schema_size(s, node, key->name, true, &part->size_kind, &part->size);
}

static const struct schema_key partition_keys[] = {
	{.name = "name", .type = SCHEMA_TEXT, .offset = FIELD(name), .place = FIELD(name_place),
		.flags = SCHEMA_REQUIRED, .hint = "its label in the table, such as root"},
	{.name = "type", .type = SCHEMA_TEXT, .offset = FIELD(type), .place = FIELD(type_place),
		.flags = SCHEMA_REQUIRED, .hint = "root, esp, bios-boot, linux … or a GUID"},
	{.name = "size", .type = SCHEMA_CUSTOM, .read = read_partition_size, .place = FIELD(size_place)},
	{.name = "filesystem", .type = SCHEMA_CUSTOM, .read = read_partition_fs,
		.place = FIELD(fs_place)},
	{.name = "label", .type = SCHEMA_TEXT, .offset = FIELD(label), .place = FIELD(label_place)},
	{.name = "mount", .type = SCHEMA_TREE_PATH, .offset = FIELD(mount), .place = FIELD(mount_place)},
	{.name = "options", .type = SCHEMA_CUSTOM, .read = read_partition_options},
	{.name = "reserved_percent", .type = SCHEMA_NUMBER, .offset = FIELD(reserved_percent), .max = 50},
	{.name = "grow", .type = SCHEMA_BOOL, .offset = FIELD(grow), .place = FIELD(grow_place)},
	{.name = "verity", .type = SCHEMA_TEXT, .offset = FIELD(verity), .place = FIELD(verity_place)},
	{0},
};

static void read_partition(struct schema *s, int node, struct spec_partition *part)
{
	part->place = spec_yaml_place(s->yaml, node);
	part->size_place = part->place;
	schema_map(s, node, partition_keys, "a partition", part);
}

#undef FIELD
#define FIELD(name) offsetof(struct spec_disk, name)

static void read_partitions(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_disk *disk = out;

	if (!schema_is(s, node, SPEC_YAML_LIST, key->name))
		return;
	disk->partitions = schema_array(s, spec_yaml_length(s->yaml, node), sizeof(*disk->partitions));
	if (!disk->partitions) {
		if (!s->stopped)
			schema_bad(s, node, "'partitions' is empty: leave it and 'table' out for a disk "
					    "without partitions");
		return;
	}
	disk->nr_partitions = spec_yaml_length(s->yaml, node);
	for (size_t i = 0; i < disk->nr_partitions && !s->stopped; i++)
		read_partition(s, spec_yaml_item(s->yaml, node, i), &disk->partitions[i]);
}

static void read_disk_size(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_disk *disk = out;

	disk->size_place = spec_yaml_place(s->yaml, node);
	schema_size(s, node, key->name, false, &disk->size_kind, &disk->size);
}

static void read_disk_fs(struct schema *s, const struct schema_key *key, int node, void *out)
{
	read_fs(s, key, node, &((struct spec_disk *)out)->filesystem);
}

static void read_disk_options(struct schema *s, const struct schema_key *key, int node, void *out)
{
	read_options(s, key, node, &((struct spec_disk *)out)->options);
}

static void read_ebs(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_disk *disk = out;

	(void)key;
	disk->ebs.place = spec_yaml_place(s->yaml, node);
	schema_map(s, node, ebs_keys, "'ebs'", &disk->ebs);
}

static void read_ephemeral(struct schema *s, const struct schema_key *key, int node, void *out)
{
	static const struct schema_key number = {
		.name = "ephemeral", .type = SCHEMA_NUMBER, .max = 23};
	struct spec_disk *disk = out;
	uint32_t value = UINT32_MAX;

	(void)key;
	schema_value(s, &number, node, &value);
	if (value != UINT32_MAX)
		disk->ephemeral = (int)value;
}

static const struct schema_key disk_keys[] = {
	{.name = "device", .type = SCHEMA_TEXT, .offset = FIELD(device), .place = FIELD(device_place),
		.flags = SCHEMA_REQUIRED, .hint = "/dev/xvda, for example"},
	{.name = "size", .type = SCHEMA_CUSTOM, .read = read_disk_size, .place = FIELD(size_place)},
	{.name = "table", .type = SCHEMA_CHOICE, .offset = FIELD(table), .place = FIELD(table_place),
		.choices = tables},
	{.name = "partitions", .type = SCHEMA_CUSTOM, .read = read_partitions,
		.place = FIELD(partitions_place)},
	{.name = "filesystem", .type = SCHEMA_CUSTOM, .read = read_disk_fs, .place = FIELD(fs_place)},
	{.name = "label", .type = SCHEMA_TEXT, .offset = FIELD(label), .place = FIELD(label_place)},
	{.name = "mount", .type = SCHEMA_TREE_PATH, .offset = FIELD(mount), .place = FIELD(mount_place)},
	{.name = "options", .type = SCHEMA_CUSTOM, .read = read_disk_options},
	{.name = "grow", .type = SCHEMA_BOOL, .offset = FIELD(grow), .place = FIELD(grow_place)},
	{.name = "ebs", .type = SCHEMA_CUSTOM, .read = read_ebs},
	{.name = "ephemeral", .type = SCHEMA_CUSTOM, .read = read_ephemeral,
		.place = FIELD(ephemeral_place)},
	{.name = "no_device", .type = SCHEMA_BOOL, .offset = FIELD(no_device)},
	{.name = "empty", .type = SCHEMA_BOOL, .offset = FIELD(empty)},
	{0},
};

static void read_disk(struct schema *s, int node, struct spec_disk *disk)
{
	disk->place = spec_yaml_place(s->yaml, node);
	disk->size_place = disk->place;
	disk->ephemeral = -1;
	disk->ebs.delete_on_termination = -1;
	disk->ebs.encrypted = -1;
	schema_map(s, node, disk_keys, "a disk", disk);
}

void spec_read_disks(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;

	if (!schema_is(s, node, SPEC_YAML_LIST, key->name))
		return;
	spec->disks = schema_array(s, spec_yaml_length(s->yaml, node), sizeof(*spec->disks));
	if (!spec->disks) {
		if (!s->stopped)
			schema_bad(s, node, "'disks' is empty: an image has at least one disk");
		return;
	}
	spec->nr_disks = spec_yaml_length(s->yaml, node);
	for (size_t i = 0; i < spec->nr_disks; i++)
		spec->disks[i].ephemeral = -1;
	for (size_t i = 0; i < spec->nr_disks && !s->stopped; i++)
		read_disk(s, spec_yaml_item(s->yaml, node, i), &spec->disks[i]);
}
