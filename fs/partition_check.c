/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a table of each kind can hold: the one place of these limits, for those who plan a table and
 * for those who write one.
 */
#include "fs/partition.h"

#include <string.h>

#include "base/num.h"
#include "fs/partition_internal.h"

uint8_t partition_entry_type(const struct partition *p)
{
	return p->mbr_type ? p->mbr_type : partition_mbr_type(p->type);
}

bool partition_is_mirrored(const struct partition_table *t, const struct partition *p)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->parts[i].hybrid)
			return p->hybrid;
	return p->bootable;
}

static bool in_mbr(const struct partition_table *t, const struct partition *p)
{
	return t->kind == PARTITION_TABLE_MBR ||
	       (t->kind == PARTITION_TABLE_HYBRID && partition_is_mirrored(t, p));
}

/*
 * libfdisk takes UTF-8 but writes '?' for what is not in the basic plane, and cuts long names. Both
 * would be silent, so they are refused here. Control characters would reach whoever prints it.
 */
int partition_check_name(const char *name, struct error *err)
{
	size_t units = 0;

	for (const unsigned char *p = (const unsigned char *)name; *p; units++) {
		size_t more = *p < 0x80 ? 0 : (*p & 0xe0) == 0xc0 ? 1 : (*p & 0xf0) == 0xe0 ? 2 : 9;

		if (*p < ' ' || *p == 0x7f)
			return error_set(err, ERROR_INPUT, 0,
				"a partition's name has no control characters, and this one has byte %u", *p);
		p++;
		for (; more > 0 && (*p & 0xc0) == 0x80; more--)
			p++;
		if (more > 0)
			return error_set(err, ERROR_INPUT, 0,
				"partition name '%s' is not UTF-8 of the basic plane", name);
	}
	if (units > PARTITION_NAME_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"partition name '%s' has %zu characters; at most %d fit", name, units,
			PARTITION_NAME_MAX);
	return 0;
}

/* What an MBR's entry cannot say. */
static int check_entry(const struct partition *p, struct error *err)
{
	char text[NUM_SIZE_TEXT];
	uint64_t end;

	if (partition_entry_type(p) == 0)
		return error_set(err, ERROR_INPUT, 0,
			"partition '%s': an MBR has no type for %s", p->name,
			partition_type_name(p->type) ? partition_type_name(p->type) :
						       "a type given as GUID");
	if (p->len && (num_add(p->off, p->len, &end) || end / PARTITION_SECTOR > UINT32_MAX))
		return error_set(err, ERROR_INPUT, 0,
			"partition '%s' ends behind %s, which is as far as an MBR reaches: take a GPT",
			p->name, num_format_size(text, 2 * TIB));
	return 0;
}

int partition_check(const struct partition_table *t, size_t index, struct error *err)
{
	static const uint8_t unused[16];
	const struct partition *p = &t->parts[index];

	if (partition_check_name(p->name, err) < 0)
		return -1;
	if (t->kind != PARTITION_TABLE_MBR && !memcmp(p->type, unused, sizeof(unused)))
		return error_set(err, ERROR_INPUT, 0,
			"partition '%s': a type of zeros marks an entry of the table that is not used",
			p->name);
	return in_mbr(t, p) ? check_entry(p, err) : 0;
}

int partition_check_table(const struct partition_table *t, struct error *err)
{
	size_t active = 0, mirrored = 0;

	for (size_t i = 0; i < t->nr; i++) {
		active += t->parts[i].bootable;
		mirrored += partition_is_mirrored(t, &t->parts[i]);
	}
	if (t->kind == PARTITION_TABLE_MBR && t->nr > PARTITION_MBR_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"%zu partitions are more than an MBR holds (%d; there are no logical ones): "
			"take a GPT",
			t->nr, PARTITION_MBR_MAX);
	if (t->nr > PARTITION_MAX)
		return error_set(err, ERROR_INPUT, 0, "%zu partitions are more than a table holds (%d)",
			t->nr, PARTITION_MAX);
	if (t->kind == PARTITION_TABLE_MBR && active > 1)
		return error_set(err, ERROR_INPUT, 0,
			"%zu partitions are to be bootable; an MBR has one", active);
	if (t->kind == PARTITION_TABLE_HYBRID && mirrored == 0)
		return error_set(err, ERROR_INPUT, 0,
			"a hybrid table needs a partition that is also in its MBR");
	if (t->kind == PARTITION_TABLE_HYBRID && mirrored > PARTITION_HYBRID_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"%zu partitions are to be in the MBR of a hybrid table; %d fit", mirrored,
			PARTITION_HYBRID_MAX);
	return 0;
}
