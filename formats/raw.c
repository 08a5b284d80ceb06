/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images: the file is made as large as the device and then gets the pages that hold data. A
 * caller that wants digests pays for reading each block into memory, any other lets the kernel
 * copy.
 */
#include "formats/raw.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/zero.h"
#include "formats/raw_internal.h"

/* Length of the run of pages from off on that are all zeros, or all not. */
static size_t run_length(const uint8_t *buf, size_t len, uint64_t off, bool zero)
{
	size_t run = 0;

	while (run < len) {
		size_t page = MIN(len - run, RAW_PAGE - (off + run) % RAW_PAGE);

		if (zero_all(buf + run, page) != zero)
			break;
		run += page;
	}
	return run;
}

int raw_write_pages(
	const struct raw_writer *w, const uint8_t *buf, size_t len, uint64_t off, struct error *err)
{
	while (len) {
		size_t skip = run_length(buf, len, off, true);
		size_t run = run_length(buf + skip, len - skip, off + skip, false);

		if (run && file_pwrite_all(w->fd, buf + skip, run, off + skip, w->path, err) < 0)
			return -1;
		buf += skip + run;
		off += skip + run;
		len -= skip + run;
	}
	return 0;
}

int raw_check_cancelled(const struct raw_writer *w, struct error *err)
{
	if (!w->opts->cancelled || !w->opts->cancelled())
		return 0;
	return error_set(err, ERROR_INTERRUPTED, 0, "writing '%s' was interrupted", w->path);
}

static int write_content(struct raw_writer *w, struct error *err)
{
	if (ftruncate(w->fd, (off_t)w->dev->size) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write '%s'", w->path);
	w->shares = raw_fs_shares(w->fd, w->dev->size);
	return w->opts->block ? raw_copy_blocks(w, err) : raw_copy_ranges(w, err);
}

int raw_write(struct dev *dev, const char *path, const struct raw_opts *opts, struct error *err)
{
	struct atomic_file file = ATOMIC_FILE_INIT;
	struct raw_writer w = {.dev = dev, .path = path, .opts = opts};

	if (atomic_file_open(&file, path, 0644, err) < 0)
		return -1;
	w.fd = file.fd;
	if (write_content(&w, err) < 0) {
		atomic_file_abort(&file);
		return -1;
	}
	return atomic_file_commit(&file, opts->durable, err);
}
