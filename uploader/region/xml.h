/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of the plain XML that EC2 answers: elements and text, no attributes but the root's
 * namespace.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_XML_H
#define AMIWRIGHT_UPLOADER_REGION_XML_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct xml {
	struct buf *out; /* borrowed */
	bool failed;     /* sticks: nothing is written after the first failure */
};

/* Writes the XML declaration. */
void xml_init(struct xml *x, struct buf *out);
void xml_open(struct xml *x, const char *tag);
/* <tag><suffix> as one name, with a namespace: the root element. */
void xml_open_root(struct xml *x, const char *tag, const char *suffix, const char *ns);
void xml_close(struct xml *x, const char *tag);
/* <tag>text</tag>, escaped; nothing at all when text is NULL. */
void xml_str(struct xml *x, const char *tag, const char *text);
/* Text alone, escaped. */
void xml_text(struct xml *x, const char *text);
void xml_int(struct xml *x, const char *tag, int64_t value);
void xml_bool(struct xml *x, const char *tag, bool value);
void xml_empty(struct xml *x, const char *tag);

#endif
