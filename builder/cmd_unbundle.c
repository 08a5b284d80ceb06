/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright unbundle`: the image of an instance-store bundle. */
#include "builder/command.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "builder/command_key.h"
#include "builder/files.h"
#include "formats/unbundle.h"

struct unbundle_options {
	const char *key, *key_pass_file, *certificate, *out, *parts;
};

#define FIELD(field) offsetof(struct unbundle_options, field)

static const struct options_def options[] = {
	{"key", 'k', OPTIONS_TEXT, FIELD(key), "FILE", "the RSA private key that it was made with, PEM", 0,
		0, NULL},
	{"key-pass-file", 0, OPTIONS_TEXT, FIELD(key_pass_file), "FILE",
		"file whose first line is the key's passphrase (default: asked on the terminal)", 0, 0, NULL},
	{"cert", 'c', OPTIONS_TEXT, FIELD(certificate), "FILE",
		"certificate that the manifest must be signed with (default: not checked)", 0, 0, NULL},
	{"out", 'o', OPTIONS_TEXT, FIELD(out), "FILE", "the raw image to make", 0, 0, NULL},
	{"parts", 0, OPTIONS_TEXT, FIELD(parts), "DIR", "folder of the parts (default: the manifest's)", 0,
		0, NULL},
	{0},
};

static int check(const struct unbundle_options *o, const char *manifest, struct error *err)
{
	struct files f = {0};
	int ret;

	if (!o->key || !o->out)
		return error_set(err, ERROR_USAGE, 0, "%s is missing", o->key ? "--out" : "--key");
	if (!strcmp(o->out, "-"))
		return error_set(err, ERROR_USAGE, 0,
			"--out wants a file: only at its end a bundle is known to be right");
	ret = files_read(&f, manifest, "the manifest", err);
	if (!ret)
		ret = files_read(&f, o->key, "the private key", err);
	if (!ret)
		ret = files_read(&f, o->certificate, "the certificate", err);
	if (!ret)
		ret = files_read(&f, o->key_pass_file, "the passphrase's file", err);
	if (!ret)
		ret = files_make(&f, o->out, "the image", FILES_REPLACED, "--out", err);
	files_release(&f);
	return ret;
}

/* The parts are inputs too. */
static int check_parts(const struct unbundle *u, const struct unbundle_options *o, struct error *err)
{
	const char *slash = strrchr(o->out, '/');
	const char *name = slash ? slash + 1 : o->out;

	for (size_t i = 0; i < u->nr_parts; i++)
		if (!strcmp(name, u->parts[i].name))
			return error_set(err, ERROR_USAGE, 0,
				"--out: '%s' has the name of a part of the bundle; give another one", o->out);
	return 0;
}

static int extract(struct context *ctx, const struct unbundle_options *o, const struct unbundle *u,
	const struct crypto_rsa_key *key, struct error *err)
{
	struct progress progress;
	struct unbundle_opts opts = {o->parts, &progress, context_cancelled};
	int ret;

	progress_begin(&progress, &ctx->progress, "unbundle", 2 * u->bundled_size);
	ret = unbundle_check_parts(u, &opts, err);
	if (!ret)
		ret = unbundle_extract(u, key, o->out, &opts, err);
	progress_end(&progress, !ret);
	return ret;
}

static int print_result(struct context *ctx, const char *path, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (!ctx->opts.json)
		return context_print_line(path, err);
	doc = json_new_object(err);
	if (!doc || json_set_str(doc, "file", path, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	CLEANUP(crypto_certificate_cleanup) struct crypto_certificate *c = NULL;
	CLEANUP(crypto_rsa_key_cleanup) struct crypto_rsa_key *key = NULL;
	const struct unbundle_options *o = popts;
	struct unbundle u = {0};
	int ret = check(o, args->items[0], err);

	if (!ret && o->certificate) {
		c = command_key_certificate(o->certificate, err);
		ret = c ? 0 : -1;
	}
	if (!ret) {
		key = command_key_open(o->key, o->key_pass_file, err);
		ret = key ? unbundle_read(&u, args->items[0], err) : -1;
	}
	if (!ret && c)
		ret = unbundle_check_signature(&u, c, err);
	else if (!ret)
		log_info("note: who signed the bundle is not checked without --cert");
	if (!ret)
		ret = check_parts(&u, o, err);
	if (!ret)
		ret = extract(ctx, o, &u, key, err);
	unbundle_release(&u);
	if (ret < 0)
		return -1;
	return print_result(ctx, o->out, err);
}

const struct command cmd_unbundle = {
	.name = "unbundle",
	.args = "MANIFEST",
	.summary = "the image of an instance-store bundle",
	.description =
		"Checks the parts of a bundle, decrypts and unpacks its image as a sparse raw file, which\n"
		"gets its name when all digests were found right. Bundles of ec2-bundle-image,\n"
		"ec2-bundle-vol and euca2ools are read too. Prints the file's name.",
	.options = options,
	.options_size = sizeof(struct unbundle_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
