/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plain tar header cannot hold, as records ("LENGTH key=value\n") that go before it: long names,
 * large numbers, fractions of a second, extended attributes, ACLs. Sources: POSIX.1-2017 pax(1), star(5)
 * (SCHILY records).
 */
#ifndef AMIWRIGHT_FS_TREE_TAR_PAX_H
#define AMIWRIGHT_FS_TREE_TAR_PAX_H

#include "fs/tree.h"

/* Appends a record. */
int tar_pax_add(struct buf *pax, const char *key, const void *value, size_t value_len,
	struct error *err) MUST_CHECK;
/* The same of a decimal number. */
int tar_pax_number(struct buf *pax, const char *key, uint64_t value, struct error *err) MUST_CHECK;

/*
 * A number into its field of a header, of size 8 or 12 bytes; one that is too large becomes a record,
 * and the field 0.
 */
int tar_pax_field(struct buf *pax, char *field, size_t size, const char *key, uint64_t value,
	struct error *err) MUST_CHECK;
/* The beginning of text into its field; all of it as a record when it is longer and key not NULL. */
int tar_pax_text(struct buf *pax, char field[100], const char *key, const struct buf *text,
	struct error *err) MUST_CHECK;
/* A time into its field, and a record when it has a fraction or is before 1970. */
int tar_pax_mtime(struct buf *pax, char field[12], const struct tree_attr *a, struct error *err)
	MUST_CHECK;
/* A record for each extended attribute and ACL. ERROR_INPUT naming the path for a damaged ACL. */
int tar_pax_xattrs(struct buf *pax, const struct tree *t, tree_node node, struct error *err)
	MUST_CHECK;

/* "'/the/path': what" as ERROR_INPUT; always -1. */
int tar_path_error(const struct tree *t, tree_node node, const char *what, struct error *err);

#endif
