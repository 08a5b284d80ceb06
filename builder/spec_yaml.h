/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML document as numbered nodes with places: the one place that knows libyaml. Aliases lead to
 * the node that they name, nothing is copied, so that an alias bomb costs nothing until somebody
 * walks it; the schema walks to a fixed depth and counts its steps.
 */
#ifndef AMIWRIGHT_BUILDER_SPEC_YAML_H
#define AMIWRIGHT_BUILDER_SPEC_YAML_H

#include "builder/diag.h"

#include <stdbool.h>

struct spec_yaml;

enum spec_yaml_kind { SPEC_YAML_SCALAR, SPEC_YAML_LIST, SPEC_YAML_MAP };

/*
 * Syntax errors and a second document are mistakes in d. NULL when there is nothing to look at
 * (then d or err says why: err is set only when memory is out).
 */
struct spec_yaml *spec_yaml_load(const char *text, size_t len, struct diag *d, struct error *err)
	MUST_CHECK;
void spec_yaml_free(struct spec_yaml *y);

/* Nodes are numbers from 1 on; the document's root is 1. */
enum { SPEC_YAML_ROOT = 1 };

enum spec_yaml_kind spec_yaml_kind(struct spec_yaml *y, int node);
/* "a text", "a list", "a mapping". */
const char *spec_yaml_kind_name(enum spec_yaml_kind kind);
struct diag_place spec_yaml_place(struct spec_yaml *y, int node);
/* The bytes of a scalar as written, NUL-terminated (but it may hold NULs); borrowed from y. */
const char *spec_yaml_text(struct spec_yaml *y, int node, size_t *len);
/* True for a scalar without quotes that says nothing: "", "~". */
bool spec_yaml_is_null(struct spec_yaml *y, int node);
/* Number of items of a list, or of pairs of a mapping. */
size_t spec_yaml_length(struct spec_yaml *y, int node);
int spec_yaml_item(struct spec_yaml *y, int node, size_t index);
void spec_yaml_pair(struct spec_yaml *y, int node, size_t index, int *key, int *value);

#endif
