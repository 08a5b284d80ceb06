/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say what a bundle's manifest has, checked and as a struct bundle_opts. */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_OPTIONS_H
#define AMIWRIGHT_BUILDER_BUNDLE_OPTIONS_H

#include "builder/options.h"
#include "formats/bundle.h"

struct bundle_options {
	const char *key, *key_pass_file, *certificate, *ec2_certificate, *user, *out, *prefix;
	const char *architecture, *kernel, *ramdisk, *seed, *parts, *spool_dir;
	struct options_list product_codes, ancestors, mappings;
	uint64_t level;
	bool force, verify;
	const char *upload, *acl; /* to S3 instead of a folder */
	bool is_public, create_bucket, clean_up;
};

/* What of o makes a bundle, as texts of its own. Zeroed is empty. */
struct bundle_request {
	struct bundle_opts opts;
	struct bundle_mapping *mappings; /* owned, with their texts */
	char user[13];
};

/*
 * ERROR_USAGE names the option and what is right. Keys, prefix, seed and architecture are the caller's to
 * fill. o must outlive r. Release in any case.
 */
int bundle_request_parse(struct bundle_request *r, const struct bundle_options *o, struct error *err)
	MUST_CHECK;
void bundle_request_release(struct bundle_request *r);

#endif
