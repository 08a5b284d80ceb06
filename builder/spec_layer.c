/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of `root`: each a mapping with one key, the kind, whose value is a text or a mapping.
 */
#include "builder/spec_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fs/tree_oci.h"

#define FIELD(name) offsetof(struct spec_layer, name)

static const char *const root_only[] = {"root", NULL};
static const char *const variants[] = {
	"minbase", "apt", "essential", "required", "important", "standard", "custom", "buildd", NULL,
};

static void read_root_owner(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;
	char *text = NULL;
	struct schema_key choice = {
		.name = key->name,
		.type = SCHEMA_CHOICE,
		.choices = root_only,
	};

	schema_value(s, &choice, node, &text);
	layer->root_owner = text != NULL;
	free(text);
}

static void read_mode(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;
	const char *text = schema_text(s, node, key->name);

	if (!text)
		return;
	if (num_parse_mode(text, &layer->mode, NULL) < 0 || layer->mode > 07777)
		schema_bad(s, node, "'%s' must be octal permissions such as \"0644\", not '%s'",
			key->name, text);
	else
		layer->mode_given = true;
}

/* Content is bytes: empty is fine, NUL too. */
static void read_content(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;
	const char *text;

	if (spec_yaml_kind(s->yaml, node) != SPEC_YAML_SCALAR) {
		schema_bad(s, node, "'%s' must be a text, not %s", key->name,
			spec_yaml_kind_name(spec_yaml_kind(s->yaml, node)));
		return;
	}
	text = spec_yaml_text(s->yaml, node, &layer->content_len);
	schema_set(s, &layer->content, text, layer->content_len);
}

static bool plain_word(const char *text, const char *others)
{
	if (text[0] == '-')
		return false;
	for (; *text; text++) {
		bool alnum = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			     (*text >= '0' && *text <= '9');

		if (!alnum && !strchr(others, *text))
			return false;
	}
	return true;
}

/* These words become arguments of mmdebstrap: none may look like an option or split into two. */
static void read_suite(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;
	const char *text = schema_text(s, node, key->name);

	if (text && !plain_word(text, "._-/"))
		schema_bad(s, node, "'%s' is no suite name: write one like bookworm", text);
	else if (text)
		schema_set(s, &layer->suite, text, strlen(text));
}

static void read_packages(struct schema *s, const struct schema_key *key, int node, void *out)
{
	static const struct schema_key list = {
		.name = "packages", .type = SCHEMA_STRINGS, .offset = FIELD(packages)};
	struct spec_layer *layer = out;

	(void)key;
	if (layer->packages.items)
		return;
	schema_value(s, &list, node, out);
	for (size_t i = 0; i < layer->packages.nr; i++)
		if (!plain_word(layer->packages.items[i], ".+-:=~/"))
			schema_bad(s, node, "'%s' is no package name", layer->packages.items[i]);
}

static void read_components(struct schema *s, const struct schema_key *key, int node, void *out)
{
	static const struct schema_key list = {
		.name = "components", .type = SCHEMA_STRINGS, .offset = FIELD(components)};
	struct spec_layer *layer = out;

	(void)key;
	schema_value(s, &list, node, out);
	for (size_t i = 0; i < layer->components.nr; i++)
		if (!plain_word(layer->components.items[i], "._-/"))
			schema_bad(s, node, "'%s' is no component name: write one like main",
				layer->components.items[i]);
}

static void read_mirrors(struct schema *s, const struct schema_key *key, int node, void *out)
{
	static const struct schema_key list = {
		.name = "mirror", .type = SCHEMA_STRINGS, .offset = FIELD(mirrors)};
	struct spec_layer *layer = out;

	(void)key;
	schema_value(s, &list, node, out);
	for (size_t i = 0; i < layer->mirrors.nr; i++)
		if (layer->mirrors.items[i][0] == '-' || strpbrk(layer->mirrors.items[i], "\r\n"))
			schema_bad(s, node, "'%s' is no mirror: write a URI or a line of sources.list",
				layer->mirrors.items[i]);
}

static void read_snapshot(struct schema *s, const struct schema_key *key, int node, void *out)
{
	static const char form[] = "00000000T000000Z";
	struct spec_layer *layer = out;
	const char *text = schema_text(s, node, key->name);
	size_t i = 0;

	if (!text)
		return;
	while (text[i] && form[i] && (form[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i]))
		i++;
	if (text[i] || form[i])
		schema_bad(s, node, "'%s' must be a time like 20260101T000000Z, not '%s'", key->name,
			text);
	else
		schema_set(s, &layer->snapshot, text, strlen(text));
}

/* "/etc/dracut.conf.d/50-verity.conf: text" */
static void read_file(struct schema *s, int path, int text, struct spec_layer *layer)
{
	struct spec_tag *file = &layer->files[layer->nr_files];
	const char *name = schema_text(s, path, "a file's path");

	if (!name)
		return;
	if (name[0] != '/' || !plain_word(name, "/._+@:~-") || name[strlen(name) - 1] == '/') {
		schema_bad(s, path, "'%s' must be an absolute path of letters, digits and /._+@:~-", name);
		return;
	}
	for (size_t i = 0; i < layer->nr_files; i++)
		if (!strcmp(layer->files[i].key, name)) {
			schema_bad(s, path, "file '%s' is given twice, first in line %u", name,
				layer->files[i].place.line);
			return;
		}
	file->place = spec_yaml_place(s->yaml, path);
	schema_set(s, &file->key, name, strlen(name));
	name = schema_text(s, text, file->key ? file->key : "files");
	if (name && file->key)
		schema_set(s, &file->value, name, strlen(name));
	if (!file->value)
		free(steal_ptr(&file->key));
	else
		layer->nr_files++;
}

static void read_files(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;
	size_t nr;

	if (layer->files || !schema_is(s, node, SPEC_YAML_MAP, key->name))
		return;
	nr = spec_yaml_length(s->yaml, node);
	layer->files = schema_array(s, nr, sizeof(*layer->files));
	for (size_t i = 0; i < nr && layer->files && !s->stopped; i++) {
		int path, text;

		spec_yaml_pair(s->yaml, node, i, &path, &text);
		read_file(s, path, text, layer);
	}
}

static const struct schema_key debian_keys[] = {
	{.name = "suite", .type = SCHEMA_CUSTOM, .read = read_suite, .flags = SCHEMA_REQUIRED,
		.hint = "bookworm, for example"},
	{.name = "packages", .type = SCHEMA_CUSTOM, .read = read_packages},
	{.name = "components", .type = SCHEMA_CUSTOM, .read = read_components},
	{.name = "files", .type = SCHEMA_CUSTOM, .read = read_files},
	{.name = "mirror", .type = SCHEMA_CUSTOM, .read = read_mirrors},
	{.name = "variant", .type = SCHEMA_CHOICE, .offset = FIELD(variant), .choices = variants},
	{.name = "keyring", .type = SCHEMA_PATH, .offset = FIELD(keyring), .place = FIELD(keyring_place)},
	{.name = "snapshot", .type = SCHEMA_CUSTOM, .read = read_snapshot},
	{0},
};

static const struct schema_key source_keys[] = {
	{.name = "path", .type = SCHEMA_PATH, .offset = FIELD(path), .place = FIELD(path_place),
		.flags = SCHEMA_REQUIRED},
	{.name = "owner", .type = SCHEMA_CUSTOM, .read = read_root_owner},
	{0},
};

static void read_image(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;
	const char *text = schema_text(s, node, key->name);

	if (!text)
		return;
	layer->path_place = spec_yaml_place(s->yaml, node);
	free(layer->image);
	layer->image = tree_oci_join(s->dir, text, s->err);
	s->stopped |= !layer->image;
}

static const struct schema_key oci_keys[] = {
	{.name = "image", .type = SCHEMA_CUSTOM, .read = read_image, .flags = SCHEMA_REQUIRED,
		.hint = "a folder or archive, or docker://NAME:TAG"},
	{0},
};

#define TREE_PATH_KEY                                                                              \
	{                                                                                          \
		.name = "path", .type = SCHEMA_TREE_PATH, .offset = FIELD(path),                   \
		.place = FIELD(path_place), .flags = SCHEMA_REQUIRED                               \
	}
#define OWNER_KEY                                                                                  \
	{                                                                                          \
		.name = "owner", .type = SCHEMA_TEXT, .offset = FIELD(owner)                       \
	}
#define MODE_KEY                                                                                   \
	{                                                                                          \
		.name = "mode", .type = SCHEMA_CUSTOM, .read = read_mode                           \
	}

static const struct schema_key write_keys[] = {
	TREE_PATH_KEY,
	{.name = "content", .type = SCHEMA_CUSTOM, .read = read_content},
	{.name = "from", .type = SCHEMA_PATH, .offset = FIELD(from), .place = FIELD(from_place)},
	MODE_KEY,
	OWNER_KEY,
	{0},
};

static const struct schema_key mkdir_keys[] = {TREE_PATH_KEY, MODE_KEY, OWNER_KEY, {0}};

static const struct schema_key symlink_keys[] = {
	TREE_PATH_KEY,
	{.name = "target", .type = SCHEMA_TEXT, .offset = FIELD(target), .flags = SCHEMA_REQUIRED},
	OWNER_KEY,
	{0},
};

static const struct schema_key remove_keys[] = {
	TREE_PATH_KEY,
	{.name = "missing_ok", .type = SCHEMA_BOOL, .offset = FIELD(missing_ok)},
	{0},
};

static const struct schema_key chmod_keys[] = {
	TREE_PATH_KEY,
	{.name = "mode", .type = SCHEMA_CUSTOM, .read = read_mode, .flags = SCHEMA_REQUIRED},
	{.name = "recursive", .type = SCHEMA_BOOL, .offset = FIELD(recursive)},
	{0},
};

static const struct schema_key chown_keys[] = {
	TREE_PATH_KEY,
	{.name = "owner", .type = SCHEMA_TEXT, .offset = FIELD(owner), .flags = SCHEMA_REQUIRED},
	{.name = "recursive", .type = SCHEMA_BOOL, .offset = FIELD(recursive)},
	{0},
};

/* With `short_key` the value may be a text alone, which is that key's. */
struct layer_kind {
	const char *name, *what;
	const struct schema_key *keys;
	const char *short_key;
};

static const struct layer_kind kinds[] = {
	[SPEC_DEBIAN] = {"debian", "a debian layer", debian_keys, NULL},
	[SPEC_TAR] = {"tar", "a tar layer", source_keys, "path"},
	[SPEC_DIRECTORY] = {"directory", "a directory layer", source_keys, "path"},
	[SPEC_OCI] = {"oci", "an oci layer", oci_keys, "image"},
	[SPEC_WRITE] = {"write", "a write layer", write_keys, NULL},
	[SPEC_MKDIR] = {"mkdir", "a mkdir layer", mkdir_keys, "path"},
	[SPEC_SYMLINK] = {"symlink", "a symlink layer", symlink_keys, NULL},
	[SPEC_REMOVE] = {"remove", "a remove layer", remove_keys, "path"},
	[SPEC_CHMOD] = {"chmod", "a chmod layer", chmod_keys, NULL},
	[SPEC_CHOWN] = {"chown", "a chown layer", chown_keys, NULL},
};

const char *spec_layer_name(enum spec_layer_kind kind)
{
	return kinds[kind].name;
}

static void check_write(struct schema *s, int node, const struct spec_layer *layer)
{
	if (layer->kind != SPEC_WRITE || spec_yaml_kind(s->yaml, node) != SPEC_YAML_MAP)
		return;
	if (layer->content && layer->from)
		schema_bad(s, node, "a write layer has either 'content' or 'from', not both");
	if (!layer->content && !layer->from)
		schema_bad(s, node, "missing key 'content' in a write layer: the file's text (or "
				    "'from', a file on this machine)");
}

static void read_layer_value(struct schema *s, int value, struct spec_layer *layer)
{
	const struct layer_kind *kind = &kinds[layer->kind];
	const struct schema_key *key = kind->keys;

	layer->path_place = spec_yaml_place(s->yaml, value);
	if (!kind->short_key || spec_yaml_kind(s->yaml, value) != SPEC_YAML_SCALAR) {
		schema_map(s, value, kind->keys, kind->what, layer);
		check_write(s, value, layer);
		return;
	}
	while (strcmp(key->name, kind->short_key))
		key++;
	schema_value(s, key, value, layer);
}

/* The key table of a layer exists to share the messages for unknown and later keys. */
static void read_kind(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec_layer *layer = out;

	layer->kind = (enum spec_layer_kind)key->min;
	read_layer_value(s, node, layer);
}

#define KIND(n, k)                                                                                 \
	{                                                                                          \
		.name = (n), .type = SCHEMA_CUSTOM, .read = read_kind, .min = (k)                  \
	}
#define LATER(n, text)                                                                             \
	{                                                                                          \
		.name = (n), .type = SCHEMA_LATER, .hint = (text)                                  \
	}

static const struct schema_key layer_keys[] = {
	KIND("debian", SPEC_DEBIAN),
	KIND("tar", SPEC_TAR),
	KIND("directory", SPEC_DIRECTORY),
	KIND("oci", SPEC_OCI),
	KIND("write", SPEC_WRITE),
	KIND("mkdir", SPEC_MKDIR),
	KIND("symlink", SPEC_SYMLINK),
	KIND("remove", SPEC_REMOVE),
	KIND("chmod", SPEC_CHMOD),
	KIND("chown", SPEC_CHOWN),
	LATER("enable", "add the links below /etc/systemd/system by symlink layers"),
	LATER("disable", "take the links below /etc/systemd/system out by remove layers"),
	LATER("run", "do it beforehand and use a tar or directory layer"),
	LATER("snapshot", "download the snapshot and use a tar or directory layer"),
	{0},
};

static void read_layer(struct schema *s, int node, struct spec_layer *layer)
{
	layer->place = spec_yaml_place(s->yaml, node);
	if (spec_yaml_kind(s->yaml, node) == SPEC_YAML_MAP && spec_yaml_length(s->yaml, node) != 1) {
		schema_bad(s, node, "a layer has one key, its kind, not %zu: begin each layer with '- '",
			spec_yaml_length(s->yaml, node));
		return;
	}
	schema_map(s, node, layer_keys, "a layer", layer);
}

void spec_read_layers(struct schema *s, const struct schema_key *key, int node, void *out)
{
	struct spec *spec = out;

	if (!schema_is(s, node, SPEC_YAML_LIST, key->name))
		return;
	spec->layers = schema_array(s, spec_yaml_length(s->yaml, node), sizeof(*spec->layers));
	if (!spec->layers)
		return;
	spec->nr_layers = spec_yaml_length(s->yaml, node);
	for (size_t i = 0; i < spec->nr_layers && !s->stopped; i++)
		read_layer(s, spec_yaml_item(s->yaml, node, i), &spec->layers[i]);
}
