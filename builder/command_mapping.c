/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small language of --map:
 *
 *   DEV=SNAP[:GIB[:TYPE[:IOPS[:THROUGHPUT]]]][,keep]
 *   DEV=:GIB[:TYPE[:IOPS[:THROUGHPUT]]][,keep][,encrypted|,plain]
 *   DEV=ephemeralN
 *   DEV=none
 *
 * A part that is empty has EC2's default.
 */
#include "builder/command_mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/*
 * Copies what stands before the first of `ends` into out; returns the rest, NULL when it is too
 * long.
 */
static const char *take(const char *text, const char *ends, char *out, size_t size)
{
	size_t len = strcspn(text, ends);

	if (len >= size)
		return NULL;
	memcpy(out, text, len);
	out[len] = '\0';
	return text + len;
}

static int bad_map(const char *text, struct error *err)
{
	return error_set(err, ERROR_USAGE, 0,
		"--map: '%s' is not DEV=SNAP[:GIB[:TYPE[:IOPS[:THROUGHPUT]]]][,keep], DEV=:GIB… for an "
		"empty volume, DEV=ephemeralN or DEV=none",
		text);
}

static void map_init(struct ec2_mapping *m)
{
	memset(m, 0, sizeof(*m));
	m->encrypted = -1;
	m->delete_on_termination = -1;
}

/* Takes ":text" off *rest; an absent part is "". False when it is too long. */
static bool take_part(const char **rest, char *out, size_t size)
{
	out[0] = '\0';
	if (**rest != ':')
		return true;
	*rest = take(*rest + 1, ":,", out, size);
	return *rest != NULL;
}

static int number(const char *text, uint64_t max, const char *what, uint64_t *out, struct error *err)
{
	*out = 0;
	if (!text[0])
		return 0;
	if (num_parse(text, max, out, err) < 0)
		return error_wrap(err, "--map: %s", what);
	return *out ? 0 : error_set(err, ERROR_USAGE, 0, "--map: %s cannot be 0: leave it out", what);
}

/* ",keep", ",encrypted", ",plain" up to the end. */
static int parse_flags(const char *rest, struct ec2_mapping *m)
{
	char word[16];

	while (*rest == ',') {
		rest = take(rest + 1, ",", word, sizeof(word));
		if (!rest)
			return -1;
		if (!strcmp(word, "keep"))
			m->delete_on_termination = 0;
		else if (!strcmp(word, "encrypted"))
			m->encrypted = 1;
		else if (!strcmp(word, "plain"))
			m->encrypted = 0;
		else
			return -1;
	}
	return *rest ? -1 : 0;
}

static int parse_volume(const char *text, const char *what, struct ec2_mapping *m, struct error *err)
{
	char gib[24], iops[24], throughput[24];
	const char *rest = take(what, ":,", m->snapshot, sizeof(m->snapshot));
	uint64_t wanted_iops, wanted_throughput;

	m->ebs = true;
	if (!rest || !take_part(&rest, gib, sizeof(gib)) ||
		!take_part(&rest, m->type, sizeof(m->type)) || !take_part(&rest, iops, sizeof(iops)) ||
		!take_part(&rest, throughput, sizeof(throughput)) || parse_flags(rest, m) < 0 ||
		(!m->snapshot[0] && !gib[0]))
		return bad_map(text, err);
	if (number(gib, 65536, "size in GiB", &m->size_gib, err) < 0 ||
		number(iops, 10000000, "IOPS", &wanted_iops, err) < 0 ||
		number(throughput, 1000000, "throughput in MiB/s", &wanted_throughput, err) < 0)
		return -1;
	m->iops = (uint32_t)wanted_iops;
	m->throughput = (uint32_t)wanted_throughput;
	return 0;
}

static int parse_map(const char *text, struct ec2_mapping *m, struct error *err)
{
	const char *what = take(text, "=", m->device, sizeof(m->device));

	if (!what || *what != '=' || !m->device[0] || !what[1])
		return bad_map(text, err);
	what++;
	if (!strcmp(what, "none")) {
		m->no_device = true;
		return 0;
	}
	if (!strncmp(what, "ephemeral", 9))
		return take(what, "", m->virtual_name, sizeof(m->virtual_name)) ? 0 : bad_map(text, err);
	return parse_volume(text, what, m, err);
}

static int parse_snapshot(const char *text, const char *root, struct ec2_mapping *m,
	struct error *err)
{
	const char *id = strchr(text, '=');

	id = id ? id + 1 : text;
	if (id == text)
		snprintf(m->device, sizeof(m->device), "%s", root);
	else if ((size_t)(id - text) > sizeof(m->device) || id == text + 1)
		return error_set(err, ERROR_USAGE, 0, "--snapshot: '%s' is not [DEV=]SNAP", text);
	else
		snprintf(m->device, sizeof(m->device), "%.*s", (int)(id - text - 1), text);
	if (strncmp(id, "snap-", 5) || !take(id, "", m->snapshot, sizeof(m->snapshot)))
		return error_set(err, ERROR_USAGE, 0, "--snapshot: '%s' is no snapshot id", id);
	m->ebs = true;
	return 0;
}

int command_mapping_parse(const struct options_list *snapshots, const struct options_list *maps,
	const char *root, struct ec2_mapping **mappings, size_t *nr, struct error *err)
{
	struct ec2_mapping *all = calloc(snapshots->nr + maps->nr + 1, sizeof(*all));

	*mappings = all;
	*nr = 0;
	if (!all)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < snapshots->nr; i++) {
		map_init(&all[*nr]);
		if (parse_snapshot(snapshots->items[i], root, &all[(*nr)++], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < maps->nr; i++) {
		map_init(&all[*nr]);
		if (parse_map(maps->items[i], &all[(*nr)++], err) < 0)
			return -1;
	}
	return 0;
}
