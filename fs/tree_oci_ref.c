/* SPDX-License-Identifier: Apache-2.0 */
/* References to OCI images, and the fetching of those that are in a registry. */
#include "fs/tree_oci.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "base/program.h"
#include "fs/tree_oci_internal.h"

static const struct {
	const char *prefix;
	enum oci_transport transport;
} transports[] = {
	{"oci:", OCI_LAYOUT},
	{"oci-archive:", OCI_ARCHIVE},
	{"docker-archive:", OCI_DOCKER_ARCHIVE},
	{"docker://", OCI_REGISTRY},
};

/* What skopeo knows beside these. */
static const char *const refused[] = {"containers-storage:", "docker-daemon:", "dir:", "ostree:",
	"sif:", "tarball:", "docker:"};

static enum oci_transport split_prefix(const char *text, const char **rest)
{
	*rest = text;
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
		size_t len = strlen(transports[i].prefix);

		if (strncmp(text, transports[i].prefix, len))
			continue;
		*rest = text + len;
		return transports[i].transport;
	}
	return OCI_ANY;
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/*
 * PATH[:TAG]: the longest path that is there. Where none is, the message is to name what was most
 * likely meant: all before the first colon.
 */
static int split_tag(struct oci_ref *ref, const char *rest, struct error *err)
{
	size_t len = strlen(rest);

	ref->path = buf_strf(err, "%s", rest);
	if (!ref->path)
		return -1;
	while (!is_there(ref->path)) {
		const char *colon = memrchr(rest, ':', len);

		if (!colon)
			break;
		len = (size_t)(colon - rest);
		ref->path[len] = '\0';
	}
	if (!rest[len])
		return 0;
	ref->tag = buf_strf(err, "%s", rest + len + 1);
	return ref->tag ? 0 : -1;
}

static int check_registry(const char *name, struct error *err)
{
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c == 0x7f)
			return error_set(err, ERROR_USAGE, 0,
				"'docker://%s' has white space in it", name);
	if (!*name || *name == '/' || *name == '-')
		return error_set(err, ERROR_USAGE, 0,
			"'docker://%s' is no image of a registry: write docker://HOST/NAME:TAG", name);
	return 0;
}

static int check_known(const char *text, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (!strncmp(text, refused[i], strlen(refused[i])))
			return error_set(err, ERROR_USAGE, 0,
				"images by '%s' are not supported: write docker://NAME, or copy it with "
				"`skopeo copy %s oci:FOLDER` and write oci:FOLDER", refused[i], text);
	return 0;
}

int oci_ref_parse(struct oci_ref *ref, const char *text, struct error *err)
{
	const char *rest;
	int r;

	*ref = (struct oci_ref){.transport = split_prefix(text, &rest)};
	if (!*rest)
		return error_set(err, ERROR_USAGE, 0, "'%s' names no image", text);
	if (ref->transport == OCI_ANY || ref->transport == OCI_REGISTRY) {
		r = ref->transport == OCI_ANY ? check_known(text, err) : check_registry(rest, err);
		if (r < 0)
			return -1;
		ref->path = buf_strf(err, "%s", rest);
		return ref->path ? 0 : -1;
	}
	r = split_tag(ref, rest, err);
	if (r == 0 && ref->tag && !*ref->tag)
		r = error_set(err, ERROR_USAGE, 0, "'%s' ends in ':' without a tag", text);
	if (r < 0)
		oci_ref_release(ref);
	return r;
}

void oci_ref_release(struct oci_ref *ref)
{
	free(ref->path);
	free(ref->tag);
	*ref = (struct oci_ref){.path = NULL};
}

char *tree_oci_join(const char *dir, const char *ref, struct error *err)
{
	const char *rest;
	CLEANUP_FREE char *joined = NULL;

	if (split_prefix(ref, &rest) == OCI_REGISTRY || !*rest || check_known(ref, NULL) < 0)
		return buf_strf(err, "%s", ref);
	joined = file_join(dir, rest, err);
	return joined ? buf_strf(err, "%.*s%s", (int)(rest - ref), ref, joined) : NULL;
}

int tree_oci_path(const char *ref, char **path, struct error *err)
{
	struct oci_ref parsed;

	*path = NULL;
	if (oci_ref_parse(&parsed, ref, err) < 0)
		return -1;
	if (parsed.transport != OCI_REGISTRY)
		*path = steal_ptr(&parsed.path);
	oci_ref_release(&parsed);
	return 0;
}

int tree_oci_check(const char *ref, struct error *err)
{
	struct oci_ref parsed;
	int r = 0;

	if (oci_ref_parse(&parsed, ref, err) < 0)
		return -1;
	if (parsed.transport == OCI_REGISTRY)
		r = program_need("skopeo", "skopeo", err);
	else if (access(parsed.path, R_OK) < 0)
		r = error_set(err, ERROR_USAGE, errno, "cannot read '%s'%s", parsed.path,
			parsed.transport == OCI_ANY && errno == ENOENT ?
				" (an image of a registry is written docker://NAME:TAG)" : "");
	oci_ref_release(&parsed);
	return r;
}

/* As docker has it: registries on this machine may speak plain HTTP. */
static bool is_local(const char *name)
{
	size_t len = strcspn(name, "/");
	const char *end = name + len;

	if (!*end)
		return false; /* no host: docker.io */
	if (!strncmp(name, "[::1]", 5))
		return name[5] == ':' || name[5] == '/';
	len = strcspn(name, ":/");
	if (len == 9 && !strncmp(name, "localhost", len))
		return true;
	return !strncmp(name, "127.", 4) && strspn(name, "0123456789.") == len;
}

static int run_skopeo(const struct oci_ref *ref, const char *folder,
	const struct tree_oci_opts *opts, bool no_policy, struct error *err)
{
	CLEANUP_FREE char *from = buf_strf(err, "docker://%s", ref->path);
	CLEANUP_FREE char *to = buf_strf(err, "dir:%s", folder);
	CLEANUP_FREE char *tmp = buf_strf(err, "--tmpdir=%.*s", (int)(strrchr(folder, '/') - folder),
		folder);
	CLEANUP_FREE char *arch = buf_strf(err, "--override-arch=%s", opts->architecture);
	const char *argv[12];
	size_t nr = 0;
	struct program_opts program = {.argv = argv, .package = "skopeo",
		.cancelled = opts->cancelled};

	if (!from || !to || !tmp || !arch)
		return -1;
	argv[nr++] = "skopeo";
	argv[nr++] = arch;
	argv[nr++] = "--override-os=linux";
	argv[nr++] = tmp;
	if (no_policy)
		argv[nr++] = "--insecure-policy";
	argv[nr++] = "copy";
	argv[nr++] = "--quiet";
	if (is_local(ref->path))
		argv[nr++] = "--src-tls-verify=false";
	argv[nr++] = from;
	argv[nr++] = to;
	argv[nr] = NULL;
	return program_run(&program, err);
}

/*
 * A policy says which signatures an image must have. Where there is one, it holds; where there is
 * none, skopeo refuses to do anything, in words that differ between versions.
 */
static bool lacks_policy(const struct error *e)
{
	return e->kind == ERROR_INPUT && strstr(e->text, "policy") &&
		(strstr(e->text, "no such file") || strstr(e->text, "no policy.json"));
}

int oci_fetch(const struct oci_ref *ref, const char *folder, const struct tree_oci_opts *opts,
	struct error *err)
{
	struct error e = ERROR_INIT;
	int r = run_skopeo(ref, folder, opts, false, &e);

	if (r < 0 && lacks_policy(&e)) {
		log_info("no containers-policy.json(5): signatures of 'docker://%s' are not checked",
			ref->path);
		e = (struct error)ERROR_INIT;
		r = run_skopeo(ref, folder, opts, true, &e);
	}
	if (r < 0) {
		if (err)
			*err = e;
		return e.kind == ERROR_INPUT ? error_wrap(err, "docker://%s", ref->path) : -1;
	}
	return 0;
}
