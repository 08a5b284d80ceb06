/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a bundle's upload. */
#include "builder/bundle_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "uploader/journal_file.h"

enum { PARTS_MAX = 10000 };

static const char magic[] = "amiwright-bundle 2 ";

struct entry {
	char *key; /* owned */
	uint8_t digest[SHA256_SIZE];
};

struct bundle_journal {
	struct journal_file file;
	char *head;            /* the earlier run's: "SEED PLACE"; owned; NULL: there was none */
	struct entry *entries; /* owned */
	size_t nr, alloc;
};

static int damaged(const struct bundle_journal *j, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s', the note of an earlier upload, is damaged or another place's: --cleanup removes it "
		"with what that upload left", j->file.path);
}

static int add_entry(struct bundle_journal *j, const char *key, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	if (j->nr == PARTS_MAX)
		return error_set(err, ERROR_INPUT, 0, "an upload of more than %d parts", PARTS_MAX);
	if (ARRAY_GROW(j->entries, j->nr + 1, j->alloc, "the parts of an upload", err) < 0)
		return -1;
	j->entries[j->nr].key = strdup(key);
	if (!j->entries[j->nr].key)
		return error_nomem(err, "the parts of an upload");
	memcpy(j->entries[j->nr++].digest, digest, SHA256_SIZE);
	return 0;
}

/* "part DIGEST KEY" */
static int read_part(struct bundle_journal *j, char *line, struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	char *hex = line + strlen("part "), *space = strchr(hex, ' ');

	if (!space)
		return damaged(j, err);
	*space = '\0';
	return hex_decode(digest, sizeof(digest), hex) ? damaged(j, err) : add_entry(j, space + 1, digest, err);
}

static int read_line(void *arg, char *line, struct error *err)
{
	struct bundle_journal *j = arg;

	if (line && j->head && strncmp(line, "part ", strlen("part ")) == 0)
		return read_part(j, line, err);
	if (!line || j->head || strncmp(line, magic, strlen(magic)) != 0)
		return damaged(j, err);
	j->head = strdup(line + strlen(magic));
	return j->head ? 0 : error_nomem(err, "the seed of an upload");
}

/* A beginning that was cut off is nobody's, but a file that is not ours is not written into. */
static int check_ours(const struct bundle_journal *j, struct error *err)
{
	char start[sizeof(magic)] = "";
	ssize_t n = pread(j->file.fd, start, strlen(magic), 0);

	if (n < 0)
		return error_set(err, ERROR_IO, errno, "cannot read '%s'", j->file.path);
	return strncmp(start, magic, (size_t)n) == 0 ? 0 : damaged(j, err);
}

static int read_seed(const struct bundle_journal *j, const char *hex, const struct crypto_rsa_key *key,
	uint8_t seed[BUNDLE_SEED_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf plain = BUF_INIT(CRYPTO_RSA_MAX);
	size_t len = strlen(hex) / 2;
	uint8_t raw[CRYPTO_RSA_MAX];
	int ret;

	if (len > sizeof(raw) || hex_decode(raw, len, hex))
		return damaged(j, err);
	if (crypto_rsa_decrypt(key, raw, len, &plain, err) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"an earlier upload to the same place was begun under another key (noted in '%s'): use "
			"that one's --key, or --cleanup to remove what it left", j->file.path);
	ret = plain.len == BUNDLE_SEED_SIZE ? 0 : damaged(j, err);
	if (ret == 0)
		memcpy(seed, plain.data, BUNDLE_SEED_SIZE);
	explicit_bzero(plain.data, plain.len);
	return ret;
}

static int go_on(struct bundle_journal *j, const char *place, const struct crypto_rsa_key *key,
	uint8_t seed[BUNDLE_SEED_SIZE], struct error *err)
{
	char *space = strchr(j->head, ' ');

	if (!space || strcmp(space + 1, place) != 0)
		return damaged(j, err);
	*space = '\0';
	return read_seed(j, j->head, key, seed, err);
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

static int begin(struct bundle_journal *j, const char *place, const struct crypto_certificate *certificate,
	const uint8_t seed[BUNDLE_SEED_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf sealed = BUF_INIT(CRYPTO_RSA_MAX);
	CLEANUP_FREE char *line = NULL;
	struct filler f = {.used = SHA256_SIZE};
	char hex[2 * CRYPTO_RSA_MAX + 1];
	int ret;

	if (hmac_sha256(seed, BUNDLE_SEED_SIZE, "journal", 7, f.block, err) < 0)
		return -1;
	ret = crypto_rsa_encrypt(certificate, seed, BUNDLE_SEED_SIZE, fill, &f, &sealed, err);
	explicit_bzero(&f, sizeof(f));
	if (ret < 0)
		return -1;
	line = buf_strf(err, "%s%s %s", magic, hex_encode(hex, sealed.data, sealed.len), place);
	if (!line || journal_file_cut(&j->file, 0, err) < 0 || journal_file_append(&j->file, line, err) < 0)
		return -1;
	return journal_file_sync(&j->file, err);
}

struct bundle_journal *bundle_journal_open(const char *path, const char *place,
	const struct crypto_rsa_key *key, const struct crypto_certificate *certificate,
	uint8_t seed[BUNDLE_SEED_SIZE], bool *resumed, struct error *err)
{
	struct bundle_journal *j = calloc(1, sizeof(*j));
	int ret;

	if (!j)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a journal");
	j->file = (struct journal_file)JOURNAL_FILE_INIT;
	ret = journal_file_open(&j->file, path, O_CREAT, err);
	if (ret == 0)
		ret = check_ours(j, err);
	if (ret == 0)
		ret = journal_file_scan(&j->file, read_line, j, err);
	*resumed = j->head != NULL;
	if (ret == 0 && *resumed)
		ret = go_on(j, place, key, seed, err);
	else if (ret == 0 && (ret = begin(j, place, certificate, seed, err)) < 0)
		unlink(path);
	if (ret == 0)
		return j;
	bundle_journal_free(j);
	return NULL;
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
	line = buf_strf(err, "part %s %s", hex_encode(hex, digest, SHA256_SIZE), key);
	/* It survives a power cut, or a changed image could go on under the same seed. */
	if (!line || journal_file_append(&j->file, line, err) < 0 || journal_file_sync(&j->file, err) < 0)
		return -1;
	return add_entry(j, key, digest, err);
}

int bundle_journal_remove(struct bundle_journal *j, struct error *err)
{
	if (unlink(j->file.path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s'", j->file.path);
	return 0;
}

void bundle_journal_free(struct bundle_journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->nr; i++)
		free(j->entries[i].key);
	free(j->entries);
	free(j->head);
	journal_file_close(&j->file);
	free(j);
}
