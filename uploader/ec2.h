/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EC2 Query API as far as images and snapshots need it: DescribeSnapshots, DeleteSnapshot,
 * RegisterImage, DescribeImages, CreateTags. Version 2016-11-15.
 */
#ifndef AMIWRIGHT_UPLOADER_EC2_H
#define AMIWRIGHT_UPLOADER_EC2_H

#include "uploader/ebs.h"

enum { EC2_ID_SIZE = 65, EC2_NAME_SIZE = 129, EC2_TEXT_SIZE = 256, EC2_KEY_SIZE = 256 };

struct ec2_snapshot {
	char id[EC2_ID_SIZE];
	char state[16];          /* pending, completed, error */
	char message[EC2_TEXT_SIZE];
	char progress[16];       /* "99%" */
	char description[EC2_TEXT_SIZE];
	char owner[16];
	char start_time[40];
	char kms_key[EC2_KEY_SIZE]; /* ARN, when it is encrypted */
	uint64_t size_gib;
	bool encrypted;
};

struct ec2_tag {
	char key[129], value[257];
};
struct ec2_tag_list {
	struct ec2_tag *items; /* owned */
	size_t nr;
};
void ec2_tag_list_release(struct ec2_tag_list *l);
/* Value of the tag with that key, or NULL. */
const char *ec2_tag_value(const struct ec2_tag_list *l, const char *key);

/* ERROR_SERVICE with code InvalidSnapshot.NotFound when it does not exist. */
int ec2_describe_snapshot(struct aws *a, const char *id, struct ec2_snapshot *out, struct error *err)
	MUST_CHECK;
/*
 * Own snapshots with tag key = value, in the order of the answer. *list is the caller's to free.
 */
int ec2_find_snapshots(struct aws *a, const char *tag_key, const char *tag_value,
	struct ec2_snapshot **list, size_t *nr, struct error *err) MUST_CHECK;
/*
 * Waits until it is completed; ERROR_SERVICE with StateMessage on error; ERROR_NETWORK after
 * timeout_s.
 */
int ec2_wait_snapshot(struct aws *a, const char *id, unsigned timeout_s,
	void (*tick)(void *arg, const struct ec2_snapshot *s), void *arg, struct error *err) MUST_CHECK;
int ec2_delete_snapshot(struct aws *a, const char *id, struct error *err) MUST_CHECK;

/* One entry of a block device mapping; text fields "" and numbers 0 when not set. */
struct ec2_mapping {
	char device[64];         /* "/dev/xvda" */
	char virtual_name[16];   /* "ephemeral0" */
	bool no_device;
	bool ebs;                /* the fields below hold */
	char snapshot[EC2_ID_SIZE];
	uint64_t size_gib;
	char type[16];           /* gp3 … */
	uint32_t iops, throughput;
	int encrypted;           /* -1 not set; only for volumes without snapshot */
	int delete_on_termination; /* -1 not set */
};

struct ec2_image_opts {
	const char *name;        /* 3..128 of letters, digits, ( ) . - / _ and the like */
	const char *description;
	const char *architecture; /* x86_64, arm64, i386 */
	const char *root_device; /* may be NULL with a location */
	const char *location;    /* "bucket/path/x.manifest.xml" of a bundle in S3; NULL: from snapshots */
	const char *virtualization; /* hvm, paravirtual (of a location only); NULL: hvm */
	const char *boot_mode;   /* legacy-bios, uefi, uefi-preferred; NULL: not sent */
	const char *imds;        /* v2.0; NULL: not sent */
	const char *tpm;         /* v2.0; NULL: not sent */
	const char *uefi_data;   /* variable store, base64; NULL: not sent */
	bool ena;
	bool sriov;
	const struct ec2_mapping *mappings;
	size_t nr_mappings;
	const char *const *billing_products;
	size_t nr_billing_products;
	const struct aws_tag *tags;
	size_t nr_tags;
};

/* Refuses what EC2 would refuse, before any call; ERROR_USAGE. */
int ec2_check_image(const struct ec2_image_opts *opts, struct error *err) MUST_CHECK;
/* A lost answer is recovered by name. id gets the AMI id. */
int ec2_register_image(struct aws *a, const struct ec2_image_opts *opts, char id[EC2_ID_SIZE],
	struct error *err) MUST_CHECK;
/* Whether EC2 would let it be registered; nothing is. */
int ec2_try_register(struct aws *a, const struct ec2_image_opts *opts, struct error *err) MUST_CHECK;

/* Times are as EC2 writes them (2026-11-26T10:00:00.000Z); texts that it does not give are "". */
struct ec2_image {
	char id[EC2_ID_SIZE], name[EC2_NAME_SIZE], state[16], architecture[16], root_device[64];
	char creation_date[40], owner[16], boot_mode[24], description[EC2_TEXT_SIZE], imds[8], tpm[8];
	char root_type[16];      /* ebs, instance-store */
	char reason[EC2_TEXT_SIZE]; /* why it failed */
	char deprecation[40], last_launched[40];
	char protection[64];     /* of deregistration: disabled, enabled-with-cooldown … */
	char source[EC2_ID_SIZE], source_region[32]; /* what it is a copy of */
	char location[EC2_TEXT_SIZE];
	bool is_public, ena, product_codes;
	struct ec2_mapping *mappings; /* owned */
	size_t nr_mappings;
	struct ec2_tag_list tags;
};
struct ec2_image_list {
	struct ec2_image *items; /* owned */
	size_t nr;
};
void ec2_image_list_release(struct ec2_image_list *l);

struct ec2_filter {
	const char *name, *value; /* borrowed; wildcards * and ? */
};
struct ec2_image_query {
	const char *owner;       /* self, an account, amazon …; NULL: all that this account may see */
	const char *const *ids;  /* NULL-terminated, or NULL */
	const struct ec2_filter *filters;
	size_t nr_filters;
	bool deprecated;         /* other accounts' deprecated ones too; own ones always come */
	bool disabled;           /* own disabled ones too */
};
/* Images that match all of it, all pages. */
int ec2_find_images(struct aws *a, const struct ec2_image_query *query, struct ec2_image_list *out,
	struct error *err) MUST_CHECK;
/* Own images that match all filters, all pages; ids: NULL-terminated or NULL. */
int ec2_describe_images(struct aws *a, const char *const *ids, const struct ec2_filter *filters,
	size_t nr_filters, struct ec2_image_list *out, struct error *err) MUST_CHECK;
/* Tags of a snapshot. */
int ec2_snapshot_tags(struct aws *a, const char *id, struct ec2_tag_list *out, struct error *err)
	MUST_CHECK;
int ec2_create_tags(struct aws *a, const char *id, const struct aws_tag *tags, size_t nr,
	struct error *err) MUST_CHECK;

#endif
