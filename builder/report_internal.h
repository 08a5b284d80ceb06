/* SPDX-License-Identifier: Apache-2.0 */
/* What planned and found disks have in common. */
#ifndef AMIWRIGHT_BUILDER_REPORT_INTERNAL_H
#define AMIWRIGHT_BUILDER_REPORT_INTERNAL_H

#include "builder/report.h"

/* By enum partition_table_kind; NULL for none. */
extern const char *const report_table_names[];

/* As text. */
int report_set_uuid(struct json *obj, const char *key, const uint8_t uuid[16], struct error *err)
	MUST_CHECK;
/* Adds a partition to the list, with its file system when it has one (fs may be NULL; taken). */
int report_add_partition(struct json *list, const struct partition_table *table, size_t index,
	struct json *fs, struct error *err) MUST_CHECK;

/* Sets the key unless it is there: the first reason counts. */
int report_set_once(struct json *fs, const char *key, const char *text, struct error *err) MUST_CHECK;
/* "size", "used", "free", in bytes. */
int report_set_usage(struct json *fs, uint64_t size, uint64_t used, struct error *err) MUST_CHECK;

#endif
