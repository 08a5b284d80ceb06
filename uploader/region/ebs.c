/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EBS direct: routes, and the two calls that begin and end a snapshot. Codes, texts and statuses
 * are those that the service was seen to answer.
 */
#include "uploader/region/ebs_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/access.h"
#include "uploader/region/keys.h"

void ebs_invalid(struct ebs_ctx *c, const char *reason, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_ebs_error(c->reply, 400, "ValidationException", reason, "%s", text);
}

void ebs_not_found(struct ebs_ctx *c, const char *id)
{
	reply_ebs_error(c->reply, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND",
		"The snapshot '%s' does not exist.", id);
}

void ebs_internal(struct ebs_ctx *c, const struct error *err)
{
	reply_ebs_error(c->reply, 500, "InternalServerException", NULL, "%s", err->text);
}

/* Shared ones too when it is to be read. A public one is none that these APIs take. */
static struct snapshot *find(struct ebs_ctx *c, const char *id, bool to_read)
{
	struct store *store = c->store;
	struct error err = ERROR_INIT;
	struct snapshot *snap;

	pthread_mutex_lock(&store->lock);
	snap = store_find_snapshot(store, id);
	if (!snap || !(access_owns_snapshot(snap, c->account) ||
			     (to_read && access_snapshot_names(snap, c->account))))
		ebs_not_found(c, id), snap = NULL;
	else if (snapshot_settle(snap, region_now(c->region), region_monotonic_ms(), &err) < 0)
		ebs_internal(c, &err), snap = NULL;
	else
		snapshot_get(snap);
	pthread_mutex_unlock(&store->lock);
	return snap;
}

struct snapshot *ebs_find(struct ebs_ctx *c, const char *id)
{
	return find(c, id, false);
}

/* Whether the caller may use the snapshot's key, if it has one. */
static bool may_decrypt(struct ebs_ctx *c, const struct snapshot *snap)
{
	bool may;

	pthread_mutex_lock(&c->store->lock);
	may = !json_get_bool(snap->doc, "encrypted", false) ||
	      keys_usable(c->store, c->account, json_get_str(snap->doc, "kmsKey", ""));
	pthread_mutex_unlock(&c->store->lock);
	return may;
}

struct snapshot *ebs_find_readable(struct ebs_ctx *c, const char *id)
{
	CLEANUP(snapshot_cleanup) struct snapshot *snap = find(c, id, true);
	struct error err = ERROR_INIT;

	if (!snap)
		return NULL;
	if (atomic_load(&snap->status) != SNAPSHOT_COMPLETED) {
		ebs_not_found(c, id);
		return NULL;
	}
	if (!may_decrypt(c, snap)) {
		reply_ebs_error(c->reply, 403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED",
			"The key of the snapshot '%s' is not accessible.", id);
		return NULL;
	}
	if (snapshot_load_map(snap, &err) < 0) {
		ebs_internal(c, &err);
		return NULL;
	}
	return steal_ptr(&snap);
}

void ebs_block_subject(const char *id, char out[EBS_SUBJECT_SIZE])
{
	(void)snprintf(out, EBS_SUBJECT_SIZE, "block %s", id);
}


const char *ebs_number(int64_t seconds, char out[EBS_NUMBER_SIZE])
{
	(void)snprintf(out, EBS_NUMBER_SIZE, "%lld.%09lldE9", (long long)seconds / 1000000000,
		(long long)seconds % 1000000000);
	return out;
}

/* The four headers of CompleteSnapshot; true (with a reply) when they do not fit together. */
static bool complete_headers(struct ebs_ctx *c, uint64_t *count, const char **aggregate)
{
	const char *changed = request_header(c->req, "x-amz-changedblockscount");
	const char *algorithm = request_header(c->req, "x-amz-checksum-algorithm");
	const char *method = request_header(c->req, "x-amz-checksum-aggregation-method");

	*aggregate = request_header(c->req, "x-amz-checksum");
	if (!changed || num_parse(changed, INT64_MAX, count, NULL) < 0) {
		ebs_invalid(c, "INVALID_PARAMETER_VALUE",
			"x-amz-ChangedBlocksCount must be a number of at least 0");
		return true;
	}
	if ((*aggregate != NULL) != (algorithm != NULL) || !algorithm != !method) {
		ebs_invalid(c, "INVALID_PARAMETER_VALUE",
			"x-amz-Checksum, x-amz-Checksum-Algorithm and "
			"x-amz-Checksum-Aggregation-Method must be given together");
		return true;
	}
	if (algorithm && (strcmp(algorithm, "SHA256") != 0 || strcmp(method, "LINEAR") != 0)) {
		ebs_invalid(c, "INVALID_PARAMETER_VALUE",
			"The checksum algorithm must be SHA256 and the aggregation method LINEAR");
		return true;
	}
	return false;
}

/* With store->lock held: writes down what is claimed; snapshot_settle() judges it. */
static int complete_begin(struct region *r, struct snapshot *snap, uint64_t count,
	const char *aggregate, struct error *err)
{
	if (atomic_load(&snap->status) != SNAPSHOT_PENDING || atomic_load(&snap->completing))
		return 0;
	if (json_set_int(snap->doc, "count", (int64_t)count, err) < 0 ||
	    (aggregate && json_set_str(snap->doc, "aggregate", aggregate, err) < 0) ||
	    store_save_snapshot(snap, err) < 0)
		return -1;
	snap->complete_at_ms = region_monotonic_ms() + r->complete_delay_ms;
	/* A writer that passed the gate ends first: then every record counts. */
	pthread_mutex_lock(&snap->lock);
	atomic_store(&snap->completing, true);
	pthread_mutex_unlock(&snap->lock);
	return 0;
}

static void ebs_complete(struct ebs_ctx *c)
{
	CLEANUP(snapshot_cleanup) struct snapshot *snap = NULL;
	struct error err = ERROR_INIT;
	const char *aggregate;
	uint64_t count;
	int ret;

	if (complete_headers(c, &count, &aggregate))
		return;
	snap = ebs_find(c, c->id);
	if (!snap)
		return;
	if (snapshot_sync(snap, &err) < 0) {
		ebs_internal(c, &err);
		return;
	}
	pthread_mutex_lock(&c->store->lock);
	ret = complete_begin(c->region, snap, count, aggregate, &err);
	pthread_mutex_unlock(&c->store->lock);
	if (ret < 0) {
		ebs_internal(c, &err);
		return;
	}
	c->reply->status = 202;
	reply_addf(c->reply, "{\"Status\":\"%s\"}",
		snapshot_status_name((enum snapshot_status)atomic_load(&snap->status)));
}

/*
 * Routes. '*' stands for one segment; the first is the snapshot, the second the block index.
 */
static const struct {
	const char *method, *path;
	void (*call)(struct ebs_ctx *c);
} routes[] = {
	{"PUT", "/snapshots/*/blocks/*", ebs_put_block},
	{"GET", "/snapshots/*/blocks/*", ebs_get_block},
	{"POST", "/snapshots", ebs_start},
	{"POST", "/snapshots/completion/*", ebs_complete},
	{"GET", "/snapshots/*/blocks", ebs_list_snapshot},
	{"GET", "/snapshots/*/changedblocks", ebs_list_changed},
};

/* True when path has the shape; the segments of '*' go to segment[]. */
static bool path_matches(const char *path, const char *shape, char segment[2][64])
{
	size_t nr = 0;

	for (; *shape; shape++) {
		size_t len;

		if (*shape != '*') {
			if (*path++ != *shape)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		if (len == 0 || len >= 64 || nr == 2)
			return false;
		memcpy(segment[nr], path, len);
		segment[nr++][len] = '\0';
		path += len;
	}
	return *path == '\0';
}

bool ebs_snapshot_id_ok(const char *id)
{
	size_t digits;

	if (strncmp(id, "snap-", 5) != 0)
		return false;
	digits = strspn(id + 5, "0123456789abcdef");
	return digits > 0 && id[5 + digits] == '\0';
}

/* The id of the path into the context; true (with a reply) when it is none. */
static bool take_id(struct ebs_ctx *c, const char *id)
{
	if (!ebs_snapshot_id_ok(id)) {
		ebs_invalid(c, "INVALID_SNAPSHOT_ID", "The snapshot id '%s' is not valid.", id);
		return true;
	}
	if (strlen(id) >= sizeof(c->id)) {
		ebs_not_found(c, id);
		return true;
	}
	memcpy(c->id, id, strlen(id) + 1);
	return false;
}

void ebs_api_handle(const struct scene *scene, const struct request *req, struct reply *reply)
{
	struct ebs_ctx c = {.region = scene->region, .store = scene->store,
		.account = scene->caller->account, .req = req, .reply = reply};

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		char segment[2][64] = {"", ""};

		if (strcmp(req->method, routes[i].method) != 0 ||
		    !path_matches(req->path, routes[i].path, segment))
			continue;
		c.index = segment[1];
		if (segment[0][0] == '\0' || !take_id(&c, segment[0]))
			routes[i].call(&c);
		return;
	}
	reply_ebs_error(reply, 404, "UnknownOperationException", NULL,
		"There is no operation at this path and method.");
}
