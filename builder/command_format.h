/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the commands that write images, as rows of their tables, and what they come to. */
#ifndef AMIWRIGHT_BUILDER_COMMAND_FORMAT_H
#define AMIWRIGHT_BUILDER_COMMAND_FORMAT_H

#include "builder/context.h"
#include "builder/options.h"
#include "formats/format.h"

struct command_format {
	const char *adapter, *geometry;
	uint64_t level, hardware_version, tools_version;
};

/* Rows for a struct `type` that has a struct command_format `field`. */
#define COMMAND_FORMAT_OPTIONS(type, field)                                                              \
	{"level", 0, OPTIONS_NUMBER, offsetof(type, field.level), "N",                                   \
		"compression from 1 (fast) to 12 (small; 19 for zstd)", 1, 22, NULL},                    \
	{"adapter", 0, OPTIONS_TEXT, offsetof(type, field.adapter), "TYPE",                              \
		"disk controller that a VMDK or OVA names: lsilogic (default), buslogic, ide, "          \
		"lsisas1068, pvscsi",                                                                    \
		0, 0, NULL},                                                                             \
	{"geometry", 0, OPTIONS_TEXT, offsetof(type, field.geometry), "C/H/S",                           \
		"cylinders, heads and sectors that a VMDK names (default: by its size)", 0, 0, NULL},    \
	{"hardware-version", 0, OPTIONS_NUMBER, offsetof(type, field.hardware_version), "N",             \
		"virtual hardware that a VMDK or OVA is for", 1, 99, NULL},                              \
	{"tools-version", 0, OPTIONS_NUMBER, offsetof(type, field.tools_version), "N",                   \
		"version of the guest's tools that a VMDK names", 1, INT32_MAX, NULL}

/*
 * Fills out with the options, this run's workers, spool folder, epoch and signals. ERROR_USAGE
 * for what f does not take or what is wrong, naming the option.
 */
int command_format_opts(const struct command_format *o, struct context *ctx, const struct format *f,
	struct format_write_opts *out, struct error *err) MUST_CHECK;

/* The format that a name (NULL: none) or else the path's suffix says. ERROR_USAGE names both ways. */
const struct format *command_format_find(const char *name, const char *path, const char *option,
	struct error *err) MUST_CHECK;

/* Says that a disk becomes larger in the format than it is, when it does. */
int command_format_note(const struct format *f, uint64_t size, struct error *err) MUST_CHECK;

#endif
