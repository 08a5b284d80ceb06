/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image formats as a table: what is written, by the name that users give it, and what is read, by
 * what detect_format() finds. A new format is one file and one line in a table of format.c.
 *
 *   reading   format_open()  ─▶ a read-only device of the virtual disk
 *   writing   format_write() ◀─ any device; its unused and zero ranges are left out where the
 *                               format can, and so are data that turn out to be zeros
 *
 * The same device and options give the same bytes, whatever the number of workers, into a file and
 * into a pipe.
 */
#ifndef AMIWRIGHT_FORMATS_FORMAT_H
#define AMIWRIGHT_FORMATS_FORMAT_H

#include "base/dev.h"
#include "base/hash.h"
#include "base/progress.h"
#include "formats/out.h"

#include <stdbool.h>

/* What options a format takes besides those that all take. */
enum {
	FORMAT_LEVEL = 1,    /* level */
	FORMAT_HARDWARE = 2, /* adapter, hardware_version, tools_version, geometry */
	FORMAT_MACHINE = 4,  /* name, architecture, epoch, firmware */
};

struct format_write_opts {
	unsigned workers;
	struct progress *progress; /* begun and ended by the caller; may be NULL */
	bool durable;              /* fsync before the final name */
	bool digest;               /* SHA-256 of the file */
	bool (*cancelled)(void);   /* may be NULL */
	const char *spool_dir;     /* folder for temporary data; NULL: /var/tmp */
	/* As in struct raw_opts: the digests of the disk's blocks, whatever the format. May be NULL. */
	int (*block)(void *arg, uint64_t index, const uint8_t digest[32], struct error *err);
	void *block_arg;

	int level;                /* 0: the format's own */
	const char *adapter;      /* "ide", "buslogic", "lsilogic", "pvscsi" …; NULL: lsilogic */
	unsigned hardware_version; /* 0: the format's own */
	unsigned tools_version;    /* 0: the format's own */
	struct {
		uint32_t cylinders, heads, sectors; /* 0: derived from the size */
	} geometry;
	const char *name;         /* of the machine; NULL: "disk" */
	const char *architecture; /* "x86_64", "arm64"; NULL: "x86_64" */
	const char *firmware;     /* "bios", "efi"; NULL: bios */
	int64_t epoch;            /* seconds: all times in the file */
};

struct format_result {
	uint64_t file_size;          /* bytes that were written, holes included */
	uint64_t disk_size;          /* of the virtual disk, after the format's rounding */
	uint8_t sha256[SHA256_SIZE]; /* of the file, with digest */
};

struct format {
	const char *name;            /* of --format and --to: "vmdk" */
	const char *title;           /* for people: "VMDK, streamOptimized" */
	const char *const *suffixes; /* NULL-terminated: ".vmdk"; the first is the usual one */
	unsigned flags;              /* FORMAT_* */
	int level_max;               /* with FORMAT_LEVEL */
	/*
	 * The size that the virtual disk will have for a device of size bytes (formats round up).
	 * ERROR_INPUT when it is beyond what the format can hold. NULL: as it is.
	 */
	int (*disk_size)(uint64_t size, uint64_t *out, struct error *err);
	/* What of the options that it takes is wrong: ERROR_USAGE, before any work. NULL: nothing. */
	int (*check)(const struct format_write_opts *opts, struct error *err);
	/* All bytes of the file, in order. */
	int (*write)(struct dev *dev, struct out *out, const struct format_write_opts *opts,
		struct error *err);
	/* Instead of write() when the output is a file: raw images copy as the kernel can. NULL: none. */
	int (*write_file)(struct dev *dev, const char *path, const struct format_write_opts *opts,
		struct error *err);
};

/* NULL when there is none of that name. */
const struct format *format_find(const char *name);
/* By the longest suffix that path ends in ("disk.raw.gz"), case ignored; NULL: none. */
const struct format *format_of_path(const char *path);
/* Bytes of the longest suffix of f that path ends in; 0: none. */
size_t format_suffix_length(const struct format *f, const char *path);
/* All names, NULL-terminated, for options. */
extern const char *const format_names[];

/*
 * Whether these options (those that the format takes) and a disk of this size (0: not known yet) are
 * right for it: ERROR_USAGE says what would be. Call it before any work.
 */
int format_check(const struct format *f, const struct format_write_opts *opts, uint64_t size,
	struct error *err) MUST_CHECK;
/* Writes dev to path ("-": standard output). Nothing is left on error. */
int format_write(const struct format *f, struct dev *dev, const char *path,
	const struct format_write_opts *opts, struct format_result *result, struct error *err) MUST_CHECK;
/* The same into an output, which is ended in any case. */
int format_write_out(const struct format *f, struct dev *dev, struct out *out,
	const struct format_write_opts *opts, struct format_result *result, struct error *err) MUST_CHECK;

struct format_read_opts {
	const char *spool_dir;   /* folder for what must be decompressed first; NULL: /var/tmp */
	const uint8_t *spool_key; /* CRYPTO_PAGES_KEY random bytes that encrypt it there; NULL: it is not */
	unsigned workers;
	bool (*cancelled)(void); /* may be NULL */
	const struct progress_opts *progress; /* of decompressing; may be NULL */
	bool apart;              /* the image lies in no folder: one that names files beside it is refused */
	unsigned depth;          /* private: how many images this one lies in */
};

/* An image that was opened. */
struct image {
	struct dev *dev;    /* the virtual disk, read-only; owned */
	const char *format; /* as detect_format() has it: "raw", "vmdk" …; "unknown": taken as raw */
	char variant[32];   /* "streamOptimized", "dynamic" …; "" where there are none */
	uint64_t file_size; /* bytes of the file, or of all files that it consists of */
};

/* A reader opens what detect_format() calls by its name. */
struct format_reader {
	const char *detected;
	/*
	 * Takes file, also on error. path: for messages, and for other files that it names, beside
	 * it. Fills out->dev and out->variant; out->file_size where that is more than file. All that
	 * the file says is checked before it is believed: ERROR_INPUT says what is wrong, naming
	 * path; memory is bounded by the file's size, not by what it claims.
	 */
	int (*open)(struct dev *file, const char *path, const struct format_read_opts *opts,
		struct image *out, struct error *err);
};

/*
 * Opens an image by its content. What is recognised and not readable is ERROR_INPUT, naming what it
 * is and how to convert it. What is not recognised is a raw disk; warn: say so to the log. opts may
 * be NULL. Release with image_close().
 */
int format_open(const char *path, const struct format_read_opts *opts, bool warn, struct image *out,
	struct error *err) MUST_CHECK;
/*
 * ERROR_INPUT when what detect_format() calls so is known and read by nobody here: what it is and what to
 * do; 0 for all else.
 */
int format_refuse(const char *path, const char *format, struct error *err) MUST_CHECK;
/* format_open() for the bytes of a device that is no file of its own (a member of an archive). Takes file. */
int format_open_dev(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;
/* For readers: the image that lies in the one that opts are of. Takes file. */
int format_open_inside(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;
/* Warns when it was not recognised, and is taken as a raw disk, and of a device that is in use. */
void format_warn(const struct image *image, const char *path);
/* The virtual disk of format_open() alone; close with dev_close(). */
struct dev *format_open_disk(const char *path, const struct format_read_opts *opts, bool warn,
	struct error *err) MUST_CHECK;
/* Whether the image needs the file at path, beside the one that was opened. */
bool image_reads(const struct image *image, const char *path);
/* Zeroed is fine. */
void image_close(struct image *image);

#endif
