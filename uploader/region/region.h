/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local region: EBS direct, EC2's image and snapshot calls, S3, STS and KMS over a folder, through real HTTP
 * with verified signatures and checksums. For rehearsals without an account, and for tests with
 * foreign clients. One server plays all Regions: a call is for the one that it was signed for. And
 * several accounts: a call is from the one whose key signed it.
 *
 * Folder:
 *   DIR/credentials            AWS shared-credentials file: a profile an account (mode 0600)
 *   DIR/organizations.json     which accounts are in which organization or unit
 *   DIR/endpoint               URL of the server that runs over DIR now
 *   DIR/lock                   held by that server
 * and in DIR/regions/NAME/
 *   snapshots/snap-….json      state; written atomically, so that it survives kill -9
 *   snapshots/snap-….img       content: sparse, of the volume's size: loop-mountable
 *   snapshots/snap-….map       digest of each written block
 *   images/ami-….json
 *   settings.json, keys.json   what accounts switched on; KMS keys
 *   buckets/                   S3: see s3_internal.h
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_REGION_H
#define AMIWRIGHT_UPLOADER_REGION_REGION_H

#include "base/cleanup.h"
#include "base/error.h"
#include "uploader/creds.h"

#include <stdbool.h>
#include <stdint.h>

struct region;

struct region_opts {
	const char *name;        /* AWS region that is named to clients; NULL: us-east-1 */
	unsigned accounts;       /* how many there are at least; 0: what DIR has, 2 in a new one */
	const char *listen;      /* address; NULL: 127.0.0.1 */
	uint16_t port;           /* 0: any free */
	unsigned threads;        /* 0: processors */
	int64_t (*wall_s)(void); /* clock; required */
	int (*random)(void *buf, size_t len); /* for new ids and keys; 0 when fine; required */
	const char *faults;      /* see faults.h; NULL: none */
	const char *quotas;
	unsigned copy_seconds;   /* how long copies of images and snapshots take */
	unsigned complete_delay_ms; /* time from CompleteSnapshot to completed; default 0: at once when asked next */
};

/*
 * Makes DIR if needed and starts the server in threads of its own. ERROR_IO with errnum EAGAIN when
 * another process serves DIR now (then region_endpoint_of() tells where).
 */
struct region *region_start(const char *dir, const struct region_opts *opts, struct error *err)
	MUST_CHECK;
void region_stop(struct region *r);
DEFINE_CLEANUP(region, struct region, region_stop)

const char *region_endpoint(const struct region *r); /* "http://127.0.0.1:41234" */
const char *region_name(const struct region *r);

/*
 * Endpoint of the server that runs over dir; NULL text (*endpoint) when none does. The caller's to
 * free.
 */
int region_endpoint_of(const char *dir, char **endpoint, struct error *err) MUST_CHECK;
/* The first account's credentials, made at first use of DIR. */
int region_creds(const char *dir, const struct region_opts *opts, struct aws_creds *out,
	struct error *err) MUST_CHECK;
/* Those of the account under a profile of DIR/credentials. ERROR_USAGE when there is none. */
int region_profile_creds(const char *dir, const struct region_opts *opts, const char *profile,
	struct aws_creds *out, struct error *err) MUST_CHECK;

#endif
