/* SPDX-License-Identifier: Apache-2.0 */
/* Names are compared by what they lead to. */
#include "builder/bundle_checks.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/num.h"
#include "base/walk.h"
#include "builder/files.h"

/* A part would take its place, or it would be removed as one of an older bundle. */
static int check_no_part(const struct bundle_options *o, const char *prefix, const char *path,
	struct error *err)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *there = NULL;
	struct stat a, b;
	unsigned index;

	if (!bundle_is_part(slash ? slash + 1 : path, prefix, &index))
		return 0;
	there = buf_strf(err, "%s/%s", o->out, slash ? slash + 1 : path);
	if (!there)
		return -1;
	if (stat(path, &a) < 0 || stat(there, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"'%s' has the name of a part of the bundle that would be made: choose another --prefix or --out",
		path);
}

static int check_parts(const struct bundle_options *o, const char *prefix, const char *path,
	struct error *err)
{
	const char *const paths[] = {path, o->key, o->certificate, o->ec2_certificate,
		o->key_pass_file};

	for (size_t i = 0; o->out && i < ARRAY_SIZE(paths); i++)
		if (paths[i] && check_no_part(o, prefix, paths[i], err) < 0)
			return -1;
	return 0;
}

int bundle_check_files(const struct bundle_options *o, const char *path, const struct spec *s,
	const char *prefix, struct error *err)
{
	CLEANUP_FREE char *manifest =
		o->out ? buf_strf(err, "%s/%s.manifest.xml", o->out, prefix) : NULL;
	struct files f = {0};
	int ret = manifest || !o->out ? 0 : -1;

	if (!ret)
		ret = s ? files_read_spec(&f, s, err) : files_read(&f, path, "the image to bundle", err);
	if (!ret)
		ret = files_read(&f, o->key, "the private key", err);
	if (!ret)
		ret = files_read(&f, o->certificate, "the certificate", err);
	if (!ret)
		ret = files_read(&f, o->ec2_certificate, "EC2's certificate", err);
	if (!ret)
		ret = files_read(&f, o->key_pass_file, "the passphrase's file", err);
	if (!ret && manifest)
		ret = files_make(&f, manifest, "the manifest", FILES_REPLACED, "--prefix", err);
	files_release(&f);
	return ret < 0 ? -1 : check_parts(o, prefix, path, err);
}

void bundle_warn_of_reach(const char *architecture, const char *boot_mode)
{
	static const char types[] = "EC2 starts AMIs of bundles on instance types C3, D2, G2, I2, M3 and R3 only";

	if (!strcmp(architecture, "arm64"))
		log_warn("%s, none of which is arm64", types);
	if (boot_mode && !strcmp(boot_mode, "uefi"))
		log_warn("%s, which have a BIOS: this one boots by UEFI alone", types);
}

int bundle_warn_of_space(const char *dir, struct dev *dev, struct error *err)
{
	struct statvfs st;
	uint64_t count[3], most, room;
	char a[NUM_SIZE_TEXT], b[NUM_SIZE_TEXT];

	if (walk_count(dev, MIB, count, err) < 0)
		return -1;
	if (statvfs(dir, &st) < 0)
		return 0;
	most = bundle_size_max(count[EXTENT_DATA] * MIB);
	room = (uint64_t)st.f_bavail * st.f_frsize;
	if (room < most)
		log_warn("'%s' has %s left; the bundle may need up to %s", dir,
			num_format_size(a, room), num_format_size(b, most));
	return 0;
}
