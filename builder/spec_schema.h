/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of YAML mappings by tables of keys. A mistake is noted with its place and reading goes
 * on, so that one run shows all of them; what could not be read stays as it was (NULL, 0).
 */
#ifndef AMIWRIGHT_BUILDER_SPEC_SCHEMA_H
#define AMIWRIGHT_BUILDER_SPEC_SCHEMA_H

#include "builder/spec.h"
#include "builder/spec_yaml.h"

struct schema {
	struct spec_yaml *yaml;
	struct diag *diag;
	const char *dir;  /* folder that host paths are joined with; NULL: none */
	unsigned steps;   /* nodes looked at: aliases can make a small file endless */
	bool stopped;     /* out of memory or steps: err says so */
	struct error *err;
};

enum schema_type {
	SCHEMA_TEXT,     /* char *; not empty, no NUL byte */
	SCHEMA_PATH,     /* char *; host path, joined with the spec's folder */
	SCHEMA_TREE_PATH, /* char *; absolute path in the tree */
	SCHEMA_NUMBER,   /* uint32_t between min and max */
	SCHEMA_BOOL,     /* bool */
	SCHEMA_TRISTATE, /* int: 0 or 1 */
	SCHEMA_CHOICE,   /* char *; one of choices */
	SCHEMA_STRINGS,  /* struct spec_strings from one text or a list of texts */
	SCHEMA_CUSTOM,   /* read() */
	SCHEMA_LATER,    /* a key of a later version: refused; hint says what this version has */
};

enum { SCHEMA_REQUIRED = 1 };

struct schema_key {
	const char *name; /* NULL ends a table */
	enum schema_type type;
	unsigned flags;
	size_t offset;    /* of the field */
	size_t place;     /* of a struct diag_place that gets the value's place; 0: none */
	uint64_t min, max;
	const char *const *choices;
	const char *hint; /* SCHEMA_LATER: what to do instead; else what a missing key would be */
	/* For SCHEMA_CUSTOM; out is the whole struct. */
	void (*read)(struct schema *s, const struct schema_key *key, int node, void *out);
};

/* Reads a mapping into the struct `out` by the table; what ("a partition") is for messages. */
void schema_map(struct schema *s, int node, const struct schema_key *keys, const char *what,
	void *out);
/* Reads one value as the key says, as schema_map() would do. */
void schema_value(struct schema *s, const struct schema_key *key, int node, void *out);

/* A mistake at a node. */
void schema_bad(struct schema *s, int node, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* False, and noted, when the node is not of this kind. name: the key's. */
bool schema_is(struct schema *s, int node, enum spec_yaml_kind kind, const char *name);
/* The text of a scalar that is not empty and without NUL; NULL and noted otherwise. Borrowed. */
const char *schema_text(struct schema *s, int node, const char *name);
/* Replaces *slot by a copy of text. */
void schema_set(struct schema *s, char **slot, const char *text, size_t len);
/* An array of nr zeroed items; NULL when nr is 0 or memory is out (then stopped). */
void *schema_array(struct schema *s, size_t nr, size_t size);
/* A size in bytes, or auto; in a partition also rest or a percentage of the disk. */
void schema_size(struct schema *s, int node, const char *name, bool partition,
	enum spec_size_kind *kind, uint64_t *bytes);

/* One function for each part of the spec; out is what the part fills. */
void spec_read_layers(struct schema *s, const struct schema_key *key, int node, void *spec);
void spec_read_disks(struct schema *s, const struct schema_key *key, int node, void *spec);
void spec_read_boot(struct schema *s, const struct schema_key *key, int node, void *spec);
void spec_read_ami(struct schema *s, const struct schema_key *key, int node, void *spec);
void spec_read_copies(struct schema *s, const struct schema_key *key, int node, void *spec);
void spec_read_share(struct schema *s, const struct schema_key *key, int node, void *spec);
void spec_read_deprecate(struct schema *s, const struct schema_key *key, int node, void *spec);

/* Rules that need more than one key; then those of a disk's partitions, of booting, of publishing. */
void spec_check(const struct spec *spec, struct diag *d);
void spec_check_table(const struct spec *spec, const struct spec_disk *disk, struct diag *d);
/* A label that was given, of a partition or a disk; each may be NULL. */
void spec_check_label(const char *label, const char *filesystem, struct diag_place place, struct diag *d);
void spec_check_boot(const struct spec *spec, struct diag *d);
void spec_check_publish(const struct spec *spec, struct diag *d);
/* Whether the sources on the host are there and can be read. */
void spec_check_sources(const struct spec *spec, struct diag *d);

#endif
