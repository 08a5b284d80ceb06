/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a spec file to disks: read and check, run the layers into a tree, plan, and make each disk
 * as a device that a raw file or a snapshot is written from. `build`, `publish` and `inspect` share
 * it.
 */
#ifndef AMIWRIGHT_BUILDER_BUILD_H
#define AMIWRIGHT_BUILDER_BUILD_H

#include "builder/context.h"
#include "builder/plan.h"
#include "builder/report.h"

struct build_opts {
	const char *spool_dir; /* folder for temporary data; NULL: TMPDIR, or /var/tmp */
	bool unique;           /* salt all derived ids with randomness */
};

struct build {
	struct spec spec;
	struct plan plan;
	struct plan_opts plan_opts; /* what the plan borrows */
	struct tree *tree;     /* owned */
	char salt[33];         /* "" or random hex */
	const char *spool_dir; /* borrowed */
	struct report_times times;
};

/*
 * Reads and checks the spec; nothing else is touched yet. Mistakes are in ctx->diag, all of them.
 * The epoch of the spec becomes SOURCE_DATE_EPOCH when that is set. Release in any case.
 */
int build_read(struct build *b, struct context *ctx, const char *path, const struct build_opts *opts,
	struct error *err) MUST_CHECK;
/* Runs the layers and makes the plan. */
int build_make(struct build *b, struct context *ctx, struct error *err) MUST_CHECK;
/*
 * One disk with content, table and file systems written; close with dev_close() before
 * build_release().
 */
struct dev *build_disk(struct build *b, size_t index, struct error *err) MUST_CHECK;
void build_release(struct build *b);

/*
 * Runs the spec's layers into the tree, in order; errors name the layer's place. Layers of OCI
 * images get their digest.
 */
int build_layers(struct spec *s, struct tree *t, struct error *err) MUST_CHECK;

#endif
