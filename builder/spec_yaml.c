/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's document interface behind plain numbers. */
#include "builder/spec_yaml.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

/* A spec nests eight deep. */
enum { DEPTH_MAX = 32 };

struct spec_yaml {
	yaml_document_t doc;
};

static struct diag_place place_of(yaml_mark_t mark)
{
	return (struct diag_place){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static void add_problem(const yaml_parser_t *p, struct diag *d)
{
	const char *problem = p->problem ? p->problem : "it cannot be read";

	if (p->error == YAML_READER_ERROR)
		/* The reader counts bytes, not lines. */
		diag_add(d, (struct diag_place){0, 0}, "not valid YAML: %s at byte %zu", problem,
			p->problem_offset);
	else if (p->context && p->context_mark.line != p->problem_mark.line)
		diag_add(d, place_of(p->problem_mark), "not valid YAML: %s (%s that began in line %zu)",
			problem, p->context, p->context_mark.line + 1);
	else
		diag_add(d, place_of(p->problem_mark), "not valid YAML: %s", problem);
}

/* Anything after the first document is a mistake. */
static void check_end(yaml_parser_t *p, struct diag *d)
{
	yaml_document_t more;
	yaml_node_t *root;

	if (!yaml_parser_load(p, &more)) {
		add_problem(p, d);
		return;
	}
	root = yaml_document_get_root_node(&more);
	if (root)
		diag_add(d, place_of(root->start_mark), "a second document begins here: one file is one spec");
	yaml_document_delete(&more);
}

static int load(yaml_parser_t *p, struct spec_yaml *y, struct diag *d, struct error *err)
{
	if (!yaml_parser_load(p, &y->doc)) {
		if (p->error == YAML_MEMORY_ERROR)
			return error_nomem(err, "the spec");
		add_problem(p, d);
		return -1;
	}
	if (!yaml_document_get_root_node(&y->doc)) {
		diag_add(d, (struct diag_place){0, 0}, "the file is empty: a spec has at least "
						       "'name', 'version', 'architecture' and 'disks'");
		yaml_document_delete(&y->doc);
		return -1;
	}
	check_end(p, d);
	return 0;
}

/*
 * libyaml's time grows with the square of the depth: a look at the events alone ends where it is too
 * deep. -1 when memory is out. Mistakes of syntax are left to the reading itself.
 */
static int find_too_deep(const char *text, size_t len, bool *deep, struct diag_place *place)
{
	unsigned depth = 0;
	bool end = false;
	yaml_parser_t p;

	*deep = false;
	if (!yaml_parser_initialize(&p))
		return -1;
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	while (!end && !*deep) {
		yaml_event_t e;

		if (!yaml_parser_parse(&p, &e))
			break;
		end = e.type == YAML_STREAM_END_EVENT;
		if (e.type == YAML_SEQUENCE_START_EVENT || e.type == YAML_MAPPING_START_EVENT)
			depth++;
		if (e.type == YAML_SEQUENCE_END_EVENT || e.type == YAML_MAPPING_END_EVENT)
			depth--;
		*deep = depth > DEPTH_MAX;
		*place = place_of(e.start_mark);
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&p);
	return 0;
}

struct spec_yaml *spec_yaml_load(const char *text, size_t len, struct diag *d, struct error *err)
{
	struct spec_yaml *y;
	struct diag_place place = {0, 0};
	yaml_parser_t parser;
	bool deep;
	int ret;

	if (find_too_deep(text, len, &deep, &place) < 0) {
		error_nomem(err, "the spec");
		return NULL;
	}
	if (deep) {
		diag_add(d, place, "lists and mappings are nested more than %d deep: no spec is", DEPTH_MAX);
		return NULL;
	}
	y = calloc(1, sizeof(*y));
	if (!y || !yaml_parser_initialize(&parser)) {
		free(y);
		error_nomem(err, "the spec");
		return NULL;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	ret = load(&parser, y, d, err);
	yaml_parser_delete(&parser);
	if (ret < 0) {
		free(y);
		return NULL;
	}
	return y;
}

void spec_yaml_free(struct spec_yaml *y)
{
	if (!y)
		return;
	yaml_document_delete(&y->doc);
	free(y);
}

static yaml_node_t *node_of(struct spec_yaml *y, int node)
{
	return yaml_document_get_node(&y->doc, node);
}

enum spec_yaml_kind spec_yaml_kind(struct spec_yaml *y, int node)
{
	switch (node_of(y, node)->type) {
	case YAML_SEQUENCE_NODE:
		return SPEC_YAML_LIST;
	case YAML_MAPPING_NODE:
		return SPEC_YAML_MAP;
	default:
		return SPEC_YAML_SCALAR;
	}
}

const char *spec_yaml_kind_name(enum spec_yaml_kind kind)
{
	static const char *const names[] = {"a text", "a list", "a mapping"};

	return names[kind];
}

struct diag_place spec_yaml_place(struct spec_yaml *y, int node)
{
	return place_of(node_of(y, node)->start_mark);
}

const char *spec_yaml_text(struct spec_yaml *y, int node, size_t *len)
{
	yaml_node_t *n = node_of(y, node);

	if (len)
		*len = n->data.scalar.length;
	return (const char *)n->data.scalar.value;
}

bool spec_yaml_is_null(struct spec_yaml *y, int node)
{
	yaml_node_t *n = node_of(y, node);
	const char *text;

	if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	text = (const char *)n->data.scalar.value;
	return !*text || !strcmp(text, "~");
}

size_t spec_yaml_length(struct spec_yaml *y, int node)
{
	yaml_node_t *n = node_of(y, node);

	if (n->type == YAML_SEQUENCE_NODE)
		return (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	return (size_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
}

int spec_yaml_item(struct spec_yaml *y, int node, size_t index)
{
	return node_of(y, node)->data.sequence.items.start[index];
}

void spec_yaml_pair(struct spec_yaml *y, int node, size_t index, int *key, int *value)
{
	yaml_node_pair_t *pair = &node_of(y, node)->data.mapping.pairs.start[index];

	*key = pair->key;
	*value = pair->value;
}
