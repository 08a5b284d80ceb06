/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See download_device.h. The attributes are those of the kernel's Documentation/ABI
 * (testing/sysfs-block, stable/sysfs-block, testing/sysfs-block-dm) and admin-guide/md.rst.
 */
#include "uploader/download_device.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"

enum { MAX_VALUE = 256 }; /* the longest, a dm/uuid, has 128 bytes */

/* A line of a small file; "" when it is not there, empty, or too long to be whole. */
static void read_line(const char *path, char value[MAX_VALUE])
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, value, MAX_VALUE);

	if (n == MAX_VALUE)
		n = 0;
	value[n > 0 ? n : 0] = '\0';
	value[strcspn(value, "\n")] = '\0';
	/* Drivers pad what the device gave. */
	for (size_t len = strlen(value); len > 0 && value[len - 1] == ' '; len--)
		value[len - 1] = '\0';
}

static int read_attr(const char *folder, const char *name, char value[MAX_VALUE], struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/%s", folder, name);

	if (!path)
		return -1;
	read_line(path, value);
	return 0;
}

/*
 * What the device itself says. A serial comes last: it need not be unique among makers. (Not to be
 * told from others: one whose maker gave all the same. The content is still checked.)
 */
static int add_own(const char *disk, struct buf *text, struct error *err)
{
	static const char *const names[] = {"wwid", "device/wwid", "device/cid", "md/uuid", "dm/uuid",
		"serial", "device/serial"};
	char value[MAX_VALUE], model[MAX_VALUE];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (read_attr(disk, names[i], value, err) < 0)
			return -1;
		if (!value[0])
			continue;
		if (read_attr(disk, "device/model", model, err) < 0)
			return -1;
		return buf_addf(text, err, "%s %s model %s", names[i], value, model);
	}
	return 0;
}

/*
 * The file behind a loop device. Not when that is a device again, whose name is all that the numbers
 * would stand for.
 */
static int add_loop(int fd, struct buf *text, struct error *err)
{
	struct loop_info64 info;

	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0 || info.lo_rdevice != 0)
		return 0;
	return buf_addf(text, err, "loop %" PRIu64 " %" PRIu64 " offset %" PRIu64 " limit %" PRIu64,
		(uint64_t)info.lo_device, (uint64_t)info.lo_inode, (uint64_t)info.lo_offset,
		(uint64_t)info.lo_sizelimit);
}

/*
 * The kernel counts every disk that comes, and every new medium in one. It does not count what
 * another server exports under the same nbd device.
 */
static int add_sequence(const char *disk, const char *boot_id, bool nbd, struct buf *text,
	struct error *err)
{
	char boot[MAX_VALUE], sequence[MAX_VALUE];

	read_line(boot_id, boot);
	if (read_attr(disk, "diskseq", sequence, err) < 0)
		return -1;
	if (nbd || !boot[0] || !sequence[0]) {
		buf_truncate(text, 0);
		return 0;
	}
	return buf_addf(text, err, "%sboot %s diskseq %s", text->len ? " " : "", boot, sequence);
}

static int add_disk(int fd, const char *disk, const char *boot_id, struct buf *text,
	struct error *err)
{
	char numbers[MAX_VALUE], removable[MAX_VALUE];
	unsigned long major;

	if (read_attr(disk, "dev", numbers, err) < 0 ||
	    read_attr(disk, "removable", removable, err) < 0)
		return -1;
	major = strtoul(numbers, NULL, 10);
	if ((major == LOOP_MAJOR ? add_loop(fd, text, err) : add_own(disk, text, err)) < 0)
		return -1;
	/* A reader of cards has one id for all of them. */
	if (text->len && strcmp(removable, "1") != 0)
		return 0;
	return add_sequence(disk, boot_id, major == NBD_MAJOR, text, err);
}

static int add_partition(const char *folder, struct buf *text, struct error *err)
{
	char start[MAX_VALUE], size[MAX_VALUE];

	if (read_attr(folder, "start", start, err) < 0 || read_attr(folder, "size", size, err) < 0)
		return -1;
	if (!start[0] || !size[0]) {
		buf_truncate(text, 0);
		return 0;
	}
	return buf_addf(text, err, " partition start %s size %s", start, size);
}

int download_device_id_at(int fd, const char *folder, const char *boot_id, char **id,
	struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	CLEANUP_FREE char *parent = buf_strf(err, "%s/..", folder);
	char number[MAX_VALUE];
	bool part;

	*id = NULL;
	if (!parent || read_attr(folder, "partition", number, err) < 0)
		return -1;
	part = number[0] != '\0';
	if (add_disk(fd, part ? parent : folder, boot_id, &text, err) < 0)
		return -1;
	if (text.len && part && add_partition(folder, &text, err) < 0)
		return -1;
	if (!text.len)
		return 0;
	*id = buf_strf(err, "%s", buf_str(&text));
	return *id ? 0 : -1;
}

int download_device_id(int fd, char **id, struct error *err)
{
	CLEANUP_FREE char *folder = NULL;
	struct stat st;

	*id = NULL;
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return 0;
	folder = buf_strf(err, "/sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (!folder)
		return -1;
	return download_device_id_at(fd, folder, "/proc/sys/kernel/random/boot_id", id, err);
}

int download_device_journal(int fd, const char *folder, const char *snapshot, char **path,
	struct error *err)
{
	CLEANUP_FREE char *id = NULL;
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	*path = NULL;
	if (download_device_id(fd, &id, err) < 0)
		return -1;
	if (!id) {
		log_info("nothing tells this device from others; the download cannot be resumed");
		return 0;
	}
	log_debug("the device: %s", id);
	if (sha256(id, strlen(id), digest, err) < 0)
		return -1;
	/* An id may have any bytes, and any length. */
	*path = buf_strf(err, "%s/download-%s-%s.journal", folder, snapshot,
		hex_encode(hex, digest, sizeof(digest)));
	return *path ? 0 : -1;
}
