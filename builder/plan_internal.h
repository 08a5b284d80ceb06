/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plan share. */
#ifndef AMIWRIGHT_BUILDER_PLAN_INTERNAL_H
#define AMIWRIGHT_BUILDER_PLAN_INTERNAL_H

#include "builder/plan.h"

/*
 * Writes /etc/fstab for all file systems with a mount point, unless the tree has one with entries
 * of its own (then it stays and a warning is logged). Does nothing without a root file system.
 */
int plan_fstab(const struct plan *p, struct tree *t, struct error *err) MUST_CHECK;

/*
 * The AMI name from the template; -1 with ERROR_USAGE for an unknown {word} or a name that EC2
 * would refuse. A field of the spec that is NULL gives "" (its absence is a mistake of its own).
 */
int plan_ami_name(const struct spec *s, int64_t epoch, char out[EC2_NAME_SIZE], struct error *err)
	MUST_CHECK;

/* Index of the disk whose file system is mounted at /, else of the first with content, else 0. */
size_t plan_root_disk(const struct spec *s);

/* True when the spec's disk has content. */
bool plan_spec_has_content(const struct spec_disk *disk);

#endif
