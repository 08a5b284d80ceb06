/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an OVA: the VMDK goes into a temporary file first, since what stands before it tells its size and
 * its digest.
 */
#include "formats/ova.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/filedev.h"
#include "base/num.h"
#include "base/walk.h"
#include "formats/deflate.h"
#include "formats/tar_header.h"
#include "formats/vmdk.h"

#define GRAIN (64 * KIB)

/* What files can be called in any tar and on any system: others become '_'. */
static void make_name(char out[OVA_NAME_MAX + 1], const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = 0;

	for (; name[len] && len < OVA_NAME_MAX; len++)
		out[len] = strchr(good, name[len]) && (len || !strchr(".-", name[0])) ? name[len] : '_';
	if (!len)
		out[len++] = '_';
	out[len] = '\0';
}

static int put_file(struct out *out, const char *name, const void *data, size_t len, int64_t time,
	struct error *err)
{
	uint8_t header[TAR_BLOCK];

	tar_header(header, name, len, time);
	if (out_write(out, header, sizeof(header), err) < 0 || out_write(out, data, len, err) < 0)
		return -1;
	return out_pad(out, TAR_BLOCK, err);
}

/*
 * Bytes of the grains that the VMDK has. The device's extents would not do: what is a hole in one file
 * is zeros in another one of the same disk.
 */
static int populated(int fd, uint64_t *bytes, struct error *err)
{
	static const struct format_read_opts opts;
	struct image image = {0};
	struct dev *file;
	uint64_t count[3];
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), ret;

	if (own < 0)
		return error_set(err, ERROR_IO, errno, "cannot read an OVA's disk back");
	file = filedev_from_fd(own, false, "an OVA's disk", err);
	if (!file || vmdk_open(file, "an OVA's disk", &opts, &image, err) < 0)
		return -1;
	ret = walk_count(image.dev, GRAIN, count, err);
	*bytes = ret < 0 ? 0 : count[EXTENT_DATA] * GRAIN;
	dev_close(image.dev, NULL);
	return ret;
}

/* The VMDK as a temporary file; *fd is the caller's. */
static int make_disk(struct dev *dev, const struct format_write_opts *opts, struct ova_disk *disk,
	uint8_t sha256[SHA256_SIZE], int *fd, struct error *err)
{
	static const struct out_opts how = {.digest = true};
	struct out *vmdk = out_temporary(opts->spool_dir, &how, err);

	if (!vmdk)
		return -1;
	if (format_vmdk.write(dev, vmdk, opts, err) < 0 ||
		format_vmdk.disk_size(dev->size, &disk->capacity, err) < 0) {
		out_abort(vmdk);
		return -1;
	}
	disk->file_size = out_off(vmdk);
	*fd = out_take_fd(vmdk, sha256, err);
	return *fd < 0 ? -1 : populated(*fd, &disk->populated, err);
}

static int put_manifest(struct out *out, const char *name, const struct buf *ovf, const char *disk,
	const uint8_t disk_sha256[SHA256_SIZE], int64_t time, struct error *err)
{
	CLEANUP_BUF struct buf mf = BUF_INIT(0);
	CLEANUP_FREE char *file = buf_strf(err, "%s.mf", name);
	uint8_t digest[SHA256_SIZE];
	char ovf_hex[SHA256_HEX_SIZE], disk_hex[SHA256_HEX_SIZE];

	if (!file || sha256(ovf->data, ovf->len, digest, err) < 0)
		return -1;
	hex_encode(ovf_hex, digest, SHA256_SIZE);
	hex_encode(disk_hex, disk_sha256, SHA256_SIZE);
	if (buf_addf(&mf, err, "SHA256(%s.ovf)= %s\nSHA256(%s)= %s\n", name, ovf_hex, disk, disk_hex) < 0)
		return -1;
	return put_file(out, file, mf.data, mf.len, time, err);
}

static int put_disk(struct out *out, const struct ova_disk *disk, int fd, int64_t time, struct error *err)
{
	uint8_t header[TAR_BLOCK];

	tar_header(header, disk->file, disk->file_size, time);
	if (out_write(out, header, sizeof(header), err) < 0 ||
		out_copy(out, fd, 0, disk->file_size, err) < 0 || out_pad(out, TAR_BLOCK, err) < 0)
		return -1;
	/* Two blocks of zeros end an archive, which is made of whole records. */
	return out_zeros(out, num_align(out_off(out) + 2 * TAR_BLOCK, TAR_RECORD) - out_off(out), err);
}

static int write_ova(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	const char *title = opts->name ? opts->name : "disk";
	int64_t time = MAX(opts->epoch, INT64_C(0));
	CLEANUP_BUF struct buf ovf = BUF_INIT(0);
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_FREE char *file = NULL, *ovf_file = NULL;
	char name[OVA_NAME_MAX + 1];
	uint8_t digest[SHA256_SIZE];
	struct ova_disk disk = {0};

	make_name(name, title);
	file = buf_strf(err, "%s-disk1.vmdk", name);
	ovf_file = buf_strf(err, "%s.ovf", name);
	disk.file = file;
	if (!file || !ovf_file || make_disk(dev, opts, &disk, digest, &fd, err) < 0 ||
		ova_ovf_make(&ovf, title, &disk, opts, err) < 0)
		return -1;
	if (put_file(out, ovf_file, ovf.data, ovf.len, time, err) < 0 ||
		put_manifest(out, name, &ovf, file, digest, time, err) < 0)
		return -1;
	return put_disk(out, &disk, fd, time, err);
}

static int ova_disk_size(uint64_t size, uint64_t *out, struct error *err)
{
	return format_vmdk.disk_size(size, out, err);
}

static int ova_check(const struct format_write_opts *opts, struct error *err)
{
	if (opts->adapter && !strcmp(opts->adapter, "legacyESX"))
		return error_set(err, ERROR_USAGE, 0,
			"--adapter: OVF has no 'legacyESX'; there are lsilogic, buslogic, ide, lsisas1068, pvscsi");
	return format_vmdk.check(opts, err);
}

const struct format format_ova = {
	.name = "ova",
	.title = "an OVA",
	.suffixes = (const char *const[]){".ova", NULL},
	.flags = FORMAT_LEVEL | FORMAT_HARDWARE | FORMAT_MACHINE,
	.level_max = DEFLATE_LEVEL_MAX,
	.disk_size = ova_disk_size,
	.check = ova_check,
	.write = write_ova,
};
