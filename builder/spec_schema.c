/* SPDX-License-Identifier: Apache-2.0 */
/* The table-driven reader of the spec's mappings. */
#include "builder/spec_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "builder/options.h"

/* Enough for 100,000 packages; an alias bomb ends here. */
enum { STEPS_MAX = 1000000, KEYS_MAX = 64 };

void schema_bad(struct schema *s, int node, const char *fmt, ...)
{
	char text[ERROR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_add(s->diag, spec_yaml_place(s->yaml, node), "%s", text);
}

static void stop_nomem(struct schema *s)
{
	s->stopped = true;
	error_nomem(s->err, "the spec");
}

/* False when reading is to end. */
static bool step(struct schema *s, int node)
{
	if (s->stopped)
		return false;
	if (++s->steps <= STEPS_MAX)
		return true;
	s->stopped = true;
	schema_bad(s, node, "the aliases of this file unfold to more than %u values", STEPS_MAX);
	return false;
}

bool schema_is(struct schema *s, int node, enum spec_yaml_kind kind, const char *name)
{
	enum spec_yaml_kind found = spec_yaml_kind(s->yaml, node);

	if (!step(s, node))
		return false;
	if (spec_yaml_is_null(s->yaml, node)) {
		schema_bad(s, node, "'%s' has no value: it must be %s", name,
			spec_yaml_kind_name(kind));
		return false;
	}
	if (found == kind)
		return true;
	schema_bad(s, node, "'%s' must be %s, not %s", name, spec_yaml_kind_name(kind),
		spec_yaml_kind_name(found));
	return false;
}

const char *schema_text(struct schema *s, int node, const char *name)
{
	const char *text;
	size_t len;

	if (!schema_is(s, node, SPEC_YAML_SCALAR, name))
		return NULL;
	text = spec_yaml_text(s->yaml, node, &len);
	if (strlen(text) != len) {
		schema_bad(s, node, "'%s' holds a NUL byte", name);
		return NULL;
	}
	if (!len) {
		schema_bad(s, node, "'%s' is empty", name);
		return NULL;
	}
	return text;
}

void schema_set(struct schema *s, char **slot, const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy) {
		stop_nomem(s);
		return;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	free(*slot);
	*slot = copy;
}

void *schema_array(struct schema *s, size_t nr, size_t size)
{
	void *items;

	if (!nr || s->stopped)
		return NULL;
	items = calloc(nr, size);
	if (!items)
		stop_nomem(s);
	return items;
}

/* "25%"; false when it is no percentage. */
static bool read_percent(const char *text, uint64_t *percent)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || strcmp(text + digits, "%"))
		return false;
	*percent = strtoul(text, NULL, 10);
	return *percent >= 1 && *percent <= 100;
}

void schema_size(struct schema *s, int node, const char *name, bool partition,
	enum spec_size_kind *kind, uint64_t *bytes)
{
	const char *text = schema_text(s, node, name);
	struct error e = ERROR_INIT;

	if (!text)
		return;
	if (!strcmp(text, "auto")) {
		*kind = SPEC_SIZE_AUTO;
	} else if (partition && !strcmp(text, "rest")) {
		*kind = SPEC_SIZE_REST;
	} else if (partition && read_percent(text, bytes)) {
		*kind = SPEC_SIZE_PERCENT;
	} else if (num_parse_size(text, bytes, &e) < 0) {
		schema_bad(s, node, "%s, or auto%s", e.text,
			partition ? ", rest or 1% to 100% of the disk" : "");
	} else {
		*kind = SPEC_SIZE_BYTES;
		if (!*bytes)
			schema_bad(s, node, "'%s' must be more than 0", name);
	}
}

static void read_path(struct schema *s, const struct schema_key *key, int node, char **slot)
{
	const char *text = schema_text(s, node, key->name);
	char *joined;

	if (!text)
		return;
	joined = file_join(s->dir, text, s->err);
	if (!joined) {
		s->stopped = true;
		return;
	}
	free(*slot);
	*slot = joined;
}

static void read_tree_path(struct schema *s, const struct schema_key *key, int node, char **slot)
{
	const char *text = schema_text(s, node, key->name);

	if (!text)
		return;
	if (text[0] != '/')
		schema_bad(s, node, "'%s' is a path inside the image and must begin with '/'", text);
	else if (strlen(text) > 4095)
		schema_bad(s, node, "'%s' is longer than 4095 bytes", key->name);
	else
		schema_set(s, slot, text, strlen(text));
}

static void read_number(struct schema *s, const struct schema_key *key, int node, uint32_t *slot)
{
	uint64_t max = key->max ? key->max : UINT32_MAX;
	const char *text = schema_text(s, node, key->name);
	struct error e = ERROR_INIT;
	uint64_t value;

	if (!text)
		return;
	if (num_parse(text, max, &value, &e) < 0 || value < key->min)
		schema_bad(s, node, "'%s' must be a number from %llu to %llu, not '%s'", key->name,
			(unsigned long long)key->min, (unsigned long long)max, text);
	else
		*slot = (uint32_t)value;
}

static bool read_bool(struct schema *s, const struct schema_key *key, int node, bool *value)
{
	const char *text = schema_text(s, node, key->name);

	if (!text)
		return false;
	*value = !strcmp(text, "true");
	if (*value || !strcmp(text, "false"))
		return true;
	schema_bad(s, node, "'%s' must be true or false, not '%s'", key->name, text);
	return false;
}

static void read_choice(struct schema *s, const struct schema_key *key, int node, char **slot)
{
	const char *text = schema_text(s, node, key->name);
	CLEANUP_BUF struct buf known = BUF_INIT(4096);

	if (!text)
		return;
	for (const char *const *c = key->choices; *c; c++) {
		if (!strcmp(*c, text)) {
			schema_set(s, slot, text, strlen(text));
			return;
		}
		if (buf_addf(&known, s->err, "%s%s", known.len ? ", " : "", *c) < 0) {
			s->stopped = true;
			return;
		}
	}
	schema_bad(s, node, "'%s' cannot be '%s': known are %s", key->name, text, buf_str(&known));
}

static void read_strings(struct schema *s, const struct schema_key *key, int node,
	struct spec_strings *out)
{
	bool list = spec_yaml_kind(s->yaml, node) == SPEC_YAML_LIST;
	size_t nr = list ? spec_yaml_length(s->yaml, node) : 1;

	if (out->items)
		return;
	out->items = schema_array(s, nr + 1, sizeof(*out->items));
	for (size_t i = 0; i < nr && out->items && !s->stopped; i++) {
		int item = list ? spec_yaml_item(s->yaml, node, i) : node;
		const char *text = schema_text(s, item, key->name);

		if (!text)
			continue;
		schema_set(s, &out->items[out->nr], text, strlen(text));
		if (out->items[out->nr])
			out->nr++;
	}
}

void schema_value(struct schema *s, const struct schema_key *key, int node, void *out)
{
	void *field = (char *)out + key->offset;
	bool value;

	if (key->place)
		*(struct diag_place *)((char *)out + key->place) = spec_yaml_place(s->yaml, node);
	switch (key->type) {
	case SCHEMA_TEXT: {
		const char *text = schema_text(s, node, key->name);

		if (text)
			schema_set(s, field, text, strlen(text));
		break;
	}
	case SCHEMA_PATH:
		read_path(s, key, node, field);
		break;
	case SCHEMA_TREE_PATH:
		read_tree_path(s, key, node, field);
		break;
	case SCHEMA_NUMBER:
		read_number(s, key, node, field);
		break;
	case SCHEMA_BOOL:
		if (read_bool(s, key, node, &value))
			*(bool *)field = value;
		break;
	case SCHEMA_TRISTATE:
		if (read_bool(s, key, node, &value))
			*(int *)field = value;
		break;
	case SCHEMA_CHOICE:
		read_choice(s, key, node, field);
		break;
	case SCHEMA_STRINGS:
		read_strings(s, key, node, field);
		break;
	case SCHEMA_CUSTOM:
		key->read(s, key, node, out);
		break;
	case SCHEMA_LATER:
		break;
	}
}

static void unknown_key(struct schema *s, int node, const char *name,
	const struct schema_key *keys, const char *what)
{
	const char *known[KEYS_MAX + 1];
	CLEANUP_BUF struct buf all = BUF_INIT(8192);
	const char *nearest;
	size_t nr = 0;

	for (const struct schema_key *k = keys; k->name; k++) {
		if (k->type == SCHEMA_LATER || nr == KEYS_MAX)
			continue;
		known[nr++] = k->name;
		if (buf_addf(&all, s->err, "%s%s", all.len ? ", " : "", k->name) < 0) {
			s->stopped = true;
			return;
		}
	}
	known[nr] = NULL;
	nearest = options_nearest(name, known);
	if (!strcmp(name, "<<"))
		schema_bad(s, node, "merge keys ('<<') are not supported: write the keys out");
	else if (nearest)
		schema_bad(s, node, "unknown key '%s' in %s: did you mean '%s'? (known are %s)", name,
			what, nearest, buf_str(&all));
	else
		schema_bad(s, node, "unknown key '%s' in %s: known are %s", name, what,
			buf_str(&all));
}

/* One pair; seen[] holds the place of each key's first use. */
static void read_pair(struct schema *s, int key_node, int value, const struct schema_key *keys,
	const char *what, struct diag_place *seen, void *out)
{
	const char *name;
	size_t i;

	if (spec_yaml_kind(s->yaml, key_node) != SPEC_YAML_SCALAR) {
		schema_bad(s, key_node, "a key of %s must be a text", what);
		return;
	}
	name = spec_yaml_text(s->yaml, key_node, NULL);
	for (i = 0; keys[i].name && strcmp(keys[i].name, name); i++)
		;
	if (!keys[i].name) {
		unknown_key(s, key_node, name, keys, what);
	} else if (keys[i].type == SCHEMA_LATER) {
		schema_bad(s, key_node, "'%s' is not supported by this version; %s", name,
			keys[i].hint);
	} else if (seen[i].line) {
		schema_bad(s, key_node, "'%s' is given twice, first in line %u", name, seen[i].line);
	} else {
		seen[i] = spec_yaml_place(s->yaml, key_node);
		schema_value(s, &keys[i], value, out);
	}
}

void schema_map(struct schema *s, int node, const struct schema_key *keys, const char *what,
	void *out)
{
	struct diag_place seen[KEYS_MAX] = {0};
	size_t nr;

	if (!step(s, node))
		return;
	if (spec_yaml_kind(s->yaml, node) != SPEC_YAML_MAP) {
		schema_bad(s, node, "%s must be a mapping (key: value), not %s", what,
			spec_yaml_kind_name(spec_yaml_kind(s->yaml, node)));
		return;
	}
	nr = spec_yaml_length(s->yaml, node);
	for (size_t i = 0; i < nr && !s->stopped; i++) {
		int key, value;

		spec_yaml_pair(s->yaml, node, i, &key, &value);
		if (step(s, key))
			read_pair(s, key, value, keys, what, seen, out);
	}
	for (size_t i = 0; keys[i].name && !s->stopped; i++)
		if ((keys[i].flags & SCHEMA_REQUIRED) && !seen[i].line)
			schema_bad(s, node, "missing key '%s' in %s%s%s", keys[i].name, what,
				keys[i].hint ? ": " : "", keys[i].hint ? keys[i].hint : "");
}
