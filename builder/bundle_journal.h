/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a bundle's upload resumable: the seed that its key and IV come from, encrypted for the user's own
 * certificate as the manifest has the key, and the digests of the parts that were begun. Nothing of the image
 * and no key stands in it. A journal_file of mode 0600 in the state folder, one for each place in S3:
 *
 *   amiwright-bundle 2 SEED s3://BUCKET/PREFIX/NAME
 *   part SHA256 KEY        before each part is sent
 *
 * One seed is for one image alone: two images under one key would show where they are equal. So a part that
 * comes out otherwise than it was begun ends the run.
 */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_JOURNAL_H
#define AMIWRIGHT_BUILDER_BUNDLE_JOURNAL_H

#include "base/crypto_rsa.h"
#include "formats/bundle.h"

struct bundle_journal;

/*
 * seed holds a new one, and gets the earlier run's when there is one that key can read: then *resumed.
 * ERROR_USAGE when it cannot; ERROR_POLICY when another process has the file.
 */
struct bundle_journal *bundle_journal_open(const char *path, const char *place,
	const struct crypto_rsa_key *key, const struct crypto_certificate *certificate,
	uint8_t seed[BUNDLE_SEED_SIZE], bool *resumed, struct error *err) MUST_CHECK;
/*
 * Notes a part; *known when an earlier run began it. ERROR_POLICY when that had other content. One thread at a
 * time.
 */
int bundle_journal_begin(struct bundle_journal *j, const char *key, const uint8_t digest[SHA256_SIZE],
	bool *known, struct error *err) MUST_CHECK;
/* The bundle is whole: the file goes. */
int bundle_journal_remove(struct bundle_journal *j, struct error *err) MUST_CHECK;
/* The file stays. NULL is fine. */
void bundle_journal_free(struct bundle_journal *j);

#endif
