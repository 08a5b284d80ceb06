/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of the metadata service. Tokens carry their end and are signed, so none is kept. */
#include "builder/imds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/num.h"

/* A token is the hex of its end (8 bytes, big-endian) and the first bytes of the end's HMAC. */
enum { TOKEN_END = 8, TOKEN_MAC = 20, TOKEN_BYTES = TOKEN_END + TOKEN_MAC };

struct entry {
	char *path; /* below the version: "meta-data/ami-id" */
	char *data;
	size_t len;
};

struct imds {
	struct entry *entries;
	size_t nr, alloc;
	uint8_t secret[IMDS_SECRET_SIZE];
};

/* What clients ask for first to see whether newer data can be had. All of them give the same. */
static const char *const versions[] = {"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10",
	"2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04", "2011-01-01", "2011-05-01",
	"2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30",
	"2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27",
	"2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest"};

static const char text_plain[] = "text/plain";
static const char key_folder[] = "meta-data/public-keys";
static const char key_entry[] = "0=amiwright";

static int add_bytes(struct imds *m, const char *path, const void *data, size_t len,
	struct error *err)
{
	CLEANUP_FREE char *name = buf_strf(err, "%s", path);
	CLEANUP_FREE char *copy = malloc(len + 1);

	if (!name || !copy)
		return error_nomem(err, "metadata");
	if (ARRAY_GROW(m->entries, m->nr + 1, m->alloc, "metadata", err) < 0)
		return -1;
	memcpy(copy, data, len);
	copy[len] = '\0';
	m->entries[m->nr++] = (struct entry){steal_ptr(&name), steal_ptr(&copy), len};
	return 0;
}

static int add(struct imds *m, const char *path, const char *text, struct error *err)
{
	return add_bytes(m, path, text, strlen(text), err);
}

static int add_below(struct imds *m, const char *folder, const char *name, const char *text,
	struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/%s", folder, name);

	return path ? add(m, path, text, err) : -1;
}

static int add_instance(struct imds *m, const struct imds_opts *o, struct error *err)
{
	const struct {
		const char *name, *text;
	} items[] = {
		{"ami-id", o->ami_id},
		{"ami-launch-index", "0"},
		{"ami-manifest-path", "(unknown)"},
		{"hostname", o->hostname},
		{"instance-action", "none"},
		{"instance-id", o->instance_id},
		{"instance-life-cycle", "on-demand"},
		{"instance-type", o->instance_type},
		{"local-hostname", o->hostname},
		{"local-ipv4", o->ipv4},
		{"mac", o->mac},
		{"placement/availability-zone", o->zone},
		{"placement/region", o->region},
		{"profile", "default-hvm"},
		{"reservation-id", "r-00000000000000000"},
		{"security-groups", "default"},
		{"services/domain", "amazonaws.com"},
		{"services/partition", "aws"},
		{"system", "nitro"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		if (add_below(m, "meta-data", items[i].name, items[i].text, err) < 0)
			return -1;
	return 0;
}

static int add_interface(struct imds *m, const struct imds_opts *o, struct error *err)
{
	CLEANUP_FREE char *folder =
		buf_strf(err, "meta-data/network/interfaces/macs/%s", o->mac);
	const struct {
		const char *name, *text;
	} items[] = {
		{"device-number", "0"},
		{"interface-id", "eni-00000000000000000"},
		{"local-hostname", o->hostname},
		{"local-ipv4s", o->ipv4},
		{"mac", o->mac},
		{"owner-id", "000000000000"},
		{"security-groups", "default"},
		{"subnet-id", "subnet-00000000000000000"},
		{"subnet-ipv4-cidr-block", o->network},
		{"vpc-id", "vpc-00000000000000000"},
		{"vpc-ipv4-cidr-block", o->network},
		{"vpc-ipv4-cidr-blocks", o->network},
	};

	for (size_t i = 0; folder && i < ARRAY_SIZE(items); i++)
		if (add_below(m, folder, items[i].name, items[i].text, err) < 0)
			return -1;
	return folder ? 0 : -1;
}

static int add_lists(struct imds *m, const struct imds_opts *o, struct error *err)
{
	for (size_t i = 0; i < o->nr_disks; i++)
		if (add_below(m, "meta-data/block-device-mapping", o->disks[i].name,
			    o->disks[i].device, err) < 0)
			return -1;
	for (size_t i = 0; i < o->nr_tags; i++)
		if (add_below(m, "meta-data/tags/instance", o->tags[i].key, o->tags[i].value,
			    err) < 0)
			return -1;
	if (o->public_key &&
		add(m, "meta-data/public-keys/0/openssh-key", o->public_key, err) < 0)
		return -1;
	if (o->user_data && add_bytes(m, "user-data", o->user_data, o->user_data_len, err) < 0)
		return -1;
	return 0;
}

static int add_document(struct imds *m, const struct imds_opts *o, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	char time[NUM_TIME_TEXT];
	const struct {
		const char *name, *text;
	} items[] = {
		{"accountId", "000000000000"},
		{"architecture", o->architecture},
		{"availabilityZone", o->zone},
		{"billingProducts", NULL},
		{"devpayProductCodes", NULL},
		{"marketplaceProductCodes", NULL},
		{"imageId", o->ami_id},
		{"instanceId", o->instance_id},
		{"instanceType", o->instance_type},
		{"kernelId", NULL},
		{"pendingTime", num_format_time(time, o->start_s)},
		{"privateIp", o->ipv4},
		{"ramdiskId", NULL},
		{"region", o->region},
		{"version", "2017-09-30"},
	};

	if (!doc)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		if (json_set_str(doc, items[i].name, items[i].text, err) < 0)
			return -1;
	if (json_write(doc, true, &text, err) < 0)
		return -1;
	return add(m, "dynamic/instance-identity/document", buf_str(&text), err);
}

struct imds *imds_new(const struct imds_opts *opts, struct error *err)
{
	CLEANUP(imds_cleanup) struct imds *m = calloc(1, sizeof(*m));

	if (!m)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for metadata");
	memcpy(m->secret, opts->secret, sizeof(m->secret));
	if (add_document(m, opts, err) < 0 || add_instance(m, opts, err) < 0 ||
		add_interface(m, opts, err) < 0 || add_lists(m, opts, err) < 0)
		return NULL;
	return steal_ptr(&m);
}

void imds_free(struct imds *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->nr; i++) {
		free(m->entries[i].path);
		free(m->entries[i].data);
	}
	free(m->entries);
	free(m);
}

int imds_check_tag(const char *key, struct error *err)
{
	if (!*key || strpbrk(key, "/ \t\r\n") || !strcmp(key, ".") || !strcmp(key, "..") ||
		!strcmp(key, "_index"))
		return error_set(err, ERROR_USAGE, 0,
			"the tag key '%s' cannot be seen in metadata: it has to be without spaces and "
			"slashes, and not '.', '..' or '_index'", key);
	return 0;
}

static int sign_end(const struct imds *m, uint64_t end, uint8_t out[TOKEN_BYTES],
	struct error *err)
{
	uint8_t mac[SHA256_SIZE];

	num_put_le64(out, __builtin_bswap64(end));
	if (hmac_sha256(m->secret, sizeof(m->secret), out, TOKEN_END, mac, err) < 0)
		return -1;
	memcpy(out + TOKEN_END, mac, TOKEN_MAC);
	return 0;
}

/* *left: seconds that it still lives; 0 when it is none of ours, or over. */
static int check_token(const struct imds *m, const char *token, int64_t now_s, int64_t *left,
	struct error *err)
{
	uint8_t given[TOKEN_BYTES], right[TOKEN_BYTES];
	uint8_t difference = 0;
	uint64_t end;

	*left = 0;
	if (!token || hex_decode(given, sizeof(given), token))
		return 0;
	end = __builtin_bswap64(num_get_le64(given));
	if (sign_end(m, end, right, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(given); i++)
		difference |= given[i] ^ right[i];
	if (!difference && (int64_t)end > now_s)
		*left = (int64_t)end - now_s;
	return 0;
}

static int refuse(struct imds_reply *reply, unsigned status, const char *text, struct error *err)
{
	buf_clear(&reply->body);
	reply->status = status;
	return buf_addf(&reply->body, err, "%u - %s\n", status, text);
}

static int give_token(const struct imds *m, const struct imds_request *req, int64_t now_s,
	struct imds_reply *reply, struct error *err)
{
	uint8_t token[TOKEN_BYTES];
	char text[2 * TOKEN_BYTES + 1];
	uint64_t ttl;

	if (strcmp(req->method, "PUT") != 0)
		return refuse(reply, 405, "Method Not Allowed", err);
	if (req->forwarded)
		return refuse(reply, 403, "Forbidden", err);
	if (!req->ttl || strspn(req->ttl, "0123456789") != strlen(req->ttl) ||
		num_parse(req->ttl, IMDS_TTL_MAX, &ttl, NULL) < 0 || !ttl)
		return refuse(reply, 400, "Bad Request", err);
	if (sign_end(m, (uint64_t)now_s + ttl, token, err) < 0)
		return -1;
	reply->ttl_s = (int64_t)ttl;
	return buf_add_str(&reply->body, hex_encode(text, token, sizeof(token)), err);
}

/* The next name of entry below folder (its length), or 0 when it is not there. */
static size_t name_below(const struct entry *e, const char *folder, size_t len, const char **name)
{
	if (strncmp(e->path, folder, len) != 0)
		return 0;
	*name = e->path + len;
	if (len) {
		if (**name != '/')
			return 0;
		++*name;
	}
	return strcspn(*name, "/");
}

/* True when an entry before `nr` gave this name of the folder already. */
static bool is_listed(const struct imds *m, size_t nr, const char *folder, size_t len,
	const char *name, size_t name_len)
{
	for (size_t i = 0; i < nr; i++) {
		const char *other;
		size_t other_len = name_below(&m->entries[i], folder, len, &other);

		if (other_len == name_len && !memcmp(other, name, name_len))
			return true;
	}
	return false;
}

/* Subfolders end with a slash, but for those of a version itself; nothing ends the last line. */
static int list_folder(const struct imds *m, const char *folder, size_t len,
	struct imds_reply *reply, struct error *err)
{
	if (len == sizeof(key_folder) - 1 && !strncmp(folder, key_folder, len))
		return buf_add_str(&reply->body, key_entry, err);
	for (size_t i = 0; i < m->nr; i++) {
		const char *name;
		size_t name_len = name_below(&m->entries[i], folder, len, &name);

		if (!name_len || is_listed(m, i, folder, len, name, name_len))
			continue;
		if (buf_addf(&reply->body, err, "%s%.*s%s", reply->body.len ? "\n" : "",
			    (int)name_len, name, len && name[name_len] ? "/" : "") < 0)
			return -1;
	}
	return 0;
}

static int give_path(const struct imds *m, const char *path, size_t len, struct imds_reply *reply,
	struct error *err)
{
	for (size_t i = 0; i < m->nr; i++) {
		const struct entry *e = &m->entries[i];

		if (strlen(e->path) != len || memcmp(e->path, path, len) != 0)
			continue;
		if (!strcmp(e->path, "user-data"))
			reply->type = "application/octet-stream";
		return buf_add(&reply->body, e->data, e->len, err);
	}
	if (len && path[len - 1] == '/')
		len--;
	for (size_t i = 0; i < m->nr; i++) {
		const char *name;

		if (name_below(&m->entries[i], path, len, &name))
			return list_folder(m, path, len, reply, err);
	}
	return refuse(reply, 404, "Not Found", err);
}

static int list_versions(struct imds_reply *reply, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (buf_addf(&reply->body, err, "%s%s", i ? "\n" : "", versions[i]) < 0)
			return -1;
	return 0;
}

static int give(const struct imds *m, const char *path, size_t len, struct imds_reply *reply,
	struct error *err)
{
	size_t version_len = strcspn(path, "/");

	if (!len)
		return list_versions(reply, err);
	version_len = MIN(version_len, len);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		size_t skip = version_len + (version_len < len);

		if (strlen(versions[i]) == version_len && !memcmp(versions[i], path, version_len))
			return give_path(m, path + skip, len - skip, reply, err);
	}
	return refuse(reply, 404, "Not Found", err);
}

int imds_answer(const struct imds *m, const struct imds_request *req, int64_t now_s,
	struct imds_reply *reply, struct error *err)
{
	const char *path = req->path;
	size_t len;
	int64_t left;

	reply->status = 200;
	reply->type = text_plain;
	reply->ttl_s = -1;
	while (*path == '/')
		path++;
	len = strcspn(path, "?#");
	if (len == strlen("latest/api/token") && !strncmp(path, "latest/api/token", len))
		return give_token(m, req, now_s, reply, err);
	if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0)
		return refuse(reply, 405, "Method Not Allowed", err);
	if (check_token(m, req->token, now_s, &left, err) < 0)
		return -1;
	if (!left)
		return refuse(reply, 401, "Unauthorized", err);
	reply->ttl_s = left;
	return give(m, path, len, reply, err);
}
