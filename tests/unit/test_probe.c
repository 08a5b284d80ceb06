/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device holds. mkfs programs make the file systems, blkid and dumpe2fs are the oracles. A
 * program that is not installed leaves its part out.
 */
#include "fs/probe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/filedev.h"
#include "base/num.h"

static char dir[256];

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/amiwright-probe-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int shell(const char *command)
{
	char line[1500];

	snprintf(line, sizeof(line), "export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C; cd '%s' && (%s) "
		">log 2>&1", dir, command);
	return system(line);
}

static int remove_dir(void **state)
{
	char line[300];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf '%s'", dir);
	return system(line);
}

static const char *in_dir(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct dev *open_dev(const char *name)
{
	struct error err = ERROR_INIT;
	struct dev *dev = filedev_open(in_dir(name), &err);

	if (!dev)
		fail_msg("%s", err.text);
	return dev;
}

static struct probe probe_file(const char *name)
{
	struct error err = ERROR_INIT;
	struct dev *dev = open_dev(name);
	struct probe p;

	assert_int_equal(probe_dev(dev, &p, &err), 0);
	dev_close(dev, NULL);
	return p;
}

/* First line of a command's output, without its newline. */
static const char *output(const char *command)
{
	static char text[200];
	char line[600];
	FILE *pipe;

	snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin; cd '%s' && %s", dir, command);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	if (!fgets(text, sizeof(text), pipe))
		text[0] = '\0';
	pclose(pipe);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void test_types_labels_and_uuids_as_blkid(void **state)
{
	static const struct {
		const char *type, *make;
		uint64_t size;
	} cases[] = {
		{"ext2", "mke2fs -q -t ext2 -L zwei fs 8M", 8 * MIB},
		{"ext3", "mke2fs -q -t ext3 -L drei fs 8M", 8 * MIB},
		{"ext4", "mke2fs -q -t ext4 -L vier -b 1024 fs 8M", 8 * MIB},
		{"ext4", "mke2fs -q -t ext4 -O ^has_journal,64bit fs 8M", 8 * MIB},
		{"vfat", "truncate -s 8M fs && mkfs.fat -n EFISYS fs", 8 * MIB},
		{"vfat", "truncate -s 64M fs && mkfs.fat -F 32 fs", 64 * MIB},
		{"xfs", "truncate -s 320M fs && mkfs.xfs -q -L daten fs", 320 * MIB},
		{"btrfs", "truncate -s 128M fs && mkfs.btrfs -q -L butter fs", 128 * MIB},
		{"swap", "truncate -s 1M fs && mkswap -L tausch fs", MIB},
		{"squashfs", "mkdir s && touch s/f && mksquashfs s fs -quiet -no-progress", 0},
		{"f2fs", "truncate -s 64M fs && mkfs.f2fs -q -l blitz fs", 64 * MIB},
		{"DM_verity_hash", "truncate -s 3M blocks && veritysetup format blocks fs", 5 * 4096 + 3 * 4096},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct probe p;

		assert_int_equal(shell("rm -rf fs s"), 0);
		if (shell(cases[i].make) != 0)
			continue;
		p = probe_file("fs");
		assert_string_equal(p.type, cases[i].type);
		assert_string_equal(p.type, output("blkid -p -o value -s TYPE fs"));
		assert_string_equal(p.label, output("blkid -p -o value -s LABEL fs"));
		assert_string_equal(p.uuid, output("blkid -p -o value -s UUID fs"));
		if (cases[i].size)
			assert_int_equal(p.size, cases[i].size);
	}
}

static uint64_t unused_bytes(void)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	struct dev *dev = open_dev("fs"), *usage = probe_usage_dev(dev, &err);
	uint64_t unused = 0;

	assert_non_null(usage);
	assert_int_equal(dev_extents(usage, 0, usage->size, &list, &err), 0);
	for (size_t k = 0; k < list.nr; k++)
		unused += list.items[k].kind == EXTENT_UNUSED ? list.items[k].len : 0;
	extent_list_release(&list);
	dev_close(usage, NULL);
	dev_close(dev, NULL);
	return unused;
}

/* Used and free of a FAT as fsck.fat counts them, and its free clusters unused. */
static void test_free_clusters_of_vfat(void **state)
{
	static const char *const makes[] = {"mkfs.fat -F 16 -s 4 fs", "mkfs.fat -F 32 -s 1 fs"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(makes); i++) {
		uint64_t nr, all;
		struct probe p;
		char line[400];

		snprintf(line, sizeof(line), "rm -f fs; truncate -s 64M fs && %s && head -c 3000000 "
			"/dev/urandom >f && mcopy -i fs f ::a && mcopy -i fs f ::b && "
			"mcopy -i fs f ::c && mdel -i fs ::b", makes[i]);
		if (shell(line) != 0)
			continue;
		p = probe_file("fs");
		assert_true(p.usage_known);
		assert_int_equal(sscanf(output("fsck.fat -n fs | sed -n 's/.* files, //p'"),
			"%" SCNu64 "/%" SCNu64, &nr, &all), 2);
		assert_int_equal(p.size - p.used, (all - nr) * p.block_size);
		assert_int_equal(unused_bytes(), p.size - p.used);
	}
}

/*
 * Whose superblock has survived another one's making must not say what is free: what pools and volumes
 * leave alone at their start is enough for one of ext4.
 */
static void test_two_at_a_place(void **state)
{
	static const struct {
		const char *bytes; /* of printf(1) */
		unsigned off;
		const char *alone; /* the type without ext4 */
	} cases[] = {
		{"\\014\\261\\272\\000\\000\\000\\000\\000", 160 << 10, "zfs_member"},
		{"\\000\\000\\000\\000\\000\\272\\261\\014", 255 << 10, "zfs_member"},
		{"_BHRfS_M", (64 << 10) + 64, "btrfs"},
		{"\\306\\205\\163\\366\\146\\316\\220\\251\\331\\152\\140\\317\\200\\075\\367\\357", 4096 + 24,
			"bcachefs"},
	};
	char line[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct probe p;

		if (shell("rm -f fs; mke2fs -q -t ext4 -b 4096 fs 16M") != 0)
			skip();
		assert_true(probe_file("fs").usage_known);
		assert_true(unused_bytes() > 4 * MIB);
		snprintf(line, sizeof(line), "printf '%s' | dd of=fs bs=1 seek=%u conv=notrunc status=none",
			cases[i].bytes, cases[i].off);
		assert_int_equal(shell(line), 0);
		p = probe_file("fs");
		assert_string_equal(p.type, "ext4");
		assert_true(p.doubtful && !p.usage_known);
		assert_int_equal(unused_bytes(), 0);
		assert_int_equal(shell("rm fs; truncate -s 16M fs"), 0);
		assert_int_equal(shell(line), 0);
		p = probe_file("fs");
		assert_string_equal(p.type, cases[i].alone);
		assert_false(p.doubtful);
	}
}

static void test_nothing_known(void **state)
{
	struct probe p;

	(void)state;
	assert_int_equal(shell("printf x >fs"), 0);
	p = probe_file("fs");
	assert_string_equal(p.type, "");
	assert_int_equal(shell("seq 1 40000 >fs"), 0);
	p = probe_file("fs");
	assert_string_equal(p.type, "");
	assert_false(p.usage_known);
}

static bool have_mke2fs(void)
{
	return shell("command -v mke2fs && command -v debugfs && command -v dumpe2fs") == 0;
}

/* Bytes that dumpe2fs lists as free. */
static uint64_t free_by_dumpe2fs(const char *image, uint64_t block_size)
{
	char command[300];

	snprintf(command, sizeof(command), "dumpe2fs %s 2>/dev/null | sed -n 's/^  Free blocks: //p' | "
		"tr ',' '\\n' | awk -F- 'NF==1 && $1!=\"\"{n++} NF==2{n+=$2-$1+1} END{print n+0}'", image);
	return strtoull(output(command), NULL, 10) * block_size;
}

static uint64_t count_unused(struct dev *dev)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	uint64_t total = 0, end = 0;

	assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
	for (size_t i = 0; i < list.nr; i++) {
		assert_int_equal(list.items[i].off, end);
		end += list.items[i].len;
		if (list.items[i].kind == EXTENT_UNUSED)
			total += list.items[i].len;
	}
	assert_int_equal(end, dev->size);
	extent_list_release(&list);
	return total;
}

static uint64_t unused_of(const char *image)
{
	struct error err = ERROR_INIT;
	struct dev *base = open_dev(image), *dev = probe_usage_dev(base, &err);
	uint64_t unused;

	if (!dev)
		fail_msg("%s", err.text);
	unused = count_unused(dev);
	dev_close(dev, NULL);
	dev_close(base, NULL);
	return unused;
}

static void test_free_blocks_are_unused(void **state)
{
	static const char *const make[] = {
		"mke2fs -q -t ext4 -d d fs 300M", /* groups whose bitmaps are not initialised */
		"mke2fs -q -t ext4 -b 1024 -O ^flex_bg -d d fs 64M",
		"mke2fs -q -t ext2 -b 1024 -d d fs 16M",
		"mke2fs -q -t ext4 -E packed_meta_blocks=1 -d d fs 300M",
	};

	(void)state;
	if (!have_mke2fs())
		skip();
	assert_int_equal(shell("mkdir d; seq 1 300000 >d/a; seq 1 9 >d/b; mkdir d/sub; cp d/b d/sub"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(make); i++) {
		struct probe p;

		assert_int_equal(shell("rm -f fs"), 0);
		assert_int_equal(shell(make[i]), 0);
		p = probe_file("fs");
		assert_true(p.usage_known && p.size == p.used + free_by_dumpe2fs("fs", p.block_size));
		assert_int_equal(unused_of("fs"), p.size - p.used);
	}
}

/* The image that loses all that is unused, with noise in its place, is still whole. */
static void test_noise_in_unused_blocks_does_no_harm(void **state)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	struct dev *base, *dev;
	int fd;

	(void)state;
	if (!have_mke2fs())
		skip();
	assert_int_equal(shell("rm -f fs; mkdir -p d; seq 1 500000 >d/big; mke2fs -q -t ext4 -d d fs 200M; "
		"cp fs noisy"), 0);
	base = open_dev("fs");
	dev = probe_usage_dev(base, &err);
	assert_non_null(dev);
	assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
	fd = open(in_dir("noisy"), O_WRONLY | O_CLOEXEC);
	for (size_t i = 0; i < list.nr; i++) {
		static char noise[1 << 16];

		memset(noise, 0xa5, sizeof(noise));
		if (list.items[i].kind != EXTENT_UNUSED)
			continue;
		for (uint64_t at = 0; at < list.items[i].len; at += sizeof(noise)) {
			size_t len = MIN(list.items[i].len - at, sizeof(noise));

			assert_int_equal(pwrite(fd, noise, len, (off_t)(list.items[i].off + at)), len);
		}
	}
	close(fd);
	extent_list_release(&list);
	dev_close(dev, NULL);
	dev_close(base, NULL);
	assert_int_equal(shell("e2fsck -fn noisy"), 0);
	assert_int_equal(shell("debugfs -R 'dump /big out' noisy && cmp out d/big"), 0);
}

static void test_in_doubt_everything_is_used(void **state)
{
	static const char *const spoil[] = {
		"debugfs -w -R 'feature needs_recovery' fs",
		"debugfs -w -R 'ssv state 0' fs",
		"debugfs -w -R 'ssv state 3' fs",
		"debugfs -w -R 'ssv free_blocks_count 7' fs",
		/* The first block bitmap. */
		("b=$(dumpe2fs fs | sed -n 's/.*Block bitmap at \\([0-9]*\\).*/\\1/p' | head -1) && "
		"printf '\\1\\2\\3' | dd of=fs bs=4096 seek=$b conv=notrunc"),
		"truncate -s 20M fs",
	};

	(void)state;
	if (!have_mke2fs())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
		struct probe p;

		assert_int_equal(shell("rm -f fs; mke2fs -q -t ext4 -b 4096 fs 32M"), 0);
		assert_true(unused_of("fs") > 0);
		assert_int_equal(shell(spoil[i]), 0);
		p = probe_file("fs");
		assert_string_equal(p.type, "ext4");
		if (p.usage_known || unused_of("fs") != 0)
			fail_msg("trusted after: %s", spoil[i]);
	}
}

/* A disk with gaps: they and the free blocks go, what is before and behind stays. */
static void test_partitions_and_gaps(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *base, *dev;
	struct probe p;
	uint8_t bytes[4];
	uint64_t len, fd_off;
	bool owned;
	int fd;

	(void)state;
	if (!have_mke2fs() || shell("command -v sfdisk") != 0)
		skip();
	assert_int_equal(shell("rm -f disk fs; truncate -s 100M disk; mke2fs -q -t ext4 fs 40M; "
		"printf 'label: gpt\\nstart=1MiB,size=2MiB\\nstart=5MiB,size=40MiB\\n' | sfdisk -q disk; "
		"dd if=fs of=disk bs=1M seek=5 conv=notrunc; "
		"for at in 0 2 3 60 ; do printf gone | dd of=disk bs=1 seek=$((at * 1048576 + 500000)) "
		"conv=notrunc; done"), 0);
	p = probe_file("fs");
	/* Gaps: 3..5 MiB, 45..100 MiB but for the backup table of 33 sectors. */
	assert_int_equal(unused_of("disk"), p.size - p.used + 57 * MIB - 33 * 512);
	base = open_dev("disk");
	dev = probe_usage_dev(base, &err);
	assert_non_null(dev);
	assert_int_equal(dev_pread(dev, bytes, 4, 500000, &err), 0);
	assert_memory_equal(bytes, "gone", 4);
	assert_int_equal(dev_pread(dev, bytes, 4, 2 * MIB + 500000, &err), 0);
	assert_memory_equal(bytes, "gone", 4);
	assert_int_equal(dev_pread(dev, bytes, 4, 3 * MIB + 500000, &err), 0);
	assert_memory_equal(bytes, "\0\0\0", 4);
	assert_int_equal(dev_pread(dev, bytes, 4, 60 * MIB + 500000, &err), 0);
	assert_memory_equal(bytes, "\0\0\0", 4);
	len = 4 * MIB;
	assert_int_equal(dev_locate(dev, 2 * MIB, &len, &fd, &fd_off, &owned, &err), 0);
	assert_true(len <= MIB && fd >= 0 && fd_off == 2 * MIB);
	if (owned)
		close(fd);
	len = 4 * MIB;
	assert_int_equal(dev_locate(dev, 3 * MIB, &len, &fd, &fd_off, &owned, &err), 0);
	assert_int_equal(len, 2 * MIB);
	assert_int_equal(fd, -1);
	assert_int_equal(dev_pwrite(dev, bytes, 4, 0, &err), -1);
	dev_close(dev, NULL);
	dev_close(base, NULL);
}

/* Boot loaders live between the partitions of an MBR, and a damaged table says nothing. */
static void test_gaps_that_stay(void **state)
{
	struct probe p;

	(void)state;
	if (!have_mke2fs() || shell("command -v sfdisk") != 0)
		skip();
	assert_int_equal(shell("rm -f disk fs; truncate -s 100M disk; mke2fs -q -t ext4 fs 40M; "
		"printf 'label: dos\\nstart=1MiB,size=2MiB\\nstart=5MiB,size=50MiB,type=5\\n"
		"start=6MiB,size=40MiB\\n' | sfdisk -q disk; "
		"dd if=fs of=disk bs=1M seek=6 conv=notrunc"), 0);
	p = probe_file("fs");
	assert_int_equal(unused_of("disk"), p.size - p.used);
	assert_int_equal(shell("printf 'label: gpt\\nsize=50MiB\\n' | sfdisk -q --wipe always disk; "
		"printf x | dd of=disk bs=1 seek=530 conv=notrunc"), 0);
	assert_int_equal(unused_of("disk"), 0);
	/* Made larger: the tail may hold anything, and the backup table is not at its end. */
	assert_int_equal(shell("printf 'label: gpt\\nsize=50MiB\\nsize=1MiB\\n' | "
		"sfdisk -q --wipe always disk; truncate -s 120M disk"), 0);
	assert_int_equal(unused_of("disk"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_labels_and_uuids_as_blkid),
		cmocka_unit_test(test_free_clusters_of_vfat),
		cmocka_unit_test(test_two_at_a_place),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_free_blocks_are_unused),
		cmocka_unit_test(test_noise_in_unused_blocks_does_no_harm),
		cmocka_unit_test(test_in_doubt_everything_is_used),
		cmocka_unit_test(test_partitions_and_gaps),
		cmocka_unit_test(test_gaps_that_stay),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
