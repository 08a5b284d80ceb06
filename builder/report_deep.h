/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of an image an appliance is to look into (fs/guest_disks.h): gathered while the image is
 * reported, looked into together at the end. What is found goes into the file systems' objects:
 *
 *   {"type", "label", "uuid", "size", "used", "free", "damage",
 *    "unread": why its files were not looked at, when it is not damaged,
 *    "group": the LVM group or md array that it is a part of,
 *    "volumes": [{"name": "group/name", "md127", or null: what LUKS hides, "size": null when not active,
 *     "filesystem": {…} or null, "unread"}]}
 */
#ifndef AMIWRIGHT_BUILDER_REPORT_DEEP_H
#define AMIWRIGHT_BUILDER_REPORT_DEEP_H

#include "builder/os_facts.h"
#include "fs/guest_disks.h"

struct report_deep {
	const struct guest_disks_opts *opts; /* NULL: nothing is looked into; borrowed */
	struct dev **devs;                   /* windows on the image; owned, as is the array */
	struct json **objects;               /* of the file systems on them; the objects are borrowed */
	size_t nr;
};

/* Whether a file system of that type is one for the appliance. */
bool report_deep_takes(const struct report_deep *d, const char *type);
/* [off, off+len) of dev, borrowed until report_deep_release(); fs: its object, which must stay. */
int report_deep_add(struct report_deep *d, struct dev *dev, uint64_t off, uint64_t len, struct json *fs,
	struct error *err) MUST_CHECK;
/*
 * Looks into all that was added, and tells facts what the files say. Damage of a file system goes into
 * its object; that the appliance does not work is an error, as for guest_disks_open().
 */
int report_deep_run(struct report_deep *d, struct os_facts *facts, struct error *err) MUST_CHECK;
/* Zeroed is fine. */
void report_deep_release(struct report_deep *d);

#endif
