/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright bundle`: an image, or what a spec builds, as an instance-store bundle; and --verify. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto_cipher.h"
#include "base/crypto_pages.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/build.h"
#include "builder/bundle_checks.h"
#include "builder/bundle_options.h"
#include "builder/bundle_upload.h"
#include "builder/bundle_verify.h"
#include "builder/command_key.h"
#include "builder/plan_internal.h"
#include "formats/deflate.h"
#include "formats/format.h"

#define FIELD(field) offsetof(struct bundle_options, field)

static const char *const architectures[] = {"i386", "x86_64", "arm64", NULL};

static const struct options_def options[] = {
	{"key", 'k', OPTIONS_TEXT, FIELD(key), "FILE", "your RSA private key, PEM: signs the manifest", 0,
		0, NULL},
	{"key-pass-file", 0, OPTIONS_TEXT, FIELD(key_pass_file), "FILE",
		"file whose first line is the key's passphrase (default: asked on the terminal)", 0, 0, NULL},
	{"cert", 'c', OPTIONS_TEXT, FIELD(certificate), "FILE",
		"your X.509 certificate, PEM: that of the key", 0, 0, NULL},
	{"ec2-cert", 0, OPTIONS_TEXT, FIELD(ec2_certificate), "FILE",
		"EC2's certificate, PEM: it may read the bundle", 0, 0, NULL},
	{"user", 'u', OPTIONS_TEXT, FIELD(user), "ACCOUNT", "your account id of 12 digits", 0, 0, NULL},
	{"out", 'o', OPTIONS_TEXT, FIELD(out), "DIR", "folder for parts and manifest", 0, 0, NULL},
	{"prefix", 'p', OPTIONS_TEXT, FIELD(prefix), "NAME",
		"what their names begin with (default: IMAGE's file name, or the spec's name)", 0, 0, NULL},
	{"arch", 'r', OPTIONS_CHOICE, FIELD(architecture), "ARCH",
		"i386, x86_64 or arm64 (default: the spec's, else x86_64)", 0, 0, architectures},
	{"kernel", 0, OPTIONS_TEXT, FIELD(kernel), "AKI", "kernel id of a paravirtual image", 0, 0, NULL},
	{"ramdisk", 0, OPTIONS_TEXT, FIELD(ramdisk), "ARI", "ramdisk id of a paravirtual image", 0, 0,
		NULL},
	{"product-code", 0, OPTIONS_LIST, FIELD(product_codes), "CODE",
		"a product code; may be given many times", 0, 0, NULL},
	{"ancestor", 0, OPTIONS_LIST, FIELD(ancestors), "AMI",
		"an AMI that this one was made from; may be given many times", 0, 0, NULL},
	{"mapping", 0, OPTIONS_LIST, FIELD(mappings), "VIRTUAL=DEVICE",
		"a device of instances, like ephemeral0=sdb; may be given many times", 0, 0, NULL},
	{"level", 0, OPTIONS_NUMBER, FIELD(level), "N", "compression from 1 (fast) to 12 (small)",
		DEFLATE_LEVEL_MIN, DEFLATE_LEVEL_MAX, NULL},
	{"force", 'f', OPTIONS_FLAG, FIELD(force), NULL, "replace a bundle of the same prefix", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_FOLDER, FIELD(spool_dir), "DIR",
		"folder for temporary data of a spec or of a compressed image (default: TMPDIR or /var/tmp)",
		0, 0, NULL},
	{"seed", 0, OPTIONS_TEXT, FIELD(seed), "HEX",
		"64 hex digits instead of random bytes, for tests alone: who knows them can read the bundle",
		0, 0, NULL},
	{"upload", 0, OPTIONS_TEXT, FIELD(upload), "S3URL",
		"to s3://BUCKET/PREFIX instead of a folder, while it is made; a rerun goes on", 0, 0, NULL},
	{"acl", 0, OPTIONS_CHOICE, FIELD(acl), "ACL",
		"with --upload: a canned ACL (default: aws-exec-read, by which EC2 reads)", 0, 0,
		bundle_target_acls},
	{"public", 0, OPTIONS_FLAG, FIELD(is_public), NULL,
		"with --upload: the same as --acl public-read: everybody may fetch it", 0, 0, NULL},
	{"create-bucket", 0, OPTIONS_FLAG, FIELD(create_bucket), NULL,
		"with --upload: make the bucket, with ACLs that hold, when it is not there", 0, 0, NULL},
	{"cleanup", 0, OPTIONS_FLAG, FIELD(clean_up), NULL,
		"with --upload: remove what an upload that was not finished left in the bucket", 0, 0, NULL},
	{"verify", 0, OPTIONS_FLAG, FIELD(verify), NULL,
		"check the bundle of a manifest: signature, parts, and with --key the content", 0, 0, NULL},
	{"parts", 0, OPTIONS_TEXT, FIELD(parts), "DIR",
		"with --verify: folder of the parts (default: the manifest's)", 0, 0, NULL},
	{0},
};

/* One run of the command. */
struct run {
	struct context *ctx;
	const struct bundle_options *o;
	const char *path; /* of the image or the spec */
	bool spec;
	struct crypto_rsa_key *key;
	struct crypto_certificate *certificate, *ec2_certificate;
	struct bundle_request request;
	char *prefix, *manifest; /* owned */
	struct bundle_folder *folder;
	struct bundle_target target; /* with --upload instead of folder */
	struct bundle_upload *upload;
	struct build build;
	struct image image;
	struct dev *disk;        /* of a spec; owned */
	uint8_t spool_key[CRYPTO_PAGES_KEY];
	struct bundle_result result;
};

/* Options that only one of the two ways has. */
static int check_usage(const struct bundle_options *o, struct error *err)
{
	const struct {
		const char *name;
		bool given, wanted; /* wanted for bundling */
	} rows[] = {{"--key", o->key, true}, {"--cert", o->certificate, true},
		{"--ec2-cert", o->ec2_certificate, true}, {"--user", o->user, true},
		{"--out", o->out, !o->upload}, {"--prefix", o->prefix, false}, {"--arch", o->architecture, false},
		{"--kernel", o->kernel, false}, {"--ramdisk", o->ramdisk, false},
		{"--product-code", o->product_codes.nr, false}, {"--ancestor", o->ancestors.nr, false},
		{"--mapping", o->mappings.nr, false}, {"--level", o->level, false},
		{"--force", o->force, false}, {"--seed", o->seed, false},
		{"--spool-dir", o->spool_dir, false}, {"--upload", o->upload, false}};
	const bool of_upload = o->acl || o->is_public || o->create_bucket || o->clean_up;

	if (o->verify && !o->certificate)
		return error_set(err, ERROR_USAGE, 0, "--verify wants --cert: who should have signed it");
	if (o->upload && o->out)
		return error_set(err, ERROR_USAGE, 0, "--upload and --out exclude each other");
	if (!o->upload && of_upload)
		return error_set(err, ERROR_USAGE, 0,
			"--acl, --public, --create-bucket and --cleanup go with --upload");
	if (!o->verify && o->parts)
		return error_set(err, ERROR_USAGE, 0, "--parts goes with --verify");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!o->verify && !o->clean_up && rows[i].wanted && !rows[i].given)
			return error_set(err, ERROR_USAGE, 0, "%s is missing", rows[i].name);
		if (o->verify && i > 1 && rows[i].given)
			return error_set(err, ERROR_USAGE, 0, "%s does not go with --verify", rows[i].name);
	}
	if (o->key_pass_file && !o->key)
		return error_set(err, ERROR_USAGE, 0, "--key-pass-file wants --key");
	return 0;
}

static int open_keys(struct run *r, struct error *err)
{
	const struct bundle_options *o = r->o;

	r->certificate = command_key_certificate(o->certificate, err);
	r->ec2_certificate = r->certificate ? command_key_ec2(o->ec2_certificate, err) : NULL;
	r->key = r->ec2_certificate ? command_key_open(o->key, o->key_pass_file, err) : NULL;
	if (!r->key)
		return -1;
	r->request.opts.key = r->key;
	r->request.opts.certificate = r->certificate;
	r->request.opts.ec2_certificate = r->ec2_certificate;
	if (!crypto_certificate_fits(r->certificate, r->key))
		return error_set(err, ERROR_INPUT, 0, "the certificate '%s' is not that of the key '%s'",
			o->certificate, o->key);
	return 0;
}

static int make_seed(struct run *r, struct error *err)
{
	uint8_t *seed = r->request.opts.seed;

	if (context_random(seed, BUNDLE_SEED_SIZE) < 0 || context_random(r->spool_key, CRYPTO_PAGES_KEY) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for a key");
	if (!r->o->seed)
		return 0;
	if (hex_decode(seed, BUNDLE_SEED_SIZE, r->o->seed))
		return error_set(err, ERROR_USAGE, 0, "--seed wants 64 hex digits");
	log_warn("--seed: whoever knows it can read this bundle; use it for tests alone");
	return 0;
}

static int look_at_spec(struct run *r, struct error *err)
{
	struct build_opts opts = {.spool_dir = r->o->spool_dir};
	const struct spec *s = &r->build.spec;
	const struct spec_disk *root;

	if (build_read(&r->build, r->ctx, r->path, &opts, err) < 0)
		return -1;
	root = s->nr_disks ? &s->disks[plan_root_disk(s)] : NULL;
	if (!root || !plan_spec_has_content(root))
		return error_set(err, ERROR_USAGE, 0, "'%s' has no disk with content: nothing to bundle",
			r->path);
	if (root->size_kind == SPEC_SIZE_BYTES && root->size > BUNDLE_IMAGE_MAX)
		return error_set(err, ERROR_USAGE, 0,
			"the root disk of '%s' is larger than 10 GiB, which is what an instance-store AMI has "
			"at most", r->path);
	r->request.opts.architecture = s->architecture;
	return 0;
}

static int name_bundle(struct run *r, struct error *err)
{
	const char *slash = strrchr(r->path, '/');

	if (r->o->prefix)
		r->prefix = strdup(r->o->prefix);
	else
		r->prefix = strdup(r->spec ? r->build.spec.name : slash ? slash + 1 : r->path);
	r->request.opts.prefix = r->prefix;
	return r->prefix ? 0 : error_nomem(err, "a name");
}

static struct dev *open_disk(struct run *r, struct error *err)
{
	struct format_read_opts opts = context_read_opts(r->ctx);

	/* What is decompressed is not to lie on a disk in clear. */
	opts.spool_key = r->spool_key;
	if (r->o->spool_dir)
		opts.spool_dir = r->o->spool_dir;
	if (!r->spec)
		bundle_warn_of_reach(r->request.opts.architecture, NULL);
	if (!r->spec)
		return format_open(r->path, &opts, true, &r->image, err) < 0 ? NULL : r->image.dev;
	if (build_make(&r->build, r->ctx, err) < 0)
		return NULL;
	/* Before the file systems are made. */
	if (bundle_check(&r->request.opts, r->build.plan.disks[r->build.plan.root_disk].size, err) < 0)
		return NULL;
	bundle_warn_of_reach(r->request.opts.architecture, r->build.plan.boot_mode);
	r->disk = build_disk(&r->build, r->build.plan.root_disk, err);
	return r->disk;
}

static int write_bundle(struct run *r, struct dev *dev, struct error *err)
{
	struct progress progress;
	struct bundle_opts *o = &r->request.opts;
	int ret;

	if (bundle_check(o, dev->size, err) < 0 || (r->folder && bundle_warn_of_space(r->o->out, dev, err) < 0))
		return -1;
	o->workers = context_workers(r->ctx);
	o->cancelled = context_cancelled;
	o->progress = &progress;
	progress_begin(&progress, &r->ctx->progress, "bundle", dev->size);
	ret = bundle_write(dev, o, r->upload ? bundle_upload_sink(r->upload) : bundle_folder_sink(r->folder),
		&r->result, err);
	progress_end(&progress, !ret);
	if (r->upload)
		return ret < 0 ? bundle_upload_explain(r->upload, err) :
				 bundle_upload_finish(r->upload, &r->manifest, err);
	return ret < 0 ? -1 : bundle_folder_commit(r->folder, &r->manifest, err);
}

static int print_result(const struct run *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	char hex[SHA1_HEX_SIZE], a[NUM_SIZE_TEXT], b[NUM_SIZE_TEXT];

	log_info("%s in %u part%s of %s", num_format_size(a, r->result.size), r->result.nr_parts,
		r->result.nr_parts == 1 ? "" : "s", num_format_size(b, r->result.bundled_size));
	if (!r->ctx->opts.json)
		return context_print_line(r->manifest, err);
	doc = json_new_object(err);
	hex_encode(hex, r->result.sha1, SHA1_SIZE);
	if (!doc || json_set_str(doc, "manifest", r->manifest, err) < 0 ||
		json_set_int(doc, "size", (int64_t)r->result.size, err) < 0 ||
		json_set_int(doc, "bundled_size", (int64_t)r->result.bundled_size, err) < 0 ||
		json_set_int(doc, "parts", r->result.nr_parts, err) < 0 ||
		json_set_str(doc, "sha1", hex, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static struct bundle_target_opts target_opts(const struct bundle_options *o)
{
	return (struct bundle_target_opts){.acl = o->acl, .is_public = o->is_public,
		.create_bucket = o->create_bucket};
}

/* Where it goes is looked at before work. */
static int open_output(struct run *r, struct error *err)
{
	const struct bundle_target_opts opts = target_opts(r->o);

	if (!r->o->upload) {
		r->folder = bundle_folder_new(r->o->out, r->prefix, r->o->force, err);
		return r->folder ? 0 : -1;
	}
	if (bundle_target_open(&r->target, r->ctx, &opts, err) < 0)
		return -1;
	r->upload = bundle_upload_new(r->ctx, &r->target, &r->request.opts, r->o->force, err);
	return r->upload ? 0 : -1;
}

static int clean_up(struct run *r, struct error *err)
{
	const struct bundle_target_opts opts = {.acl = NULL};
	struct build_opts build = {.spool_dir = r->o->spool_dir};
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error ignored = ERROR_INIT;
	int ret;

	r->spec = spec_has_name(r->path);
	if ((r->spec && !r->o->prefix && build_read(&r->build, r->ctx, r->path, &build, err) < 0) ||
		name_bundle(r, err) < 0 || bundle_target_open(&r->target, r->ctx, &opts, err) < 0)
		return -1;
	ret = bundle_upload_clean(r->ctx, &r->target, r->prefix, &out, err);
	/* What went is told, also when another one failed. */
	if ((ret == 0 || out.len) && command_print_ids(r->ctx, "objects", &out, ret ? &ignored : err) < 0)
		ret = -1;
	return ret;
}

static int bundle(struct run *r, struct error *err)
{
	struct dev *dev;

	if (!strcmp(r->path, "-"))
		return error_set(err, ERROR_USAGE, 0,
			"an image from standard input cannot be bundled, for its size comes first: give a file");
	r->spec = spec_has_name(r->path);
	if (bundle_request_parse(&r->request, r->o, err) < 0 || open_keys(r, err) < 0 ||
		make_seed(r, err) < 0 || (r->spec && look_at_spec(r, err) < 0) || name_bundle(r, err) < 0)
		return -1;
	if (r->o->architecture)
		r->request.opts.architecture = r->o->architecture;
	else if (!r->spec)
		r->request.opts.architecture = "x86_64";
	if (bundle_check(&r->request.opts, 0, err) < 0 ||
		bundle_check_files(r->o, r->path, r->spec ? &r->build.spec : NULL, r->prefix, err) < 0)
		return -1;
	dev = open_output(r, err) == 0 ? open_disk(r, err) : NULL;
	return !dev || write_bundle(r, dev, err) < 0 ? -1 : print_result(r, err);
}

static void release(struct run *r)
{
	dev_close(r->disk, NULL);
	image_close(&r->image);
	build_release(&r->build);
	bundle_folder_free(r->folder);
	bundle_upload_free(r->upload);
	bundle_target_release(&r->target);
	bundle_request_release(&r->request);
	crypto_wipe(r->request.opts.seed, BUNDLE_SEED_SIZE);
	crypto_wipe(r->spool_key, sizeof(r->spool_key));
	crypto_rsa_key_free(r->key);
	crypto_certificate_free(r->certificate);
	crypto_certificate_free(r->ec2_certificate);
	free(r->prefix);
	free(r->manifest);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	struct run r = {.ctx = ctx, .o = popts, .path = args->items[0]};
	int ret = check_usage(r.o, err);

	if (!ret && r.o->verify)
		return bundle_verify(ctx, r.o, r.path, err);
	if (!ret && r.o->upload) {
		const struct bundle_target_opts opts = target_opts(r.o);

		ret = bundle_target_parse(&r.target, r.o->upload, &opts, err);
	}
	if (!ret)
		ret = r.o->clean_up ? clean_up(&r, err) : bundle(&r, err);
	release(&r);
	return ret;
}

const struct command cmd_bundle = {
	.name = "bundle",
	.args = "IMAGE|SPEC",
	.summary = "an image as an instance-store bundle",
	.description =
		"Makes of an image of any format that is read, or of the root disk of a spec (a file that\n"
		"ends in .yaml or .yml), the encrypted parts and the signed manifest that EC2 registers\n"
		"as an instance-store AMI. It is done in one pass; what is written is encrypted. Prints\n"
		"the manifest's name. With --verify it checks the bundle of a manifest instead.",
	.options = options,
	.options_size = sizeof(struct bundle_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
