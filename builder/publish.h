/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From planned disks to an AMI in all its regions, as one transaction that may be repeated: what is
 * there is found, what is missing is made. Snapshots are found by the tag amiwright:content, whose
 * value is the digest of what they hold, and the AMI by its name and the same tag, whose value is
 * then the digest of all that the AMI is. What a run made is noted in a journal until all is done
 * (publish_journal.h), for the next run and for publish_clean_up().
 */
#ifndef AMIWRIGHT_BUILDER_PUBLISH_H
#define AMIWRIGHT_BUILDER_PUBLISH_H

#include "builder/build.h"
#include "builder/publish_journal.h"
#include "uploader/ec2_encryption.h"
#include "uploader/snapshot.h"

/* On AMIs and snapshots; the second has the spec's name, by which predecessors are known. */
#define PUBLISH_TAG "amiwright:content"
#define PUBLISH_NAME_TAG "amiwright:name"

struct publish_disk {
	struct dev *dev;             /* owned */
	char content[SHA256_HEX_SIZE];
	char snapshot[EC2_ID_SIZE];
	bool reused;                 /* it was there already */
	struct snapshot_result sent; /* when not reused */
};

/* The AMI in one region. */
struct publish_region {
	const char *name;            /* borrowed */
	const struct spec_copy *copy; /* NULL: where it is registered */
	char ami[EC2_ID_SIZE];       /* "" before it is there */
	bool existing;               /* it was there already */
	/* Verdict of EC2's rules, before anything is made; only when `judged`. */
	bool judged;
	enum ec2_copy_key key;       /* how the snapshots will be encrypted */
	char kms_key[EC2_KEY_SIZE];  /* ARN, when it is a given one; else "" */
};

struct publish {
	struct build *build;         /* borrowed */
	struct context *ctx;         /* borrowed */
	struct publish_disk *disks;  /* owned; one for each of the spec's */
	struct publish_region *regions; /* owned; the first is where it is registered */
	size_t nr_regions;
	struct ec2_mapping *mappings; /* owned */
	struct ec2_image_list same_name; /* images of that name, found before any work */
	struct aws_tag *tags;        /* owned array; the spec's and ours; texts borrowed */
	size_t nr_tags;
	struct publish_journal journal;
	char name[EC2_NAME_SIZE];
	char content[SHA256_HEX_SIZE]; /* of the AMI */
	bool existing;               /* the AMI was there already */
	bool offline;                /* AWS is not asked: only for a plan */
};

/*
 * Connects, unless offline; no call is made yet. The build has been read, not made. Release in any
 * case.
 */
int publish_begin(struct publish *p, struct build *b, struct context *ctx, bool offline,
	struct error *err) MUST_CHECK;
/*
 * Looks for the AMI's name and judges encryption and sharing: what is wrong with credentials,
 * network or the spec's wishes shows here, before any work. ERROR_POLICY when a rule of EC2 stands
 * against them. Nothing is changed.
 */
int publish_check(struct publish *p, struct error *err) MUST_CHECK;
/* Before publish_run(): ERROR_POLICY when another process publishes this AMI. */
int publish_open_journal(struct publish *p, struct error *err) MUST_CHECK;
/*
 * Hashes the disks and looks for what is there already; changes nothing. ERROR_POLICY when the name
 * is taken by other content.
 */
int publish_look(struct publish *p, struct error *err) MUST_CHECK;
/*
 * Uploads what is not there, registers, copies, shares, protects, deprecates. After a failure the
 * log says what exists; the same call goes on.
 */
int publish_run(struct publish *p, struct error *err) MUST_CHECK;
/* Before build_release(). */
void publish_release(struct publish *p);

/*
 * Removes what unfinished publications of this spec's AMI left in AWS: pending snapshots, and
 * images and snapshots that the journal names. dry_run: only says them. out gets the ids, a line
 * each. What a finished publication made is not touched. After publish_open_journal().
 */
int publish_clean_up(struct publish *p, bool dry_run, struct buf *out, struct error *err) MUST_CHECK;

/* The plan as JSON or text: what would be made, the calls, their cost, the verdicts. */
struct json *publish_plan_json(struct publish *p, struct error *err) MUST_CHECK;
int publish_plan_text(struct publish *p, struct buf *out, struct error *err) MUST_CHECK;

#endif
