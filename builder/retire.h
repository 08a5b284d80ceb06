/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of AMIs: what stands against it, deregistration with their snapshots, and which of many are
 * old enough. What is protected is never touched; what is used or shared only when that is said.
 *
 * A deregistered AMI no longer says which snapshots it had. So those that go with it get the tag
 * RETIRE_TAG = its id first, and what an interruption left is found again by that.
 */
#ifndef AMIWRIGHT_BUILDER_RETIRE_H
#define AMIWRIGHT_BUILDER_RETIRE_H

#include "base/json.h"
#include "uploader/ec2.h"

#define RETIRE_TAG "amiwright:retire"

struct retire_opts {
	bool snapshots;       /* delete its snapshots too */
	bool shared;          /* also when others may use it */
	bool used;            /* also when instances of it are there or were launched lately, or templates name it */
	int64_t used_since;   /* launched after this (seconds since 1970) is lately; 0: not looked at */
	bool dry_run;         /* EC2 says whether it may be done */
	const struct aws_tag *mark; /* another tag for the snapshots that go, beside RETIRE_TAG; may be NULL */
};

enum { RETIRE_WHY_SIZE = 320 };

/* What became of an AMI, or of a snapshot. */
enum retire_fate {
	RETIRE_UNTRIED, /* nothing yet */
	RETIRE_DONE,    /* gone, or, in a dry run, would be */
	RETIRE_UNKNOWN, /* asked for, and the answer is not known */
	RETIRE_KEPT,    /* it stays */
};
/* "untried", "done", "unknown", "kept" */
const char *retire_fate_name(enum retire_fate fate);

struct retire_snapshot {
	char id[EC2_ID_SIZE];
	enum retire_fate fate;
	bool goes;                 /* by the plan; an error when it does not */
	char why[RETIRE_WHY_SIZE]; /* when not RETIRE_DONE */
};

struct retire_result {
	enum retire_fate image;
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
 * said in r; one that could not be deleted is an error, after all were tried, and its text says what
 * is left. An AMI that turns out to be gone is done. Release r in any case.
 */
int retire_image(struct aws *aws, const struct ec2_image *image, const struct retire_opts *opts,
	struct retire_result *r, struct error *err) MUST_CHECK;
/*
 * The snapshots that an earlier retire_image() left of an AMI that is gone: finds them into r, which
 * has none when there are none; then deletes them. Release r in any case.
 */
int retire_find_rest(struct aws *aws, const char *ami, const struct retire_opts *opts,
	struct retire_result *r, struct error *err) MUST_CHECK;
int retire_rest(struct aws *aws, const char *ami, const struct retire_opts *opts,
	struct retire_result *r, struct error *err) MUST_CHECK;
/* Whether a call failed because the AMI is not there, or not any more. */
bool retire_is_gone(const struct error *err);

/* The snapshots as a list, each with its fate, for --json; the caller's. */
struct json *retire_result_json(const struct retire_result *r, struct error *err) MUST_CHECK;

#endif
