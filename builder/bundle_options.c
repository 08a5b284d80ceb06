/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, names and the account of a bundle: what EC2 would refuse at registration is told here. */
#include "builder/bundle_options.h"

#include <stdlib.h>
#include <string.h>

enum { ACCOUNT_DIGITS = 12, EPHEMERAL_DIGITS = 2 };

/* "1111-2222-3333" is how the console shows it. */
static int parse_user(const char *text, char out[ACCOUNT_DIGITS + 1], struct error *err)
{
	size_t n = 0;

	for (const char *c = text; *c; c++) {
		if (*c == '-')
			continue;
		if (*c < '0' || *c > '9' || n == ACCOUNT_DIGITS)
			n = ACCOUNT_DIGITS + 1;
		else
			out[n++] = *c;
		if (n > ACCOUNT_DIGITS)
			break;
	}
	if (n != ACCOUNT_DIGITS)
		return error_set(err, ERROR_USAGE, 0,
			"--user: '%s' is no account id: 12 digits are right, dashes may be between them",
			text);
	out[n] = '\0';
	return 0;
}

/* "aki-" and 8 or 17 hex digits. */
static int check_id(const char *option, const char *prefix, const char *id, struct error *err)
{
	size_t len = strlen(prefix), digits;

	if (!id)
		return 0;
	digits = strncmp(id, prefix, len) ? 0 : strlen(id + len);
	if ((digits == 8 || digits == 17) && strspn(id + len, "0123456789abcdef") == digits)
		return 0;
	return error_set(err, ERROR_USAGE, 0, "%s: '%s' is no id like %s0123456789abcdef0", option, id,
		prefix);
}

static int check_codes(const struct options_list *codes, struct error *err)
{
	static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	for (size_t i = 0; i < codes->nr; i++)
		if (!*codes->items[i] || strspn(codes->items[i], alphanumeric) != strlen(codes->items[i]))
			return error_set(err, ERROR_USAGE, 0,
				"--product-code: '%s' is no product code: letters and digits are right",
				codes->items[i]);
	return 0;
}

static bool is_virtual(const char *name)
{
	static const char ephemeral[] = "ephemeral";
	const char *digits = name + sizeof(ephemeral) - 1;

	if (!strcmp(name, "ami") || !strcmp(name, "root") || !strcmp(name, "swap"))
		return true;
	return !strncmp(name, ephemeral, sizeof(ephemeral) - 1) && *digits &&
		strlen(digits) <= EPHEMERAL_DIGITS && strspn(digits, "0123456789") == strlen(digits);
}

static bool is_device(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789/") == strlen(name);
}

/* "ephemeral0=sdb": the texts of *m are the caller's. */
static int parse_mapping(const char *text, struct bundle_mapping *m, struct error *err)
{
	const char *equal = strchr(text, '=');
	CLEANUP_FREE char *name = equal ? strndup(text, (size_t)(equal - text)) : NULL;

	if (!name || !is_virtual(name) || !is_device(equal + 1))
		return error_set(err, ERROR_USAGE, 0,
			"--mapping: '%s' is not VIRTUAL=DEVICE with ami, root, swap or ephemeralN, like "
			"ephemeral0=sdb", text);
	m->device = strdup(equal + 1);
	m->virtual = steal_ptr(&name);
	return m->device ? 0 : error_nomem(err, "a mapping");
}

static int parse_mappings(struct bundle_request *r, const struct options_list *list, struct error *err)
{
	r->mappings = calloc(list->nr + 1, sizeof(*r->mappings));
	if (!r->mappings)
		return error_nomem(err, "mappings");
	for (size_t i = 0; i < list->nr; i++) {
		r->opts.nr_mappings = i + 1;
		if (parse_mapping(list->items[i], &r->mappings[i], err) < 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (!strcmp(r->mappings[i].virtual, r->mappings[j].virtual))
				return error_set(err, ERROR_USAGE, 0, "--mapping: '%s' is there twice",
					r->mappings[i].virtual);
	}
	r->opts.mappings = r->mappings;
	return 0;
}

int bundle_request_parse(struct bundle_request *r, const struct bundle_options *o, struct error *err)
{
	if (parse_user(o->user, r->user, err) < 0 ||
		check_id("--kernel", "aki-", o->kernel, err) < 0 ||
		check_id("--ramdisk", "ari-", o->ramdisk, err) < 0 ||
		check_codes(&o->product_codes, err) < 0 || parse_mappings(r, &o->mappings, err) < 0)
		return -1;
	for (size_t i = 0; i < o->ancestors.nr; i++)
		if (check_id("--ancestor", "ami-", o->ancestors.items[i], err) < 0)
			return -1;
	r->opts.user = r->user;
	r->opts.kernel = o->kernel;
	r->opts.ramdisk = o->ramdisk;
	r->opts.product_codes = o->product_codes.items;
	r->opts.nr_product_codes = o->product_codes.nr;
	r->opts.ancestors = o->ancestors.items;
	r->opts.nr_ancestors = o->ancestors.nr;
	r->opts.level = (int)o->level;
	r->opts.tool_version = AMIWRIGHT_VERSION;
	return 0;
}

void bundle_request_release(struct bundle_request *r)
{
	for (size_t i = 0; i < r->opts.nr_mappings; i++) {
		free((char *)(uintptr_t)r->mappings[i].virtual);
		free((char *)(uintptr_t)r->mappings[i].device);
	}
	free(r->mappings);
}
