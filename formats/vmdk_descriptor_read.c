/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of any making. What matters to a reader is whether there is a parent and where the
 * extents are; the disk data base is passed over.
 */
#include "formats/vmdk_descriptor.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/num.h"
#include "base/text.h"
#include "formats/vmdk_header.h"

#define NO_PARENT "ffffffff"

/* No EBS volume is larger; and an extent of zeros needs no file that would be a bound. */
#define SECTORS_MAX (64 * TIB / VMDK_SECTOR)

/* A line cut into what spaces and quotes part; quotes are taken away. */
enum { WORDS_MAX = 5, LINE_MAX_LEN = 4096 };

struct words {
	char line[LINE_MAX_LEN];
	char *word[WORDS_MAX];
	size_t nr;
};

struct parser {
	struct vmdk_descriptor *d;
	const char *path;
	unsigned line;
	bool with_extents;
	uint64_t sectors;
};

static int bad(const struct parser *p, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s': line %u of its descriptor %s", p->path, p->line, what);
}

static bool split(struct words *w, const char *text, size_t len)
{
	char *at = w->line;

	if (len >= sizeof(w->line))
		return false;
	memcpy(w->line, text, len);
	w->line[len] = '\0';
	w->nr = 0;
	for (at += strspn(at, " \t\r"); *at && w->nr < WORDS_MAX; at += strspn(at, " \t\r")) {
		bool quoted = *at == '"';
		char *end = quoted ? strchr(at + 1, '"') : at + strcspn(at, " \t\r");

		if (!end)
			return false;
		w->word[w->nr++] = at + quoted;
		at = *end ? end + 1 : end;
		*end = '\0';
	}
	return true;
}

/* KEY = VALUE with any spaces and quotes, cut in place; NULL when the line has another key. */
static const char *value_of(char *line, const char *key)
{
	size_t len = strlen(key);
	char *at = line + strspn(line, " \t"), *end;

	if (strncasecmp(at, key, len) != 0)
		return NULL;
	at += len + strspn(at + len, " \t");
	if (*at != '=')
		return NULL;
	at++;
	at += strspn(at, " \t\"");
	end = at + strcspn(at, "\"\r");
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return at;
}

static int read_key(struct parser *p, char *line, struct error *err)
{
	const char *value = value_of(line, "parentCID");
	char parent[17];

	snprintf(parent, sizeof(parent), "%s", value ? value : "");
	text_make_printable(parent);
	if (value && strcasecmp(value, NO_PARENT) != 0)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a delta disk: it has only what changed since its parent (CID %s). Consolidate its "
			"snapshots, or convert it beside its parent: qemu-img convert -O raw IN OUT",
			p->path, parent);
	value = value_of(line, "createType");
	if (value)
		snprintf(p->d->create_type, sizeof(p->d->create_type), "%s", value);
	text_make_printable(p->d->create_type);
	return 0;
}

struct type_name {
	const char *name;
	int type;           /* -1: not read */
	const char *reason; /* what such an extent is */
};

static const struct type_name types[] = {
	{"ZERO", VMDK_EXTENT_ZERO, NULL},
	{"FLAT", VMDK_EXTENT_FLAT, NULL},
	{"VMFS", VMDK_EXTENT_FLAT, NULL}, /* ESXi's flat files */
	{"SPARSE", VMDK_EXTENT_SPARSE, NULL},
	{"VMFSSPARSE", -1, "ESXi's COWD format"},
	{"SESPARSE", -1, "ESXi's seSparse format"},
	{"VMFSRDM", -1, "a device of an ESXi host"},
	{"VMFSRAW", -1, "a device of an ESXi host"},
};

static int find_type(const struct parser *p, const char *name, struct vmdk_extent_line *e,
	struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcasecmp(types[i].name, name) != 0)
			continue;
		e->type = (enum vmdk_extent_type)types[i].type;
		if (types[i].type >= 0)
			return 0;
		return error_set(err, ERROR_INPUT, 0,
			"'%s' has an extent in %s, which cannot be read; convert it where it was made: "
			"vmkfstools -i IN -d thin OUT",
			p->path, types[i].reason);
	}
	return bad(p, "has an extent of a type that is not known", err);
}

/* A descriptor may come from anybody, so it cannot point at files elsewhere, devices least of all. */
static int take_name(
	const struct parser *p, const char *name, struct vmdk_extent_line *e, struct error *err)
{
	char shown[201];

	snprintf(shown, sizeof(shown), "%s", name);
	text_make_printable(shown);
	for (const char *c = name; *c; c++)
		if (iscntrl((unsigned char)*c))
			return error_set(err, ERROR_INPUT, 0,
				"'%s': line %u of its descriptor names '%s', which has a control character",
				p->path, p->line, shown);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strpbrk(name, "/\\"))
		return error_set(err, ERROR_INPUT, 0,
			"'%s': line %u of its descriptor names '%s': an extent must be a file beside the "
			"descriptor, named without a folder",
			p->path, p->line, shown);
	e->name = strdup(name);
	return e->name ? 0 : error_nomem(err, "the name of an extent");
}

static int take_numbers(
	struct parser *p, const struct words *w, struct vmdk_extent_line *e, struct error *err)
{
	const uint64_t max = UINT64_MAX / VMDK_SECTOR / 4; /* offsets, too */

	if (num_parse(w->word[1], max, &e->sectors, NULL) < 0 || !e->sectors)
		return bad(p, "has no number of sectors that is possible", err);
	if (e->type == VMDK_EXTENT_FLAT && w->nr > 4 && num_parse(w->word[4], max, &e->off, NULL) < 0)
		return bad(p, "has no offset that is possible", err);
	p->sectors += e->sectors;
	if (p->sectors > SECTORS_MAX)
		return bad(p, "makes the disk larger than 64 TiB, which no volume has", err);
	return 0;
}

static struct vmdk_extent_line *new_extent(struct parser *p, struct error *err)
{
	struct vmdk_descriptor *d = p->d;
	struct vmdk_extent_line *e;

	if (d->nr_extents == VMDK_EXTENTS_MAX)
		return error_null(err, ERROR_INPUT, 0, "'%s' has more than %d extents", p->path, VMDK_EXTENTS_MAX);
	if (ARRAY_GROW(d->extents, d->nr_extents + 1, d->alloc_extents, "the extents of a disk", err) < 0)
		return NULL;
	e = &d->extents[d->nr_extents++];
	memset(e, 0, sizeof(*e));
	return e;
}

static int read_extent(struct parser *p, const struct words *w, struct error *err)
{
	struct vmdk_extent_line *e;

	if (strcasecmp(w->word[0], "NOACCESS") == 0)
		return bad(p, "has an extent that nobody may read (NOACCESS)", err);
	if (w->nr < 3)
		return bad(p, "is no whole extent: ACCESS SECTORS TYPE \"FILE\" is right", err);
	e = new_extent(p, err);
	if (!e || find_type(p, w->word[2], e, err) < 0 || take_numbers(p, w, e, err) < 0)
		return -1;
	if (e->type == VMDK_EXTENT_ZERO)
		return 0;
	if (w->nr < 4)
		return bad(p, "has an extent without a file", err);
	return take_name(p, w->word[3], e, err);
}

static bool is_access(const char *word)
{
	return strcasecmp(word, "RW") == 0 || strcasecmp(word, "RDONLY") == 0 ||
	       strcasecmp(word, "NOACCESS") == 0;
}

static int read_line(struct parser *p, const char *text, size_t len, struct error *err)
{
	struct words w;
	char line[LINE_MAX_LEN];

	p->line++;
	if (!len || *text == '#')
		return 0;
	if (len >= sizeof(line))
		return bad(p, "is too long", err);
	memcpy(line, text, len);
	line[len] = '\0';
	if (read_key(p, line, err) < 0)
		return -1;
	if (!split(&w, text, len) || !w.nr || !is_access(w.word[0]) || !p->with_extents)
		return 0;
	return read_extent(p, &w, err);
}

int vmdk_descriptor_parse(struct vmdk_descriptor *d, const char *text, size_t len, bool with_extents,
	const char *path, struct error *err)
{
	struct parser p = {.d = d, .path = path, .with_extents = with_extents};
	const char *end = text + strnlen(text, len);

	memset(d, 0, sizeof(*d));
	for (const char *next; text < end; text = next) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		next = stop ? stop + 1 : end;
		if (read_line(&p, text, (size_t)((stop ? stop : end) - text), err) < 0)
			return -1;
	}
	if (with_extents && !d->nr_extents)
		return error_set(err, ERROR_INPUT, 0, "'%s' is a VMDK descriptor without extents", path);
	return 0;
}

void vmdk_descriptor_release(struct vmdk_descriptor *d)
{
	for (size_t i = 0; i < d->nr_extents; i++)
		free(d->extents[i].name);
	free(d->extents);
	memset(d, 0, sizeof(*d));
}
