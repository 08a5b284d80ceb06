/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of many AMIs are old enough to go. An AMI goes only when everything says so: it is not among
 * the newest of its group, it is older than the given age, and nothing stands against it (retire.h).
 *
 * A group is: one name pattern, one architecture, one value of the grouping tag; an AMI without that
 * tag is in no group and stays. The newest available AMI of a group never goes; those that are
 * deprecated are counted after all that are not.
 */
#ifndef AMIWRIGHT_BUILDER_PRUNE_H
#define AMIWRIGHT_BUILDER_PRUNE_H

#include "builder/retire.h"

struct prune_opts {
	const char *const *names; /* patterns; an image belongs to the first that it matches */
	size_t nr_names;
	const char *group_by;     /* key of a tag, or NULL */
	uint64_t keep;            /* newest ones of a group that stay, >= 1 */
	int64_t older_than_s;     /* 0: of any age */
	int64_t now;              /* seconds since 1970 */
	bool remove;              /* else only the plan is made */
	struct retire_opts retire;
};

struct prune_item {
	struct ec2_image *image;   /* of the list */
	size_t name;               /* index of its pattern */
	bool remove;
	char why[RETIRE_WHY_SIZE]; /* why it stays, or goes */
	struct retire_result done;
	struct error error;        /* when removing it failed */
};

struct prune {
	struct ec2_image_list list;
	struct prune_item *items; /* owned; by group, newest first */
	size_t nr;
};

/*
 * A pattern must begin with three characters that are no wildcards, unless images are grouped by a
 * tag: "*" would make one group of images that have nothing in common.
 */
int prune_check_name(const char *pattern, bool grouped, struct error *err) MUST_CHECK;
/* Whether a name matches a pattern with * and ?, as EC2's filters do. */
bool prune_matches(const char *pattern, const char *name);
/* Sorts the items of p, and decides by number and age; asks nobody. */
void prune_plan(struct prune *p, const struct prune_opts *opts);

/*
 * Lists, plans, checks what would go, and removes it. Images that could not be removed do not stop
 * the others: the error counts them. Release in any case.
 */
int prune_run(struct prune *p, struct aws *aws, const struct prune_opts *opts, struct error *err)
	MUST_CHECK;
void prune_release(struct prune *p);

#endif
