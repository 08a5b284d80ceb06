/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region's folder and life: its accounts (made once), the lock that says that a server runs,
 * the file that says where, and starting and stopping.
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

enum { SMALL_FILE = 64 * 1024, MAX_THREADS = 64, LOCK_TRIES = 10 };

static const char default_name[] = "us-east-1";
static const char default_address[] = "127.0.0.1";

/* What makes accounts; an existing folder keeps those it has unless more are asked for. */
static int load_accounts(struct accounts *a, const char *dir, const struct region_opts *opts,
	bool may_add, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/credentials", dir);
	size_t wanted = may_add ? opts->accounts : 0;

	*a = (struct accounts){.nr = 0};
	if (!path)
		return -1;
	if (access(path, F_OK) < 0)
		wanted = opts->accounts ? opts->accounts : ACCOUNTS_DEFAULT;
	return accounts_load(a, dir, wanted, opts->random, err);
}

int region_profile_creds(const char *dir, const struct region_opts *opts, const char *profile,
	struct aws_creds *out, struct error *err)
{
	const struct account *account;
	struct accounts accounts;
	int ret;

	*out = (struct aws_creds){.expires = 0};
	ret = load_accounts(&accounts, dir, opts, false, err);
	account = ret == 0 ? accounts_find_profile(&accounts, profile) : NULL;
	if (ret == 0 && !account)
		ret = error_set(err, ERROR_USAGE, 0,
			"'%s/credentials' has no account under the profile '%s'", dir, profile);
	if (account) {
		out->access_key = strdup(account->access_key);
		out->secret_key = strdup(account->secret_key);
		out->origin = buf_strf(err, "'%s/credentials'", dir);
		if (!out->access_key || !out->secret_key || !out->origin)
			ret = error_nomem(err, "credentials");
	}
	accounts_release(&accounts);
	if (ret < 0)
		aws_creds_release(out);
	return ret;
}

int region_creds(const char *dir, const struct region_opts *opts, struct aws_creds *out,
	struct error *err)
{
	return region_profile_creds(dir, opts, "default", out, err);
}

/* A folder of one region and one account, as earlier versions made it. */
static int refuse_old_layout(const char *dir, struct error *err)
{
	static const char *const names[] = {"region.json", "snapshots", "images"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP_FREE char *path = buf_strf(err, "%s/%s", dir, names[i]);

		if (!path)
			return -1;
		if (access(path, F_OK) == 0)
			return error_set(err, ERROR_INPUT, 0,
				"the folder '%s' is of an earlier version (it has '%s'): regions are under "
				"'regions/' now; use a new folder", dir, names[i]);
	}
	return 0;
}

static int choose_name(struct region *r, const struct region_opts *opts, struct error *err)
{
	r->name = opts->name ? opts->name : default_name;
	if (!region_name_known(r->name))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is no Region that the local region can play: one like us-east-1 is right",
			r->name);
	for (size_t i = 0; region_name_at(i); i++)
		if (strcmp(region_name_at(i), r->name) == 0)
			r->name = region_name_at(i); /* opts may go */
	return 0;
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

static int region_announce(struct region *r, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/endpoint", r->dir);
	CLEANUP_FREE char *line = NULL;

	if (!path)
		return -1;
	line = buf_strf(err, "%s\n", r->endpoint);
	return line ? file_write_atomic(path, line, strlen(line), 0644, false, err) : -1;
}

/* Tokens and sessions open for ever in their folder: their keys come from the first account's. */
static int region_keys(struct region *r, struct error *err)
{
	static const char tokens[] = "amiwright region tokens", sessions[] = "amiwright region sessions";
	const char *secret = accounts_find_profile(&r->accounts, "default")->secret_key;

	if (r->random(r->request_salt, sizeof(r->request_salt)) != 0)
		return error_set(err, ERROR_IO, 0, "no random bytes for request ids");
	if (hmac_sha256(secret, strlen(secret), tokens, sizeof(tokens) - 1, r->token_key, err) < 0)
		return -1;
	return hmac_sha256(secret, strlen(secret), sessions, sizeof(sessions) - 1, r->session_key, err);
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
	r->random = opts->random;
	pthread_mutex_init(&r->s3_lock, NULL);
	r->complete_delay_ms = opts->complete_delay_ms;
	r->copy_seconds = opts->copy_seconds;
	r->dir = strdup(dir);
	if (!r->dir)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the region");
	if (faults_parse(&r->faults, opts->faults, err) < 0 ||
	    quotas_parse(&r->quotas, opts->quotas, err) < 0 || file_mkdirs(dir, 0755, err) < 0 ||
	    refuse_old_layout(dir, err) < 0 ||
	    choose_name(r, opts, err) < 0 || region_lock(r, err) < 0 ||
	    load_accounts(&r->accounts, dir, opts, true, err) < 0 || region_keys(r, err) < 0)
		return NULL;
	auth_init(&r->auth, &r->accounts, r->session_key);
	if (stores_open(&r->stores, dir, opts->random, err) < 0 || !stores_get(&r->stores, r->name, err))
		return NULL;
	r->server = server_start(r, address, opts->port, region_threads(opts), err);
	if (!r->server || region_announce(r, err) < 0)
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
	stores_close(&r->stores);
	quotas_release(&r->quotas);
	pthread_mutex_destroy(&r->s3_lock);
	if (r->auth.accounts)
		auth_release(&r->auth);
	accounts_release(&r->accounts);
	cleanup_close_p(&r->lock_fd);
	explicit_bzero(r->token_key, sizeof(r->token_key));
	explicit_bzero(r->session_key, sizeof(r->session_key));
	free(r->endpoint);
	free(r->dir);
	free(r);
}

int64_t region_now(const struct region *r)
{
	return r->wall_s() + r->faults.skew_s;
}

const char *region_endpoint(const struct region *r)
{
	return r->endpoint;
}

const char *region_name(const struct region *r)
{
	return r->name;
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
