/* SPDX-License-Identifier: Apache-2.0 */
/* What is cheap comes first: signature, sizes, digests of parts, and then the content. */
#include "builder/bundle_verify.h"

#include "base/json.h"
#include "base/log.h"
#include "builder/command_key.h"
#include "formats/unbundle.h"

static int print_verdict(const struct unbundle *u, const char *path, bool content, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if (!doc || json_set_str(doc, "manifest", path, err) < 0 || json_set_str(doc, "name", u->name, err) < 0 ||
		json_set_str(doc, "user", u->user, err) < 0 ||
		json_set_str(doc, "architecture", u->architecture, err) < 0 ||
		json_set_int(doc, "size", (int64_t)u->size, err) < 0 ||
		json_set_int(doc, "bundled_size", (int64_t)u->bundled_size, err) < 0 ||
		json_set_int(doc, "parts", (int64_t)u->nr_parts, err) < 0 ||
		json_set_bool(doc, "content", content, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

int bundle_verify(struct context *ctx, const struct bundle_options *o, const char *path, struct error *err)
{
	CLEANUP(crypto_certificate_cleanup) struct crypto_certificate *c = NULL;
	CLEANUP(crypto_rsa_key_cleanup) struct crypto_rsa_key *key = NULL;
	struct progress progress;
	struct unbundle_opts opts = {o->parts, &progress, context_cancelled};
	struct unbundle u = {0};
	int ret = -1;

	c = command_key_certificate(o->certificate, err);
	if (c && o->key)
		key = command_key_open(o->key, o->key_pass_file, err);
	if (c && (key || !o->key))
		ret = unbundle_read(&u, path, err);
	if (!ret)
		ret = unbundle_check_signature(&u, c, err);
	if (!ret) {
		progress_begin(&progress, &ctx->progress, "verify", (key ? 2 : 1) * u.bundled_size);
		ret = unbundle_check_parts(&u, &opts, err);
		if (!ret && key)
			ret = unbundle_extract(&u, key, NULL, &opts, err);
		progress_end(&progress, !ret);
	}
	if (!ret)
		log_info("'%s': signature, %zu part%s%s are right", path, u.nr_parts,
			u.nr_parts == 1 ? "" : "s", key ? " and the content" : "");
	if (!ret && ctx->opts.json)
		ret = print_verdict(&u, path, key != NULL, err);
	unbundle_release(&u);
	return ret;
}
