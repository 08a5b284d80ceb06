/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one member of a tar stream, as its bytes come: plain files and GNU tar's sparse ones. Nothing of
 * the archive becomes a path.
 *
 * Sources: POSIX.1-2001 pax ("ustar Interchange Format", "pax Extended Header"); the GNU tar manual,
 * "Standard" (base-256 numbers, old sparse format) and "Storing Sparse Files" (pax formats 0.0, 0.1
 * and 1.0).
 */
#ifndef AMIWRIGHT_FORMATS_UNBUNDLE_TAR_H
#define AMIWRIGHT_FORMATS_UNBUNDLE_TAR_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Gets the file's content from its start to its end: data, or with data NULL that many zeros. Calls
 * join without a gap.
 */
typedef int (*unbundle_tar_fn)(void *arg, const void *data, uint64_t len, struct error *err);

struct unbundle_tar;
/* size: bytes that the file must have. Memory: 16 bytes for each piece of a sparse file, 64 MiB at most. */
struct unbundle_tar *unbundle_tar_new(uint64_t size, unbundle_tar_fn sink, void *arg, struct error *err)
	MUST_CHECK;
void unbundle_tar_free(struct unbundle_tar *t);
DEFINE_CLEANUP(unbundle_tar, struct unbundle_tar, unbundle_tar_free)

/* The next bytes of the stream. ERROR_INPUT, as what is said of a bundle: "its tar …". */
int unbundle_tar_push(struct unbundle_tar *t, const void *data, size_t len, struct error *err)
	MUST_CHECK;
/* The stream has ended: ERROR_INPUT unless all of the file came. */
int unbundle_tar_end(struct unbundle_tar *t, struct error *err) MUST_CHECK;

#endif
