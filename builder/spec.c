/* SPDX-License-Identifier: Apache-2.0 */
/* The spec as a whole: its top-level keys, reading from a file, and release. */
#include "builder/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "base/text.h"
#include "builder/spec_schema.h"

/* Inline contents are meant to be small; big files come by `from`, tar or directory. */
enum { FILE_MAX = 4 << 20 };

static const char *const architectures[] = {"x86_64", "arm64", NULL};

#define FIELD(name) offsetof(struct spec, name)

static void read_epoch(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;
	const char *text = schema_text(s, node, key->name);
	uint64_t value;

	if (!text)
		return;
	spec->epoch_given = true;
	if (num_parse(text, SPEC_EPOCH_MAX, &value, NULL) < 0)
		schema_bad(s, node, "'epoch' must be seconds since 1970, such as 1735689600, not '%s'",
			text);
	else
		spec->epoch = (int64_t)value;
}

static const struct schema_key spec_keys[] = {
	{.name = "name", .type = SCHEMA_TEXT, .offset = FIELD(name), .place = FIELD(name_place),
		.flags = SCHEMA_REQUIRED, .hint = "debian-12-minimal, for example"},
	{.name = "version", .type = SCHEMA_TEXT, .offset = FIELD(version),
		.place = FIELD(version_place), .flags = SCHEMA_REQUIRED, .hint = "1.0, for example"},
	{.name = "architecture", .type = SCHEMA_CHOICE, .offset = FIELD(architecture),
		.choices = architectures, .flags = SCHEMA_REQUIRED, .hint = "x86_64 or arm64"},
	{.name = "epoch", .type = SCHEMA_CUSTOM, .read = read_epoch},
	{.name = "root", .type = SCHEMA_CUSTOM, .read = spec_read_layers},
	{.name = "disks", .type = SCHEMA_CUSTOM, .read = spec_read_disks, .place = FIELD(disks_place),
		.flags = SCHEMA_REQUIRED, .hint = "an image has at least one disk"},
	{.name = "boot", .type = SCHEMA_CUSTOM, .read = spec_read_boot},
	{.name = "ami", .type = SCHEMA_CUSTOM, .read = spec_read_ami},
	{.name = "strict", .type = SCHEMA_BOOL, .offset = FIELD(strict)},
	{0},
};

static int set_names(struct spec *s, const char *file, struct error *err)
{
	const char *slash = strrchr(file, '/');

	s->file = buf_strf(err, "%s", file);
	if (!s->file)
		return -1;
	if (slash == file)
		s->dir = buf_strf(err, "/");
	else
		s->dir = slash ? buf_strf(err, "%.*s", (int)(slash - file), file) : NULL;
	return slash && !s->dir ? -1 : 0;
}

/* Everything but the rules over several keys and the host. */
static int read_text(struct spec *s, const char *text, size_t len, struct diag *d, struct error *err)
{
	struct schema schema = {.diag = d, .dir = s->dir, .err = err};

	s->ami.ena = true;
	schema.yaml = spec_yaml_load(text, len, d, err);
	if (!schema.yaml)
		return d->count ? 0 : -1;
	schema_map(&schema, SPEC_YAML_ROOT, spec_keys, "the spec", s);
	spec_yaml_free(schema.yaml);
	return schema.stopped && !d->count ? -1 : 0;
}

int spec_parse(struct spec *s, const char *text, size_t len, const char *file, struct diag *d,
	struct error *err)
{
	memset(s, 0, sizeof(*s));
	if (diag_set_file(d, file, err) < 0 || set_names(s, file, err) < 0 ||
		read_text(s, text, len, d, err) < 0)
		return -1;
	spec_check(s, d);
	spec_check_boot(s, d);
	spec_check_publish(s, d);
	return diag_result(d, err);
}

int spec_read(struct spec *s, const char *path, struct diag *d, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);

	memset(s, 0, sizeof(*s));
	if (file_read(path, &text, err) < 0) {
		if (err->kind == ERROR_INPUT)
			return error_set(err, ERROR_USAGE, 0, "'%s' is larger than the %d MiB that a spec "
				"may have: is it an image?", path, FILE_MAX >> 20);
		return -1;
	}
	if (spec_parse(s, buf_str(&text), text.len, path, d, err) < 0 && !d->count)
		return -1;
	spec_check_sources(s, d);
	return diag_result(d, err);
}

bool spec_has_name(const char *path)
{
	return text_ends_with(path, ".yaml") || text_ends_with(path, ".yml");
}

bool spec_mounts_root(const struct spec_disk *disk)
{
	if (disk->mount && !strcmp(disk->mount, "/"))
		return true;
	for (size_t i = 0; i < disk->nr_partitions; i++)
		if (disk->partitions[i].mount && !strcmp(disk->partitions[i].mount, "/"))
			return true;
	return false;
}

static void strings_release(struct spec_strings *list)
{
	for (size_t i = 0; i < list->nr; i++)
		free(list->items[i]);
	free(list->items);
}

static void layer_release(struct spec_layer *l)
{
	free(l->suite);
	free(l->variant);
	free(l->keyring);
	free(l->snapshot);
	strings_release(&l->components);
	strings_release(&l->packages);
	strings_release(&l->mirrors);
	free(l->image);
	for (size_t i = 0; i < l->nr_files; i++) {
		free(l->files[i].key);
		free(l->files[i].value);
	}
	free(l->files);
	free(l->path);
	free(l->content);
	free(l->from);
	free(l->owner);
	free(l->target);
}

static void disk_release(struct spec_disk *d)
{
	for (size_t i = 0; i < d->nr_partitions; i++) {
		struct spec_partition *p = &d->partitions[i];

		free(p->name);
		free(p->type);
		free(p->filesystem);
		free(p->label);
		free(p->mount);
		free(p->options);
		free(p->verity);
	}
	free(d->partitions);
	free(d->device);
	free(d->table);
	free(d->filesystem);
	free(d->label);
	free(d->mount);
	free(d->options);
	free(d->ebs.type);
}

void spec_release(struct spec *s)
{
	for (size_t i = 0; i < s->nr_layers; i++)
		layer_release(&s->layers[i]);
	for (size_t i = 0; i < s->nr_disks; i++)
		disk_release(&s->disks[i]);
	for (size_t i = 0; i < s->ami.nr_tags; i++) {
		free(s->ami.tags[i].key);
		free(s->ami.tags[i].value);
	}
	for (size_t i = 0; i < s->ami.nr_copies; i++) {
		free(s->ami.copies[i].region);
		free(s->ami.copies[i].kms_key);
	}
	strings_release(&s->ami.share.accounts);
	strings_release(&s->ami.share.organizations);
	strings_release(&s->ami.share.units);
	free(s->layers);
	free(s->disks);
	free(s->ami.tags);
	free(s->ami.copies);
	free(s->ami.kms_key);
	free(s->file);
	free(s->dir);
	free(s->name);
	free(s->version);
	free(s->architecture);
	free(s->boot.loader);
	free(s->boot.mode);
	free(s->boot.cmdline);
	free(s->boot.sign_key);
	free(s->boot.sign_certificate);
	free(s->ami.name);
	free(s->ami.description);
	free(s->ami.imds);
	free(s->ami.tpm);
	memset(s, 0, sizeof(*s));
}
