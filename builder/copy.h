/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AMI or a snapshot into other regions (or its own, to encrypt it anew): all of them at once, one
 * failing does not stop the others, and a repeat finds what is there and goes on. What EC2's rules
 * on encryption forbid is refused before anything is begun.
 *
 * A copy says where it comes from in the tag COPY_TAG ("us-east-1/ami-0123"). One that is there
 * already is known by its name and that tag, or by what EC2 says of its source.
 */
#ifndef AMIWRIGHT_BUILDER_COPY_H
#define AMIWRIGHT_BUILDER_COPY_H

#include "builder/context.h"
#include "uploader/ec2.h"

#define COPY_TAG "amiwright:copy-of"

struct copy_key {
	const char *region; /* NULL: all that have none of their own */
	const char *key;    /* id, alias or ARN of a KMS key of that region */
};

struct copy_opts {
	const char *source;            /* ami-… or snap-… in the context's region */
	const char *const *regions;
	size_t nr_regions;
	const char *name, *description; /* NULL: the source's; a snapshot has no name */
	bool encrypt;                  /* implied by a key */
	bool plain;                    /* the copies must be unencrypted */
	const struct copy_key *keys;
	size_t nr_keys;
	const struct aws_tag *tags;    /* win over the source's */
	size_t nr_tags;
	bool no_tags;                  /* leave the source's tags behind */
	bool no_wait;                  /* begin the copies, no more */
	bool dry_run;                  /* EC2 says whether they could be begun */
	unsigned timeout_s;            /* 0: four hours */
	/*
	 * Called before a copy is asked for (id "") and when EC2 has given its id; -1 ends the whole.
	 * NULL: nobody wants to know.
	 */
	int (*note)(void *arg, const char *region, const char *id, struct error *err);
	void *note_arg;
};

enum copy_state {
	COPY_TO_BEGIN, /* not begun, or (dry run) could be */
	COPY_PENDING,
	COPY_DONE,
	COPY_FAILED,   /* see error */
};

struct copy_dest {
	const char *region;
	enum copy_state state;
	char id[EC2_ID_SIZE]; /* "" before it is begun */
	bool existing;        /* it was there already */
	bool encrypted;       /* all of it; known when it is done */
	unsigned percent;
	struct error error;
	/* private to copy*.c */
	struct aws *aws;
	bool encrypt;             /* what is sent */
	char key[EC2_KEY_SIZE];   /* "": none is sent */
	char salt[EC2_ID_SIZE];   /* the id of an earlier copy that is of no use */
	uint64_t begun_ms;
	bool restarted;
};

struct copy_volume { /* a snapshot that is copied */
	char device[64], snapshot[EC2_ID_SIZE], origin[100];
	bool encrypted;
	uint64_t size_gib;
	struct ec2_tag_list tags;
};

struct copy {
	struct context *ctx;          /* borrowed */
	const struct copy_opts *opts; /* borrowed */
	bool image, own;
	char region[32], name[EC2_NAME_SIZE], description[EC2_TEXT_SIZE];
	char origin[100];             /* the value of COPY_TAG */
	struct ec2_tag_list tags;
	struct copy_volume *volumes;  /* owned */
	size_t nr_volumes;
	struct copy_dest *dests;      /* owned; in the order of opts->regions */
	size_t nr_dests;
};

/*
 * 0 when every region has its copy. Else the error counts what failed and gives the first reason;
 * dests say the rest, also of what goes on in AWS. ERROR_POLICY when nothing was begun because of a
 * rule.
 */
int copy_run(struct copy *c, struct context *ctx, const struct copy_opts *opts, struct error *err)
	MUST_CHECK;
void copy_release(struct copy *c);

#endif
