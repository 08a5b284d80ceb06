/* SPDX-License-Identifier: Apache-2.0 */
/* `boot` and `ami`. */
#include "builder/spec_schema.h"

#include <stdlib.h>
#include <string.h>

static const char *const boot_loaders[] = {"grub", "systemd-boot", "uki", "none", NULL};
static const char *const boot_modes[] = {"auto", "legacy-bios", "uefi", "uefi-preferred", NULL};
static const char *const version_2[] = {"v2.0", NULL};

#define FIELD(name) offsetof(struct spec, name)

/* Of the kernel: one line, and nothing that would end it early in a loader's configuration. */
static void read_cmdline(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;
	const char *text = schema_text(s, node, key->name);

	if (!text)
		return;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			schema_bad(s, node, "'%s' must be one line without control characters", key->name);
			return;
		}
	if (strlen(text) > 1800)
		schema_bad(s, node, "'%s' is longer than the 1800 bytes that fit a kernel's 2048 with "
				    "what the loader adds", key->name);
	else
		schema_set(s, &spec->boot.cmdline, text, strlen(text));
}

static const struct schema_key sign_keys[] = {
	{.name = "key", .type = SCHEMA_PATH, .offset = FIELD(boot.sign_key),
		.place = FIELD(boot.key_place), .flags = SCHEMA_REQUIRED,
		.hint = "the file of the private key, PEM"},
	{.name = "certificate", .type = SCHEMA_PATH, .offset = FIELD(boot.sign_certificate),
		.place = FIELD(boot.certificate_place), .flags = SCHEMA_REQUIRED,
		.hint = "the file of its X.509 certificate, PEM"},
	{0},
};

static void read_sign(struct schema *s, const struct schema_key *key, int node, void *out)
{
	(void)key;
	schema_map(s, node, sign_keys, "'sign'", out);
}

static const struct schema_key boot_keys[] = {
	{.name = "loader", .type = SCHEMA_CHOICE, .offset = FIELD(boot.loader),
		.place = FIELD(boot.loader_place), .choices = boot_loaders},
	{.name = "mode", .type = SCHEMA_CHOICE, .offset = FIELD(boot.mode),
		.place = FIELD(boot.mode_place), .choices = boot_modes},
	{.name = "cmdline", .type = SCHEMA_CUSTOM, .read = read_cmdline,
		.place = FIELD(boot.cmdline_place)},
	{.name = "timeout", .type = SCHEMA_NUMBER, .offset = FIELD(boot.timeout), .max = 600},
	{.name = "sign", .type = SCHEMA_CUSTOM, .read = read_sign, .place = FIELD(boot.sign_place)},
	{0},
};

void spec_read_boot(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;

	(void)key;
	spec->boot.place = spec_yaml_place(s->yaml, node);
	schema_map(s, node, boot_keys, "'boot'", spec);
}

static void read_tag(struct schema *s, int key, int value, struct spec *spec)
{
	struct spec_tag *tag = &spec->ami.tags[spec->ami.nr_tags];
	const char *name = schema_text(s, key, "a tag's key");
	const char *text;

	if (!name)
		return;
	if (spec_yaml_kind(s->yaml, value) != SPEC_YAML_SCALAR) {
		schema_bad(s, value, "the value of tag '%s' must be a text, not %s", name,
			spec_yaml_kind_name(spec_yaml_kind(s->yaml, value)));
		return;
	}
	text = spec_yaml_is_null(s->yaml, value) ? "" : spec_yaml_text(s->yaml, value, NULL);
	for (size_t i = 0; i < spec->ami.nr_tags; i++)
		if (spec->ami.tags[i].key && !strcmp(spec->ami.tags[i].key, name)) {
			schema_bad(s, key, "tag '%s' is given twice, first in line %u", name,
				spec->ami.tags[i].place.line);
			return;
		}
	tag->place = spec_yaml_place(s->yaml, key);
	schema_set(s, &tag->key, name, strlen(name));
	schema_set(s, &tag->value, text, strlen(text));
	/* Counted also when memory ran out between the two, so that it is released. */
	spec->ami.nr_tags++;
}

static void read_tags(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;
	size_t nr;

	if (!schema_is(s, node, SPEC_YAML_MAP, key->name))
		return;
	nr = spec_yaml_length(s->yaml, node);
	if (nr > 46) {
		schema_bad(s, node, "%zu tags are more than the 46 that EC2 allows beside our own 4", nr);
		return;
	}
	spec->ami.tags = schema_array(s, nr, sizeof(*spec->ami.tags));
	for (size_t i = 0; i < nr && spec->ami.tags && !s->stopped; i++) {
		int name, value;

		spec_yaml_pair(s->yaml, node, i, &name, &value);
		read_tag(s, name, value, spec);
	}
}

static const struct schema_key ami_keys[] = {
	{.name = "name", .type = SCHEMA_TEXT, .offset = FIELD(ami.name), .place = FIELD(ami.name_place)},
	{.name = "description", .type = SCHEMA_TEXT, .offset = FIELD(ami.description)},
	{.name = "imds", .type = SCHEMA_CHOICE, .offset = FIELD(ami.imds), .choices = version_2},
	{.name = "tpm", .type = SCHEMA_CHOICE, .offset = FIELD(ami.tpm), .place = FIELD(ami.tpm_place),
		.choices = version_2},
	{.name = "ena", .type = SCHEMA_BOOL, .offset = FIELD(ami.ena)},
	{.name = "sriov", .type = SCHEMA_BOOL, .offset = FIELD(ami.sriov)},
	{.name = "tags", .type = SCHEMA_CUSTOM, .read = read_tags},
	{.name = "encrypt", .type = SCHEMA_BOOL, .offset = FIELD(ami.encrypt),
		.place = FIELD(ami.encrypt_place)},
	{.name = "kms_key", .type = SCHEMA_TEXT, .offset = FIELD(ami.kms_key),
		.place = FIELD(ami.key_place)},
	{.name = "copies", .type = SCHEMA_CUSTOM, .read = spec_read_copies},
	{.name = "share", .type = SCHEMA_CUSTOM, .read = spec_read_share},
	{.name = "deprecate", .type = SCHEMA_CUSTOM, .read = spec_read_deprecate,
		.place = FIELD(ami.deprecate_place)},
	{.name = "protect", .type = SCHEMA_BOOL, .offset = FIELD(ami.protect)},
	{0},
};

void spec_read_ami(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;

	(void)key;
	spec->ami.place = spec_yaml_place(s->yaml, node);
	schema_map(s, node, ami_keys, "'ami'", spec);
}
