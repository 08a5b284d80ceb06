/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree that brings its own /etc/fstab keeps it; here it is held against the plan: a mount point
 * without a line, a uuid that no file system will have.
 */
#include "builder/plan_internal.h"

#include <string.h>

#include "base/log.h"

/* A line's first two fields, with their lengths; false for an empty line or a comment. */
static bool split(const char *line, const char **source, size_t *source_len, const char **mount,
	size_t *mount_len)
{
	static const char blank[] = " \t\r";

	*source = line + strspn(line, blank);
	*source_len = strcspn(*source, " \t\r\n");
	*mount = *source + *source_len;
	*mount += strspn(*mount, blank);
	*mount_len = strcspn(*mount, " \t\r\n");
	return *source_len && **source != '#' && *mount_len;
}

static const char *find_line(const char *text, const char *mount, size_t *source_len)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *source, *at;
		size_t at_len;

		if (split(text, &source, source_len, &at, &at_len) && strlen(mount) == at_len &&
			!memcmp(mount, at, at_len))
			return source;
	}
	return NULL;
}

static void note(const struct plan *p, const struct plan_fs *fs, struct diag *d, const char *text)
{
	if (p->spec->strict)
		diag_add(d, fs->part ? fs->part->mount_place : p->spec->disks_place, "%s", text);
	else
		log_warn("%s", text);
}

static int check_fs(const struct plan *p, size_t disk, const struct plan_fs *fs, const char *text,
	struct diag *d, struct error *err)
{
	CLEANUP_BUF struct buf line = BUF_INIT(1 << 16);
	char planned[FS_ID_TEXT];
	size_t len;
	const char *source = find_line(text, fs->mount, &len);
	CLEANUP_FREE char *message = NULL;
	bool root_hash = p->disks[disk].verity.used && !strcmp(fs->mount, "/");
	bool by_id = source && len > 5 && (!strncmp(source, "UUID=", 5) || !strncmp(source, "PARTU", 5));

	bool same;

	plan_fs_source(p, disk, fs, planned);
	same = source && strlen(planned) == len && !strncasecmp(planned, source, len);
	if (!source && plan_fstab_has(p, disk, fs)) {
		if (plan_fstab_line(p, disk, fs, &line, err) < 0)
			return -1;
		message = buf_strf(err, "the tree's own /etc/fstab has no line for '%s': add '%s'", fs->mount,
			buf_str(&line));
	} else if (by_id && root_hash && (!same || *planned == 'P'))
		/* Its GUID will be another one, too: half of the root hash. */
		message = buf_strf(err, "the tree's own /etc/fstab mounts '/' from %.*s, which dm-verity does "
			"not check: take that line out", (int)len, source);
	else if (by_id && !same)
		message = buf_strf(err, "the tree's own /etc/fstab mounts '%s' from %.*s, but the spec makes "
			"it %s", fs->mount, (int)len, source, planned);
	else
		return 0;
	if (!message)
		return -1;
	note(p, fs, d, message);
	return 0;
}

int plan_fstab_check(const struct plan *p, const char *text, struct diag *d, struct error *err)
{
	for (size_t i = 0; i < p->nr_disks; i++)
		for (size_t j = 0; j < p->disks[i].nr_fs; j++)
			if (p->disks[i].fs[j].mount &&
				check_fs(p, i, &p->disks[i].fs[j], text, d, err) < 0)
				return -1;
	return diag_result(d, err);
}
