/* SPDX-License-Identifier: Apache-2.0 */
/* Which file system has which reader. */
#include "fs/reader.h"

#include <string.h>

static const struct {
	const char *type;
	struct reader *(*open)(struct dev *dev, struct error *err);
} readers[] = {
	{"ext4", ext4_reader_open},
	{"ext3", ext4_reader_open},
	{"ext2", ext4_reader_open},
	{"vfat", vfat_reader_open},
};

int reader_open(struct dev *dev, const char *type, struct reader **out, struct error *err)
{
	*out = NULL;
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (strcmp(readers[i].type, type) == 0) {
			*out = readers[i].open(dev, err);
			return *out ? 0 : -1;
		}
	return 0;
}

void reader_close(struct reader *r)
{
	if (r)
		r->ops->close(r);
}
