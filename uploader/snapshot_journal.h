/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of an upload: what makes it go on after any kind of death. A text file that is only
 * ever appended to, a record a line, each with the beginning of its own SHA-256 at its end:
 *
 *   amiwright-upload 1 {"token": …, "region": …, …} 1b2c3d4e    what is being uploaded, and how
 *   N snap-0123456789abcdef0 123456789012 1790337542 1b2c3d4e   StartSnapshot's answer: id, owner, time
 *   S 17 1b2c3d4e                                               block 17 is about to be sent
 *   D 17 B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE= 1b2c3d4e  the service has it, with this SHA-256
 *   C 2048 Pq34… 1b2c3d4e                                       about to be completed: count, aggregate
 *   E 2048 1b2c3d4e                                             a shard ends: blocks in this file
 *
 * Each record is written when it becomes true, so a killed process loses none of them; a machine
 * that dies loses what was not yet synced, and those blocks are sent again. S without D: the
 * service may or may not have that block. A last line that is torn is cut off when the file is opened.
 * Any other that is not sound was damaged later: what it said is lost, so nobody knows how many blocks
 * the service has, and the snapshot cannot be completed.
 *
 * The file is locked while it is open: two uploads never share one.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_JOURNAL_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_JOURNAL_H

#include "base/json.h"
#include "uploader/ebs.h"
#include "uploader/snapshot_table.h"

struct snapshot_journal;

struct snapshot_journal_state {
	char token[65];              /* client token of StartSnapshot */
	char snapshot[EBS_ID_SIZE];  /* "" when nobody knows whether it was started */
	char owner[16];              /* account; may be "" */
	int64_t start_s;
	bool made;                   /* there was none before this run */
	uint64_t done;               /* D records; some may be for one block */
	bool damaged;                /* lines other than the last are lost */
	bool source_changed;         /* the head's "source" is not what it was */
	bool completing;             /* C is there, nothing was lost behind it: its values hold */
	bool ended;                  /* E is there, likewise: count holds */
	uint64_t count;
	uint8_t aggregate[SHA256_SIZE];
};

/*
 * Opens, or makes, and locks. head: an object with "token", "source" and whatever must agree
 * between the runs of one upload; borrowed. In a journal that is there already everything but
 * "token" and "source" must be the same: else ERROR_USAGE naming what differs. Another process has
 * it: ERROR_POLICY. Not a journal, or one whose head or snapshot is damaged: ERROR_INPUT. Not a
 * regular file: ERROR_USAGE. One that cannot be begun leaves no file.
 */
struct snapshot_journal *snapshot_journal_open(const char *path, const struct json *head,
	struct error *err) MUST_CHECK;
/* One that must be there, with any head. */
struct snapshot_journal *snapshot_journal_open_any(const char *path, struct error *err) MUST_CHECK;
/* Keeps the file. NULL is fine. */
void snapshot_journal_close(struct snapshot_journal *j);
DEFINE_CLEANUP(snapshot_journal, struct snapshot_journal, snapshot_journal_close)
/* Unlinks the file and closes. */
int snapshot_journal_remove(struct snapshot_journal *j, struct error *err) MUST_CHECK;
/* Forgets everything and begins with another head. */
int snapshot_journal_reset(struct snapshot_journal *j, const struct json *head, struct error *err)
	MUST_CHECK;

/* Borrowed until close. */
const char *snapshot_journal_path(const struct snapshot_journal *j);
const struct snapshot_journal_state *snapshot_journal_state(const struct snapshot_journal *j);
/* Borrowed until reset or close. */
const struct json *snapshot_journal_head(const struct snapshot_journal *j);

/* All blocks that were begun; the digest of those whose last D came after their last S. */
int snapshot_journal_load(struct snapshot_journal *j, struct snapshot_table *table,
	struct error *err) MUST_CHECK;

/* The records, as above. */
int snapshot_journal_started(struct snapshot_journal *j, const char *snapshot, const char *owner,
	int64_t start_s, struct error *err) MUST_CHECK;
int snapshot_journal_sending(struct snapshot_journal *j, uint64_t index, struct error *err) MUST_CHECK;
int snapshot_journal_sent(struct snapshot_journal *j, uint64_t index,
	const uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;
int snapshot_journal_completing(struct snapshot_journal *j, uint64_t count,
	const uint8_t aggregate[SHA256_SIZE], struct error *err) MUST_CHECK;
int snapshot_journal_ended(struct snapshot_journal *j, uint64_t count, struct error *err) MUST_CHECK;
/* Makes what was written survive a crash of the machine. */
int snapshot_journal_sync(struct snapshot_journal *j, struct error *err) MUST_CHECK;

#endif
