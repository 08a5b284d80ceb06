/* SPDX-License-Identifier: Apache-2.0 */
/* What commands tell: plans, images and times, as JSON for programs and as text for people. */
#ifndef AMIWRIGHT_BUILDER_REPORT_H
#define AMIWRIGHT_BUILDER_REPORT_H

#include "base/json.h"
#include "builder/plan.h"
#include "formats/format.h"
#include "fs/guest_disks.h"

enum { REPORT_TIMES_MAX = 12 };

/* Where time went, in the order of first use; names are string constants. */
struct report_times {
	struct {
		const char *name;
		uint64_t ms;
	} items[REPORT_TIMES_MAX];
	size_t nr;
};

/* Adds to the item of that name. */
void report_time(struct report_times *t, const char *name, uint64_t ms);
/* {"layers_ms": 12300, …, "total_ms": …}; blanks in names become "_" */
struct json *report_times_json(const struct report_times *t, struct error *err) MUST_CHECK;
/* "where time went: layers 12.3 s, …" to the log. */
void report_times_log(const struct report_times *t);

/* One planned disk: size, table, partitions, file systems. Reproducible: no paths, no times. */
struct json *report_disk_json(const struct plan *p, size_t disk, struct error *err) MUST_CHECK;
/* {"ami_name", "disks": […], "boot_mode", "fitness": fitness_json()} */
struct json *report_plan_json(const struct plan *p, struct error *err) MUST_CHECK;

/* How a planned image starts and what an instance of it would miss, of report_plan_json(), as text. */
int report_start_text(const struct json *plan, struct buf *out, struct error *err) MUST_CHECK;

/* The block device mapping as an array, and as a table of text. */
struct json *report_mapping_json(const struct ec2_mapping *m, size_t nr, struct error *err) MUST_CHECK;
int report_mapping_text(const struct ec2_mapping *m, size_t nr, struct buf *out, struct error *err)
	MUST_CHECK;

/*
 * What an image holds (partition table, file systems, space, operating system, how it starts), read
 * from it. Damage of a table or a file system is noted in the document, not an error. deep: how
 * file systems are read that only an appliance reads; NULL: they are but named.
 */
struct json *report_image_json(const struct image *image, const struct guest_disks_opts *deep,
	struct error *err) MUST_CHECK;

/* A document of report_image_json() or of report_disk_json() as text. */
int report_disk_text(const struct json *disk, struct buf *out, struct error *err) MUST_CHECK;

#endif
