/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises image files by their content, never by their name.
 */
#ifndef AMIWRIGHT_FORMATS_DETECT_H
#define AMIWRIGHT_FORMATS_DETECT_H

#include "base/dev.h"

/*
 * "raw" when a partition table or file system begins there; "vmdk", "vhd", "vhdx", "qcow2", "vdi",
 * "qed", "parallels", "zip", "7z", "lzop", "gzip", "xz", "zstd", "bzip2", "lz4", "lzma" (without .xz around it),
 * "iso9660", "tar", "ovf"; "unknown" else. Borrowed for ever.
 */
int detect_format(struct dev *dev, const char **name, struct error *err) MUST_CHECK;

/*
 * Whether firmware could start something there: a boot sector's mark (55 aa at byte 510, which an MBR
 * and a protective one have too) or a GPT.
 */
int detect_starts(struct dev *dev, bool *starts, struct error *err) MUST_CHECK;

#endif
