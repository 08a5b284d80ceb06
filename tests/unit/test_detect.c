/* SPDX-License-Identifier: Apache-2.0 */
/* Recognition by content; where the tools are installed, of files that they made. */
#include "formats/detect.h"
#include "formats/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "formats/tar_header.h"

static char folder[256];
static char *old_cwd;

static int enter(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	log_set_fd(-1);
	old_cwd = get_current_dir_name();
	snprintf(folder, sizeof(folder), "%s/amiwright-detect-XXXXXX", tmp ? tmp : "/tmp");
	return old_cwd && mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	int ret = system("rm -f ./*");

	(void)state;
	ret |= chdir(old_cwd);
	free(old_cwd);
	return ret || rmdir(folder) < 0 ? -1 : 0;
}

struct sample {
	const char *format;
	uint64_t off;
	const char *magic;
	size_t len;
};

static const struct sample samples[] = {
	{"qcow2", 0, "QFI\xfb", 4}, {"vmdk", 0, "KDMV", 4}, {"vmdk", 0, "COWD", 4},
	{"vmdk", 0, "# Disk DescriptorFile\nversion=1\n", 32}, {"vhdx", 0, "vhdxfile", 8},
	{"vhd", 0, "conectix", 8}, {"vhd", MIB - 512, "conectix", 8},
	{"vhd", MIB - 511, "conectix", 8}, {"vdi", 64, "\x7f\x10\xda\xbe", 4},
	{"qed", 0, "QED\0", 4}, {"parallels", 0, "WithoutFreeSpace", 16}, {"parallels", 0, "WithouFreSpacExt", 16},
	{"zip", 0, "PK\3\4", 4}, {"7z", 0, "7z\xbc\xaf\x27\x1c", 6},
	{"gzip", 0, "\x1f\x8b\x08", 3},
	{"xz", 0,
		"\xfd"
		"7zXZ\0",
		6},
	{"zstd", 0, "\x28\xb5\x2f\xfd", 4}, {"bzip2", 0, "BZh91AY&SY", 10},
	{"lz4", 0, "\x04\x22\x4d\x18", 4}, {"lz4", 0, "\x02\x21\x4c\x18", 4},
	{"lzop", 0, "\x89LZO\0\r\n\x1a\n", 9}, {"iso9660", 32769, "CD001", 5},
	{"tar", 257,
		"ustar\0"
		"00",
		8},
	{"raw", 510, "\x55\xaa", 2}, {"raw", 512, "EFI PART", 8}, {"raw", 0, "XFSB", 4},
	{"raw", 0, "\xfc\x4e\x2b\xa9", 4}, {"raw", 4096, "\xfc\x4e\x2b\xa9", 4},
	{"raw", 1024, "\x10\x20\xf5\xf2", 4}, {"raw", 0, "hsqs", 4}, {"raw", 65600, "_BHRfS_M", 8},
	{"raw", 4086, "SWAPSPACE2", 10},
	{"unknown", 0, "nothing that anybody knows", 26}, {"unknown", 0, "BZh9 is not enough", 18},
	{"unknown", 1080, "\x53\xef", 2}, /* nor is the magic of ext4 without a superblock */
};

static void test_what_firmware_starts(void **state)
{
	static const struct {
		const char *magic;
		uint64_t off;
		bool starts;
	} cases[] = {{"\x55\xaa", 510, true}, {"EFI PART", 512, true}, {"EFI PART", 4096, true},
		{"\x55\xaa", 512, false}, {"XFSB", 0, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct dev *dev = disk_new(MIB, NULL, &err);
		bool starts;

		assert_int_equal(dev_pwrite(dev, cases[i].magic, strlen(cases[i].magic), cases[i].off, &err), 0);
		assert_int_equal(detect_starts(dev, &starts, &err), 0);
		assert_int_equal(starts, cases[i].starts);
		assert_int_equal(dev_close(dev, &err), 0);
	}
}

static const char *detected(const void *head, size_t len, uint64_t size)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(size, NULL, &err);
	const char *name;

	assert_int_equal(dev_pwrite(dev, head, len, 0, &err), 0);
	assert_int_equal(detect_format(dev, &name, &err), 0);
	assert_int_equal(dev_close(dev, &err), 0);
	return name;
}

/* What has no magic is told by all that its header says: one byte else, and it is no such thing. */
static void test_lzma_alone(void **state)
{
	static const uint8_t head[14] = {0x5d, 0, 0, 0x80, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0};
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {{0, 225}, {0, 0x5f}, {1, 1}, {3, 0x81}, {3, 0}, {12, 254}, {13, 1}};
	uint8_t b[14];

	(void)state;
	assert_string_equal(detected(head, 14, MIB), "lzma");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		memcpy(b, head, 14);
		b[wrong[i].at] = wrong[i].value;
		assert_string_equal(detected(b, 14, MIB), "unknown");
	}
	memcpy(b, head, 14);
	b[3] = 0xc0; /* 2^23 + 2^22 */
	assert_string_equal(detected(b, 14, MIB), "lzma");
	/* A size that is known: of a disk, and not of less than there is. */
	num_put_le64(b + 5, GIB);
	assert_string_equal(detected(b, 14, MIB), "lzma");
	num_put_le64(b + 5, MIB / 2);
	assert_string_equal(detected(b, 14, MIB), "unknown");
	num_put_le64(b + 5, 65 * TIB);
	assert_string_equal(detected(b, 14, MIB), "unknown");
	num_put_le64(b + 5, 0);
	assert_string_equal(detected(b, 14, 20), "unknown");
}

static void test_old_tar(void **state)
{
	uint8_t b[TAR_BLOCK];
	unsigned sum = 0;

	(void)state;
	tar_header(b, "disk", 4096, 1);
	memset(b + 257, 0, TAR_BLOCK - 257);
	memset(b + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += b[i];
	snprintf((char *)b + 148, 8, "%06o", sum);
	assert_string_equal(detected(b, sizeof(b), MIB), "tar");
	b[10] = 1;
	assert_string_equal(detected(b, sizeof(b), MIB), "unknown");
	b[10] = 0;
	b[124] = '8'; /* no octal digit, and the sum is right */
	snprintf((char *)b + 148, 8, "%06o", sum + 8);
	assert_string_equal(detected(b, sizeof(b), MIB), "unknown");
	memset(b, 0, sizeof(b));
	memcpy(b + 148, "000400", 6); /* the sum of nothing */
	assert_string_equal(detected(b, sizeof(b), MIB), "unknown");
}

static void test_ovf(void **state)
{
	static const struct {
		const char *text, *format;
	} cases[] = {
		{"<Envelope><References/></Envelope>", "ovf"},
		{"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a --><o:Envelope xmlns:o=\"urn:o\"><o:References/>"
		 "</o:Envelope>\n", "ovf"},
		{" \n<Envelope><References/></Envelope>", "ovf"},
		{"<Envelope><Body/></Envelope>", "unknown"}, /* SOAP */
		{"<manifest><References/></manifest>", "unknown"},
		{"<Envelope><References/>", "unknown"},
	};
	static uint8_t spaces[80 * KIB];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(detected(cases[i].text, strlen(cases[i].text), strlen(cases[i].text)),
			cases[i].format);
	memset(spaces, ' ', sizeof(spaces));
	assert_string_equal(detected(spaces, sizeof(spaces), sizeof(spaces)), "unknown");
}

static void check_sample(const struct sample *s, bool mbr)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(MIB, NULL, &err);
	const char *name;

	assert_int_equal(dev_pwrite(dev, s->magic, s->len, s->off, &err), 0);
	if (mbr)
		assert_int_equal(dev_pwrite(dev, "\x55\xaa", 2, 510, &err), 0);
	assert_int_equal(detect_format(dev, &name, &err), 0);
	assert_string_equal(name, s->format);
	assert_int_equal(dev_close(dev, &err), 0);
}

static void test_signatures(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		check_sample(&samples[i], false);
}

/* What is inside a fixed VHD or on a hybrid ISO has a partition table of its own. */
static void test_disk_inside(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		if (strcmp(samples[i].format, "vhd") == 0 ||
			strcmp(samples[i].format, "iso9660") == 0)
			check_sample(&samples[i], true);
	}
}

static void test_tiny_file(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *dev;
	const char *name;

	(void)state;
	assert_int_equal(file_write_atomic("tiny", "\x1f\x8b\x08", 3, 0644, false, &err), 0);
	assert_null(format_open_disk("tiny", NULL, true, &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(file_write_atomic("tiny", "a", 1, 0644, false, &err), 0);
	dev = format_open_disk("tiny", NULL, true, &err);
	assert_non_null(dev);
	assert_int_equal(detect_format(dev, &name, &err), 0);
	assert_string_equal(name, "unknown");
	assert_int_equal(dev_close(dev, &err), 0);
}

/* The command makes `image`; skipped when its tool is not there. advice NULL: it can be opened. */
static void check_made(const char *command, const char *advice)
{
	struct error err = ERROR_INIT;
	struct dev *dev;

	unlink("image");
	if (system(command) != 0)
		return;
	dev = format_open_disk("image", NULL, true, &err);
	if (!advice) {
		assert_non_null(dev);
		assert_int_equal(dev_close(dev, &err), 0);
		return;
	}
	assert_null(dev);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "'image'"));
	assert_non_null(strstr(err.text, advice));
}

#define QEMU_IMG "qemu-img create -q -f "
#define QUIET " >/dev/null 2>&1"

static void test_real_files(void **state)
{
	(void)state;
	check_made(QEMU_IMG "qcow2 image 4M" QUIET, NULL);
	check_made(QEMU_IMG "vmdk image 4M" QUIET, NULL);
	check_made(QEMU_IMG "vpc image 4M" QUIET, NULL);
	check_made(QEMU_IMG "vpc -o subformat=fixed image 4M" QUIET, NULL);
	check_made(QEMU_IMG "vhdx image 4M" QUIET, "a VHDX image");
	check_made(QEMU_IMG "vdi image 4M" QUIET, "a VDI image");
	check_made("echo a | gzip >image", NULL);
	check_made("echo a | gzip | gzip >image", "compressed twice");
	check_made("echo a | xz >image 2>/dev/null", NULL);
	check_made("tar -cf image /dev/null" QUIET, "a tar archive");
	check_made("tar --format=v7 -cf image -C /etc passwd" QUIET, "a tar archive");
	check_made("head -c 1M /dev/urandom | xz --format=lzma >image 2>/dev/null", "compressed by lzma");
	check_made("echo '<Envelope><References/></Envelope>' >image", "the OVF descriptor");
	check_made("truncate -s 4M image && mke2fs -q -F image" QUIET, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_firmware_starts),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_lzma_alone),
		cmocka_unit_test(test_old_tar),
		cmocka_unit_test(test_ovf),
		cmocka_unit_test(test_disk_inside),
		cmocka_unit_test(test_tiny_file),
		cmocka_unit_test(test_real_files),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
