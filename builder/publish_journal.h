/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a publication has made so far: one JSON file for each region, account and AMI name in the
 * state folder, rewritten whole and durably before and after each call that makes something. It
 * tells a rerun and --cleanup what an interrupted run left in AWS; a finished publication has none.
 * AWS itself (tags, names) is asked before anything in it is believed.
 *
 *   {"amiwright_publication": 1, "name", "region", "account", "spec": path,
 *    "made": [{"kind": "snapshot" | "image", "region", "id", "device"}],
 *    "done": ["share 5f3a… ami-…" …]}
 *
 * An id of "" was about to be made: whether it is there only AWS knows. One process holds the file
 * at a time.
 */
#ifndef AMIWRIGHT_BUILDER_PUBLISH_JOURNAL_H
#define AMIWRIGHT_BUILDER_PUBLISH_JOURNAL_H

#include "base/json.h"

struct publish_journal {
	char *path;       /* owned; NULL: in memory only */
	char *lock_path;  /* owned */
	int lock_fd;
	bool found;       /* an earlier run left it */
	struct json *doc; /* owned */
};

#define PUBLISH_JOURNAL_INIT {NULL, NULL, -1, false, NULL}

struct publish_journal_key {
	const char *name, *region;           /* of the AMI */
	const char *account;                 /* NULL: not known; then the only journal of this name is taken */
	const char *spec;                    /* path, for people who look */
};

/*
 * Reads the one that is there, else begins one (nothing is written yet). dir is there, or NULL: then
 * it is kept in memory only. ERROR_POLICY when another process holds it; ERROR_INPUT when the file is
 * damaged, naming it.
 */
int publish_journal_open(struct publish_journal *j, const char *dir,
	const struct publish_journal_key *key, struct error *err) MUST_CHECK;
/* The file stays as it was last written. Fine on one that is not open. */
void publish_journal_close(struct publish_journal *j);

enum publish_kind { PUBLISH_SNAPSHOT, PUBLISH_IMAGE };

struct publish_made {
	enum publish_kind kind;
	const char *region, *id;
	const char *device; /* of a snapshot; else NULL */
};

/* Before the call: one of this kind and region may be there from now on. Writes the file. */
int publish_journal_intend(struct publish_journal *j, enum publish_kind kind, const char *region,
	struct error *err) MUST_CHECK;
/* Notes what exists now in AWS, in the place of what was intended, and writes the file. */
int publish_journal_made(struct publish_journal *j, const struct publish_made *made,
	struct error *err) MUST_CHECK;
/* Notes that an item is not (or no longer) there, and writes the file. */
int publish_journal_gone(struct publish_journal *j, const struct publish_made *made,
	struct error *err) MUST_CHECK;
/* Item number index, false past the end; texts are borrowed until the next change. */
bool publish_journal_item(const struct publish_journal *j, size_t index, struct publish_made *out);

/*
 * A step such as "share" with the wishes that it fulfils (a digest) for an AMI, done; and whether it
 * was.
 */
int publish_journal_done(struct publish_journal *j, const char *step, const char *wishes,
	const char *ami, struct error *err) MUST_CHECK;
bool publish_journal_is_done(const struct publish_journal *j, const char *step, const char *wishes,
	const char *ami);

/* Everything is done, nothing is left: the file goes. */
int publish_journal_finish(struct publish_journal *j, struct error *err) MUST_CHECK;

#endif
