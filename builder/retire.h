/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of AMIs: what stands against it, deregistration with their snapshots, and which of many are
 * old enough. What is protected is never touched; what is used or shared only when that is said.
 */
#ifndef AMIWRIGHT_BUILDER_RETIRE_H
#define AMIWRIGHT_BUILDER_RETIRE_H

#include "base/json.h"
#include "uploader/ec2.h"

struct retire_opts {
	bool snapshots;       /* delete its snapshots too */
	bool shared;          /* also when others may use it */
	bool used;            /* also when instances of it are there, or were launched lately */
	int64_t used_since;   /* launched after this (seconds since 1970) is lately; 0: not looked at */
	bool dry_run;         /* EC2 says whether it may be done */
};

enum { RETIRE_WHY_SIZE = 320 };

struct retire_snapshot {
	char id[EC2_ID_SIZE];
	bool deleted;              /* or, in a dry run, would be */
	char why[RETIRE_WHY_SIZE]; /* when not */
};

struct retire_result {
	bool deregistered;
	struct retire_snapshot *snapshots; /* owned */
	size_t nr_snapshots;
};
void retire_result_release(struct retire_result *r);

/*
 * What stands against retiring an own image: a text into why, "" when nothing does. Fails when it
 * cannot be found out.
 */
int retire_check(struct aws *aws, const struct ec2_image *image, const struct retire_opts *opts,
	char why[RETIRE_WHY_SIZE], struct error *err) MUST_CHECK;
/*
 * Deregisters it, then deletes the snapshots that no other own image has. Snapshots that stay are
 * said in r; one that could not be deleted is an error, after all were tried. Release r in any case.
 */
int retire_image(struct aws *aws, const struct ec2_image *image, const struct retire_opts *opts,
	struct retire_result *r, struct error *err) MUST_CHECK;

struct json *retire_result_json(const struct retire_result *r, struct error *err) MUST_CHECK;

#endif
