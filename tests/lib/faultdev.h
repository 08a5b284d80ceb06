/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device over another one that counts calls and fails the n-th of a kind, once, with ERROR_IO
 * and EIO: for proving that every caller of a device takes an error at any point.
 */
#ifndef AMIWRIGHT_TESTS_LIB_FAULTDEV_H
#define AMIWRIGHT_TESTS_LIB_FAULTDEV_H

#include "base/dev.h"

enum faultdev_call {
	FAULTDEV_PREAD,
	FAULTDEV_PWRITE,
	FAULTDEV_CLEAR,
	FAULTDEV_REFER,
	FAULTDEV_EXTENTS,
	FAULTDEV_LOCATE,
	FAULTDEV_FLUSH,
	FAULTDEV_CLOSE,
	FAULTDEV_NR_CALLS
};

/* Borrows below; closing the faultdev leaves it open. NULL when memory is out. */
struct dev *faultdev_new(struct dev *below);

/*
 * The n-th call of that kind from now on fails (1: the next one); 0: none does. Counting begins
 * anew.
 */
void faultdev_fail(struct dev *dev, enum faultdev_call call, unsigned n);

/* Calls of that kind since faultdev_new() or faultdev_fail(). */
unsigned faultdev_calls(struct dev *dev, enum faultdev_call call);

#endif
