/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the reader of OVAs: members of the archive, found by their headers alone. Names and sizes are taken
 * from pax records and GNU's headers where those have them, since 100 bytes and 8 GiB are all that a plain header
 * can say. Sources: POSIX.1-2017 pax, "pax Interchange Format"; the GNU tar manual, "Basic Tar Format".
 */
#ifndef AMIWRIGHT_FORMATS_OVA_TAR_H
#define AMIWRIGHT_FORMATS_OVA_TAR_H

#include "base/dev.h"

struct ova_tar {
	struct dev *file; /* borrowed */
	const char *path; /* for messages; borrowed */
};

/* Where the content of a member lies, all in the file. */
struct ova_place {
	uint64_t off, size;
};

/*
 * The first plain file called name ("./" before it does not count); of that suffix when name is NULL. 1: found,
 * 0: there is none. ERROR_INPUT when the archive is damaged or stores a file as a sparse one.
 */
int ova_tar_find(const struct ova_tar *t, const char *name, const char *suffix, struct ova_place *place,
	struct error *err) MUST_CHECK;

#endif
