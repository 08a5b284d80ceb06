/* SPDX-License-Identifier: Apache-2.0 */
/* Names and places of journals, and the snapshots that nobody came back for. */
#include "builder/upload_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2.h"

enum { SAMPLES = 64, SAMPLE_SIZE = 4096 };

DEFINE_CLEANUP(sha256, struct sha256, sha256_free)

static int short_digest(const char *text, char hex[UPLOAD_NAME_SIZE], struct error *err)
{
	uint8_t digest[SHA256_SIZE];

	if (sha256(text, strlen(text), digest, err) < 0)
		return -1;
	hex_encode(hex, digest, (UPLOAD_NAME_SIZE - 1) / 2);
	return 0;
}

static int stat_file(const char *path, struct stat *st, struct error *err)
{
	if (stat(path, st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	return 0;
}

static char *in_state_dir(struct context *ctx, const char *name, struct error *err)
{
	CLEANUP_FREE char *dir = context_state_dir(ctx, err);
	struct aws *aws = dir ? context_aws(ctx, err) : NULL;

	if (!aws)
		return NULL;
	return buf_strf(err, "%s/%s.%s%s.amiwright-upload", dir, name,
		aws_is_loopback(aws, AWS_EBS) ? "local-" : "", aws_region(aws));
}

static bool can_write_beside(const char *image)
{
	const char *slash = strrchr(image, '/');
	CLEANUP_FREE char *dir =
		slash ? strndup(image, (size_t)(slash - image) + 1) : strdup(".");

	return dir && access(dir, W_OK) == 0;
}

char *upload_journal_of_file(struct context *ctx, const char *image, struct error *err)
{
	struct aws *aws = context_aws(ctx, err);
	CLEANUP_FREE char *real = NULL;
	char name[UPLOAD_NAME_SIZE];
	struct stat st;

	if (!aws || stat_file(image, &st, err) < 0)
		return NULL;
	if (S_ISREG(st.st_mode) && can_write_beside(image))
		return buf_strf(err, "%s.%s%s.amiwright-upload", image,
			aws_is_loopback(aws, AWS_EBS) ? "local-" : "", aws_region(aws));
	real = realpath(image, NULL);
	if (!real)
		return error_null(err, ERROR_IO, errno, "cannot resolve '%s'", image);
	return short_digest(real, name, err) < 0 ? NULL : in_state_dir(ctx, name, err);
}

char *upload_source_of_file(const char *image, struct error *err)
{
	struct stat st;

	if (stat_file(image, &st, err) < 0)
		return NULL;
	return buf_strf(err, "size %lld mtime %lld.%09ld inode %llu", (long long)st.st_size,
		(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (unsigned long long)st.st_ino);
}

char *upload_source_of_copy(struct dev *dev, struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	size_t head = (size_t)MIN(dev->size, MIB);
	CLEANUP_FREE char *bytes = malloc(MIB);
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (!h)
		return NULL;
	if (!bytes)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for samples");
	if (dev_pread(dev, bytes, head, 0, err) < 0 || sha256_update(h, bytes, head, err) < 0)
		return NULL;
	for (uint64_t i = 1; i < SAMPLES && dev->size > SAMPLE_SIZE; i++) {
		uint64_t off = (dev->size - SAMPLE_SIZE) / (SAMPLES - 1) * i;

		if (dev_pread(dev, bytes, SAMPLE_SIZE, off, err) < 0 ||
			sha256_update(h, bytes, SAMPLE_SIZE, err) < 0)
			return NULL;
	}
	if (sha256_final(h, digest, err) < 0)
		return NULL;
	return buf_strf(err, "size %llu samples %.32s", (unsigned long long)dev->size,
		hex_encode(hex, digest, sizeof(digest)));
}

int upload_name_of_file(const char *image, char name[UPLOAD_NAME_SIZE], struct error *err)
{
	const char *slash = strrchr(image, '/');
	CLEANUP_FREE char *text = NULL;
	struct stat st;

	if (stat_file(image, &st, err) < 0)
		return -1;
	text = buf_strf(err, "%s %lld", slash ? slash + 1 : image, (long long)st.st_size);
	return text ? short_digest(text, name, err) : -1;
}

int upload_make_token(char token[UPLOAD_TOKEN_SIZE], struct error *err)
{
	uint8_t bytes[20];

	if (context_random(bytes, sizeof(bytes)) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for a client token");
	hex_encode(token, bytes, sizeof(bytes));
	return 0;
}

void upload_warn_of_lost(struct aws *aws, const char *name)
{
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	struct error why = ERROR_INIT;
	size_t nr = 0;

	if (ec2_find_snapshots(aws, SNAPSHOT_TAG, name, &list, &nr, &why) < 0) {
		log_debug("snapshots of earlier runs are not known: %s", why.text);
		return;
	}
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(list[i].state, "pending") != 0)
			continue;
		log_warn("%s of the same image is pending since %s; when no other process is sending it, "
			 "'amiwright upload --cleanup IMAGE' deletes it", list[i].id, list[i].start_time);
	}
}

static bool is_left_over(const struct ec2_snapshot *s)
{
	return strcmp(s->state, "pending") == 0 || strcmp(s->state, "error") == 0;
}

int upload_clean_up(struct context *ctx, const char *name, bool dry_run, struct buf *out,
	struct error *err)
{
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	struct aws *aws = context_aws(ctx, err);
	size_t nr = 0;

	if (!aws || ec2_find_snapshots(aws, SNAPSHOT_TAG, name ? name : "*", &list, &nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		if (!is_left_over(&list[i]))
			continue;
		log_info("%s: %s since %s, '%s'", list[i].id, list[i].state, list[i].start_time,
			list[i].description);
		if (!dry_run && ec2_delete_snapshot(aws, list[i].id, err) < 0)
			return -1;
		if (buf_addf(out, err, "%s\n", list[i].id) < 0)
			return -1;
	}
	return 0;
}
