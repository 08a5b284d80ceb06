/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a bundle's upload. */
#include "builder/bundle_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/file.h"

enum { JOURNAL_MAX = 16 * 1024 * 1024, PARTS_MAX = 10000 };

#define MAGIC "amiwright-bundle 1\n"

struct entry {
	char *key; /* owned */
	uint8_t digest[SHA256_SIZE];
};

struct bundle_journal {
	char *path; /* owned */
	int fd;
	struct entry *entries; /* owned */
	size_t nr, alloc;
};

static int damaged(const struct bundle_journal *j, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s', the note of an earlier upload, is damaged or another place's: --cleanup removes it "
		"with what that upload left", j->path);
}

static int add_entry(struct bundle_journal *j, const char *key, size_t len, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	if (j->nr == j->alloc) {
		size_t alloc = j->alloc ? j->alloc * 2 : 64;
		struct entry *entries = j->nr < PARTS_MAX ? reallocarray(j->entries, alloc, sizeof(*entries)) : NULL;

		if (!entries)
			return error_nomem(err, "the parts of an upload");
		j->entries = entries;
		j->alloc = alloc;
	}
	j->entries[j->nr].key = strndup(key, len);
	if (!j->entries[j->nr].key)
		return error_nomem(err, "the parts of an upload");
	memcpy(j->entries[j->nr++].digest, digest, SHA256_SIZE);
	return 0;
}

/* "part HEX KEY" lines; the last one may have been cut. */
static int read_parts(struct bundle_journal *j, const char *text, struct error *err)
{
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1) {
		uint8_t digest[SHA256_SIZE];
		char hex[SHA256_HEX_SIZE];

		if (strncmp(text, "part ", 5) != 0 || end - text < 5 + SHA256_HEX_SIZE + 1 ||
			text[4 + SHA256_HEX_SIZE] != ' ')
			return damaged(j, err);
		snprintf(hex, sizeof(hex), "%.64s", text + 5);
		if (hex_decode(digest, sizeof(digest), hex))
			return damaged(j, err);
		text += 5 + SHA256_HEX_SIZE;
		if (add_entry(j, text, (size_t)(end - text), digest, err) < 0)
			return -1;
	}
	return 0;
}

static int read_seed(const struct bundle_journal *j, const char *hex, size_t len, const struct crypto_rsa_key *key,
	uint8_t seed[BUNDLE_SEED_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf plain = BUF_INIT(CRYPTO_RSA_MAX);
	CLEANUP_FREE char *text = buf_strf(err, "%.*s", (int)len, hex);
	CLEANUP_FREE uint8_t *raw = malloc(len / 2 + 1);
	int ret;

	if (!text || !raw)
		return text ? error_nomem(err, "the seed of an upload") : -1;
	if (len % 2 || len / 2 > CRYPTO_RSA_MAX || hex_decode(raw, len / 2, text))
		return damaged(j, err);
	if (crypto_rsa_decrypt(key, raw, len / 2, &plain, err) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"an earlier upload to the same place was begun under another key (noted in '%s'): use "
			"that one's --key, or --cleanup to remove what it left", j->path);
	ret = plain.len == BUNDLE_SEED_SIZE ? 0 : damaged(j, err);
	if (ret == 0)
		memcpy(seed, plain.data, BUNDLE_SEED_SIZE);
	explicit_bzero(plain.data, plain.len);
	return ret;
}

static int load(struct bundle_journal *j, const char *place, const struct crypto_rsa_key *key,
	uint8_t seed[BUNDLE_SEED_SIZE], struct error *err)
{
	CLEANUP_FREE char *head = buf_strf(err, MAGIC "place %s\nseed ", place);
	CLEANUP_BUF struct buf text = BUF_INIT(JOURNAL_MAX);
	const char *rest, *end;

	if (!head || file_read(j->path, &text, err) < 0)
		return -1;
	rest = buf_str(&text);
	if (strlen(rest) != text.len || strncmp(rest, head, strlen(head)) != 0)
		return damaged(j, err);
	rest += strlen(head);
	end = strchr(rest, '\n');
	if (!end)
		return damaged(j, err);
	if (read_seed(j, rest, (size_t)(end - rest), key, seed, err) < 0)
		return -1;
	return read_parts(j, end + 1, err);
}

/* Padding of the seed: any bytes but zeros; those of a digest over the seed tell nothing of it. */
struct filler {
	uint8_t block[SHA256_SIZE];
	size_t used;
};

static int fill(void *arg, uint8_t *out, size_t len, struct error *err)
{
	struct filler *f = arg;

	for (size_t i = 0; i < len; i++) {
		if (f->used == SHA256_SIZE) {
			if (sha256(f->block, sizeof(f->block), f->block, err) < 0)
				return -1;
			f->used = 0;
		}
		out[i] = f->block[f->used++];
	}
	return 0;
}

static int make(const struct bundle_journal *j, const char *place, const struct crypto_certificate *certificate,
	const uint8_t seed[BUNDLE_SEED_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf sealed = BUF_INIT(CRYPTO_RSA_MAX), text = BUF_INIT(JOURNAL_MAX);
	CLEANUP_FREE char *hex = calloc(2, CRYPTO_RSA_MAX + 1);
	struct filler f = {.used = SHA256_SIZE};
	int ret;

	if (!hex)
		return error_nomem(err, "the seed of an upload");
	if (hmac_sha256(seed, BUNDLE_SEED_SIZE, "journal", 7, f.block, err) < 0)
		return -1;
	ret = crypto_rsa_encrypt(certificate, seed, BUNDLE_SEED_SIZE, fill, &f, &sealed, err);
	explicit_bzero(&f, sizeof(f));
	if (ret < 0 || buf_addf(&text, err, MAGIC "place %s\nseed %s\n", place,
			       hex_encode(hex, sealed.data, sealed.len)) < 0)
		return -1;
	return file_write_atomic(j->path, text.data, text.len, 0600, true, err);
}

static int take_lock(struct bundle_journal *j, struct error *err)
{
	j->fd = open(j->path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (j->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", j->path);
	if (flock(j->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return error_set(err, errno == EWOULDBLOCK ? ERROR_POLICY : ERROR_IO, errno == EWOULDBLOCK ? 0 : errno,
		"another process is uploading to the same place ('%s')", j->path);
}

/* A line that was cut is ended, so that the next one is one by itself. */
static int end_cut_line(const struct bundle_journal *j, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(JOURNAL_MAX);
	const char *last;

	if (file_read(j->path, &text, err) < 0)
		return -1;
	last = strrchr(buf_str(&text), '\n');
	if (last && last[1] && ftruncate(j->fd, last + 1 - buf_str(&text)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write '%s'", j->path);
	return 0;
}

struct bundle_journal *bundle_journal_open(const char *path, const char *place,
	const struct crypto_rsa_key *key, const struct crypto_certificate *certificate,
	uint8_t seed[BUNDLE_SEED_SIZE], bool *resumed, struct error *err)
{
	struct bundle_journal *j = calloc(1, sizeof(*j));

	if (!j)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a journal");
	j->fd = -1;
	j->path = buf_strf(err, "%s", path);
	*resumed = access(path, F_OK) == 0;
	if (!j->path || (!*resumed && make(j, place, certificate, seed, err) < 0) || take_lock(j, err) < 0 ||
		load(j, place, key, seed, err) < 0 || end_cut_line(j, err) < 0) {
		bundle_journal_free(j);
		return NULL;
	}
	return j;
}

int bundle_journal_begin(struct bundle_journal *j, const char *key, const uint8_t digest[SHA256_SIZE],
	bool *known, struct error *err)
{
	CLEANUP_FREE char *line = NULL;
	char hex[SHA256_HEX_SIZE];

	*known = false;
	for (size_t i = 0; i < j->nr; i++) {
		if (strcmp(j->entries[i].key, key) != 0)
			continue;
		if (memcmp(j->entries[i].digest, digest, SHA256_SIZE) != 0)
			return error_set(err, ERROR_POLICY, 0,
				"the image or the options are not those of the earlier upload to this place: '%s' "
				"comes out otherwise; --cleanup removes what that one left", key);
		*known = true;
		return 0;
	}
	line = buf_strf(err, "part %s %s\n", hex_encode(hex, digest, SHA256_SIZE), key);
	if (!line || file_write_all(j->fd, line, strlen(line), j->path, err) < 0)
		return -1;
	return add_entry(j, key, strlen(key), digest, err);
}

int bundle_journal_remove(struct bundle_journal *j, struct error *err)
{
	if (unlink(j->path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s'", j->path);
	return 0;
}

void bundle_journal_free(struct bundle_journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->nr; i++)
		free(j->entries[i].key);
	free(j->entries);
	if (j->fd >= 0)
		close(j->fd);
	free(j->path);
	free(j);
}
