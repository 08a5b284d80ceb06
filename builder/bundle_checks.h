/* SPDX-License-Identifier: Apache-2.0 */
/* What `bundle` looks at before work, apart from its options: files that it would lose, room, who could start it. */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_CHECKS_H
#define AMIWRIGHT_BUILDER_BUNDLE_CHECKS_H

#include "base/dev.h"
#include "builder/bundle_options.h"
#include "builder/spec.h"

/*
 * That no file of the bundle is one that is read. path: the image, or the file of spec s (NULL: an image).
 * ERROR_USAGE, ERROR_IO when the manifest cannot be made.
 */
int bundle_check_files(const struct bundle_options *o, const char *path, const struct spec *s,
	const char *prefix, struct error *err) MUST_CHECK;
/* A bundle that is right, and that no instance will ever start. boot_mode: as for RegisterImage; NULL: not known. */
void bundle_warn_of_reach(const char *architecture, const char *boot_mode);
/* How well it compresses is not known before: that it might not fit is all that can be said. */
int bundle_warn_of_space(const char *dir, struct dev *dev, struct error *err) MUST_CHECK;

#endif
