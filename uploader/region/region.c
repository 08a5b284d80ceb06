/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region's folder and life: its account and credentials (made once), the lock that says that a
 * server runs, the file that says where, and starting and stopping.
 */
#include "uploader/region/region_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/num.h"

enum { SMALL_FILE = 64 * 1024, ACCESS_KEY_LEN = 20, MAX_THREADS = 64, LOCK_TRIES = 10 };

static const char default_name[] = "us-east-1";
static const char default_address[] = "127.0.0.1";

static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char mixed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* len characters out of an alphabet of a power of two. */
static int random_text(const struct region_opts *opts, const char *alphabet, size_t letters,
	char *out, size_t len, struct error *err)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte;

		if (opts->random(&byte, 1) != 0)
			return error_set(err, ERROR_IO, 0, "no random bytes for new credentials");
		out[i] = alphabet[byte % letters];
	}
	out[len] = '\0';
	return 0;
}

/* 12 digits that do not begin with 0. */
static int random_account(const struct region_opts *opts, char out[REGION_ACCOUNT_SIZE],
	struct error *err)
{
	static const char digits[] = "1234567812345678";

	return random_text(opts, digits, 16, out, REGION_ACCOUNT_SIZE - 1, err);
}

/* The AWS credentials file of a new region. */
static int make_credentials(const char *path, const struct region_opts *opts, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);
	char key[ACCESS_KEY_LEN + 1] = "AKIA", secret[41];

	if (random_text(opts, upper, 32, key + 4, ACCESS_KEY_LEN - 4, err) < 0 ||
	    random_text(opts, mixed, 64, secret, 40, err) < 0 ||
	    buf_addf(&text, err, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		    key, secret) < 0)
		return -1;
	return file_write_atomic(path, text.data, text.len, 0600, true, err);
}

/*
 * The value of "key = value" on a line of its own; the caller's to free. NULL when it is not there.
 */
static char *ini_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		const char *value;

		line += *line == '\n';
		if (strncmp(line, key, len) != 0)
			continue;
		value = line + len + strspn(line + len, " \t");
		if (*value != '=')
			continue;
		value += 1 + strspn(value + 1, " \t");
		return strndup(value, strcspn(value, " \t\r\n"));
	}
	return NULL;
}

int region_creds(const char *dir, const struct region_opts *opts, struct aws_creds *out,
	struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/credentials", dir);
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);

	*out = (struct aws_creds){.expires = 0};
	if (!path || file_mkdirs(dir, 0755, err) < 0)
		return -1;
	if (access(path, F_OK) < 0 && make_credentials(path, opts, err) < 0)
		return -1;
	if (file_read(path, &text, err) < 0)
		return -1;
	out->access_key = ini_value(buf_str(&text), "aws_access_key_id");
	out->secret_key = ini_value(buf_str(&text), "aws_secret_access_key");
	out->origin = buf_strf(err, "'%s'", path);
	explicit_bzero(text.data, text.len);
	if (out->access_key && out->secret_key && out->origin)
		return 0;
	aws_creds_release(out);
	return error_set(err, ERROR_INPUT, 0,
		"'%s' lacks aws_access_key_id or aws_secret_access_key", path);
}

/* DIR/region.json of a new region. */
static int make_identity(struct region *r, const char *path, const struct region_opts *opts,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);

	if (!doc || random_account(opts, r->account, err) < 0 ||
	    json_set_str(doc, "name", r->name, err) < 0 ||
	    json_set_str(doc, "account", r->account, err) < 0 ||
	    json_write(doc, true, &text, err) < 0)
		return -1;
	return file_write_atomic(path, text.data, text.len, 0644, true, err);
}

/* A folder keeps the name and the account that it was begun with. */
static int load_identity(struct region *r, const char *path, const struct region_opts *opts,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);
	const char *name, *account;

	if (file_read(path, &text, err) < 0)
		return -1;
	doc = json_parse(buf_str(&text), text.len, path, err);
	if (!doc)
		return -1;
	name = json_get_str(doc, "name", "");
	account = json_get_str(doc, "account", "");
	if (*name == '\0' || strlen(name) >= sizeof(r->name) ||
	    strlen(account) != REGION_ACCOUNT_SIZE - 1)
		return error_set(err, ERROR_INPUT, 0, "'%s' lacks the region's name or account",
			path);
	if (opts->name && strcmp(opts->name, name) != 0)
		return error_set(err, ERROR_USAGE, 0,
			"the folder '%s' is region '%s', not '%s': use another folder for that",
			r->dir, name, opts->name);
	memcpy(r->name, name, strlen(name) + 1);
	memcpy(r->account, account, REGION_ACCOUNT_SIZE);
	return 0;
}

static int region_identify(struct region *r, const struct region_opts *opts, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/region.json", r->dir);
	const char *name = opts->name ? opts->name : default_name;

	if (!path)
		return -1;
	if (strlen(name) >= sizeof(r->name))
		return error_set(err, ERROR_USAGE, 0, "the region name '%s' is too long", name);
	memcpy(r->name, name, strlen(name) + 1);
	if (access(path, F_OK) < 0)
		return make_identity(r, path, opts, err);
	return load_identity(r, path, opts, err);
}

/* Takes the lock, or says EAGAIN. The file stays: its lock is what counts. */
static int region_lock(struct region *r, struct error *err)
{
	static const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	CLEANUP_FREE char *path = buf_strf(err, "%s/lock", r->dir);

	if (!path)
		return -1;
	r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (r->lock_fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	/* region_endpoint_of() of others holds it for a moment: so not the first refusal counts. */
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(r->lock_fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	if (errno == EWOULDBLOCK)
		return error_set(err, ERROR_IO, EAGAIN,
			"another process serves the local region '%s'", r->dir);
	return error_set(err, ERROR_IO, errno, "cannot lock '%s'", path);
}

static int region_announce(struct region *r, const char *address, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/endpoint", r->dir);
	CLEANUP_FREE char *line = NULL;

	r->endpoint = buf_strf(err, "http://%s:%u", address, server_port(r->server));
	if (!path || !r->endpoint)
		return -1;
	line = buf_strf(err, "%s\n", r->endpoint);
	return line ? file_write_atomic(path, line, strlen(line), 0644, false, err) : -1;
}

/* Tokens of a region open in that region for ever: their key comes from the account's secret. */
static int region_keys(struct region *r, const struct region_opts *opts, struct error *err)
{
	static const char label[] = "amiwright region tokens";

	if (opts->random(r->request_salt, sizeof(r->request_salt)) != 0)
		return error_set(err, ERROR_IO, 0, "no random bytes for request ids");
	return hmac_sha256(r->creds.secret_key, strlen(r->creds.secret_key), label, sizeof(label) - 1,
		r->token_key, err);
}

static unsigned region_threads(const struct region_opts *opts)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = opts->threads;

	if (threads == 0)
		threads = processors > 0 ? (unsigned)MIN(processors, (long)MAX_THREADS) : 1;
	return MIN(threads, (unsigned)MAX_THREADS);
}

struct region *region_start(const char *dir, const struct region_opts *opts, struct error *err)
{
	CLEANUP(region_cleanup) struct region *r = calloc(1, sizeof(*r));
	const char *address = opts->listen ? opts->listen : default_address;

	if (!r)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the region");
	r->lock_fd = -1;
	r->wall_s = opts->wall_s;
	r->complete_delay_ms = opts->complete_delay_ms;
	r->dir = strdup(dir);
	if (!r->dir)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the region");
	if (file_mkdirs(dir, 0755, err) < 0 || region_lock(r, err) < 0 ||
	    region_identify(r, opts, err) < 0 || region_creds(dir, opts, &r->creds, err) < 0)
		return NULL;
	auth_init(&r->auth, r->creds.access_key, r->creds.secret_key, r->name);
	if (region_keys(r, opts, err) < 0)
		return NULL;
	r->store = store_open(dir, opts->random, err);
	if (!r->store)
		return NULL;
	r->server = server_start(r, address, opts->port, region_threads(opts), err);
	if (!r->server || region_announce(r, address, err) < 0)
		return NULL;
	return steal_ptr(&r);
}

void region_stop(struct region *r)
{
	char path[4096];

	if (!r)
		return;
	if (r->endpoint && snprintf(path, sizeof(path), "%s/endpoint", r->dir) < (int)sizeof(path))
		(void)unlink(path);
	if (r->server)
		server_stop(r->server);
	if (r->store)
		store_close(r->store);
	if (r->auth.region)
		auth_release(&r->auth);
	aws_creds_release(&r->creds);
	cleanup_close_p(&r->lock_fd);
	explicit_bzero(r->token_key, sizeof(r->token_key));
	free(r->endpoint);
	free(r->dir);
	free(r);
}

const char *region_endpoint(const struct region *r)
{
	return r->endpoint;
}

const char *region_name(const struct region *r)
{
	return r->name;
}

void region_default_key(const struct region *r, char out[128])
{
	(void)snprintf(out, 128, "arn:aws:kms:%.32s:%s:key/00000000-0000-4000-8000-%s", r->name,
		r->account, r->account);
}

/* True when somebody holds the lock. */
static bool region_is_served(const char *lock_path)
{
	CLEANUP_CLOSE int fd = open(lock_path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

int region_endpoint_of(const char *dir, char **endpoint, struct error *err)
{
	CLEANUP_FREE char *lock_path = buf_strf(err, "%s/lock", dir);
	CLEANUP_FREE char *path = buf_strf(err, "%s/endpoint", dir);
	CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE);

	*endpoint = NULL;
	if (!lock_path || !path)
		return -1;
	if (!region_is_served(lock_path) || access(path, F_OK) < 0)
		return 0;
	if (file_read(path, &text, err) < 0)
		return -1;
	if (text.len > 0 && text.data[text.len - 1] == '\n')
		buf_truncate(&text, text.len - 1);
	*endpoint = buf_steal(&text, err);
	return *endpoint ? 0 : -1;
}
