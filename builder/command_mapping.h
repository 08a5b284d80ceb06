/* SPDX-License-Identifier: Apache-2.0 */
/* --snapshot and --map as a block device mapping. */
#ifndef AMIWRIGHT_BUILDER_COMMAND_MAPPING_H
#define AMIWRIGHT_BUILDER_COMMAND_MAPPING_H

#include "builder/options.h"
#include "uploader/ec2.h"

/*
 * snapshots: "[DEV=]SNAP", without DEV on device `root`; maps: "DEV=WHAT", see amiwright(1).
 * *mappings is the caller's to free, also after an error, which is ERROR_USAGE.
 */
int command_mapping_parse(const struct options_list *snapshots, const struct options_list *maps,
	const char *root, struct ec2_mapping **mappings, size_t *nr, struct error *err) MUST_CHECK;

#endif
