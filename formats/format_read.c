/* SPDX-License-Identifier: Apache-2.0 */
/* Opening images by what they hold. */
#include "formats/format.h"

#include <string.h>

#include "base/filedev.h"
#include "base/log.h"
#include "base/num.h"
#include "formats/detect.h"
#include "formats/ova.h"
#include "formats/qcow2.h"
#include "formats/unpack.h"
#include "formats/vhd.h"
#include "formats/vmdk.h"

/* A new reader is a line here. */
static const struct format_reader readers[] = {
	{"gzip", unpack_open},
	{"zstd", unpack_open},
	{"xz", unpack_open},
	{"bzip2", unpack_open},
	{"lz4", unpack_open},
	{"vmdk", vmdk_open},
	{"vhd", vhd_open},
	{"tar", ova_open},
	{"qcow2", qcow2_open},
	{NULL, NULL},
};

/* What an image that is not read here is, and what its owner can do. */
struct advice {
	const char *format;
	const char *title;
	const char *command; /* IN and OUT stand for the names of the files */
};

static const struct advice advices[] = {
	{"vhdx", "a VHDX image", "convert it first: qemu-img convert -O raw IN OUT"},
	{"vdi", "a VDI image", "convert it first: qemu-img convert -O raw IN OUT"},
	{"qed", "a QED image", "convert it first: qemu-img convert -O raw IN OUT"},
	{"parallels", "a Parallels image", "convert it first: qemu-img convert -O raw IN OUT"},
	{"zip", "a ZIP archive", "unpack it first: unzip IN"},
	{"7z", "a 7z archive", "unpack it first: 7z x IN"},
	{"lzop", "an image compressed by lzop", "decompress it first: lzop -d IN"},
	{"lzma", "an image compressed by lzma", "decompress it first: xz -dc --format=lzma IN >OUT"},
	{"ovf", "the OVF descriptor of a machine", "give the .ova, or the disk beside it (.vmdk)"},
	{"iso9660", "an ISO 9660 image",
		"it is an installation medium, not a disk: install from it into a raw image"},
};

int format_refuse(const char *path, const char *format, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		if (strcmp(advices[i].format, format) == 0)
			return error_set(err, ERROR_INPUT, 0, "'%s' is %s, not a raw disk; %s",
				path, advices[i].title, advices[i].command);
	}
	return 0;
}

static const struct format_reader *find_reader(const char *format)
{
	for (size_t i = 0; readers[i].detected; i++)
		if (!strcmp(readers[i].detected, format))
			return &readers[i];
	return NULL;
}

int format_open_dev(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err)
{
	static const struct format_read_opts none;
	const struct format_reader *reader;

	*out = (struct image){.file_size = file->size};
	if (detect_format(file, &out->format, err) < 0) {
		dev_close(file, NULL);
		return -1;
	}
	reader = find_reader(out->format);
	if (reader)
		return reader->open(file, path, opts ? opts : &none, out, err);
	if (format_refuse(path, out->format, err) < 0) {
		dev_close(file, NULL);
		return -1;
	}
	out->dev = file;
	return 0;
}

int format_open_inside(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err)
{
	enum { DEPTH_MAX = 2 }; /* a compressed OVA has the most */
	struct format_read_opts inside = *opts;

	inside.apart = true;
	if (inside.depth++ < DEPTH_MAX)
		return format_open_dev(file, path, &inside, out, err);
	dev_close(file, NULL);
	return error_set(err, ERROR_INPUT, 0, "'%s' is an image in an image in an image: take it apart first",
		path);
}

/* Disks of a volume manager or a database may look like nothing: that must not forbid them. */
void format_warn(const struct image *image, const char *path)
{
	if (!strcmp(image->format, "unknown"))
		log_warn("'%s' begins with no partition table or file system that is known; it is taken as "
			 "a raw disk", path);
	if (filedev_in_use(path))
		log_warn("'%s' is in use (mounted, or a part of a volume): what is written to it before this ends "
			 "may come half", path);
}

int format_open(const char *path, const struct format_read_opts *opts, bool warn, struct image *out,
	struct error *err)
{
	struct dev *file = filedev_open(path, err);

	*out = (struct image){0};
	if (!file || format_open_dev(file, path, opts, out, err) < 0)
		return -1;
	if (warn)
		format_warn(out, path);
	return 0;
}

struct dev *format_open_disk(const char *path, const struct format_read_opts *opts, bool warn,
	struct error *err)
{
	struct image image;

	return format_open(path, opts, warn, &image, err) < 0 ? NULL : image.dev;
}

bool image_reads(const struct image *image, const char *path)
{
	return vmdk_reads(image->dev, path);
}

void image_close(struct image *image)
{
	dev_close(image->dev, NULL);
	image->dev = NULL;
}
