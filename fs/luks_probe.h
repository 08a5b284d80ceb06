/* SPDX-License-Identifier: Apache-2.0 */
/* What a LUKS header says of how its volume is encrypted; no key is needed for that. */
#ifndef AMIWRIGHT_FS_LUKS_PROBE_H
#define AMIWRIGHT_FS_LUKS_PROBE_H

#include "base/dev.h"

struct luks_facts {
	unsigned version; /* 1, 2; 0: no header that we know */
	char cipher[72];  /* as cryptsetup has it: "aes-xts-plain64"; "" not told */
};

/*
 * ERROR_IO when reading fails; a header that makes no sense only tells less.
 *
 * Source: LUKS1 On-Disk Format Specification 1.2.3 (partition header); LUKS2 On-Disk Format
 * Specification 1.1.1 (binary header, JSON area, segments).
 */
int luks_probe(struct dev *dev, struct luks_facts *out, struct error *err) MUST_CHECK;

#endif
