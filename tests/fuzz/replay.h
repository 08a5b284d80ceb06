/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main for fuzz targets when libFuzzer does not bring one: runs the target over the files that
 * are named. So targets are compiled and their seeds tried in every check.
 */
#ifndef AMIWRIGHT_TESTS_FUZZ_REPLAY_H
#define AMIWRIGHT_TESTS_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef AMIWRIGHT_LIBFUZZER

#include <stdio.h>

#include "base/file.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		CLEANUP_BUF struct buf input = BUF_INIT(64 << 20);
		struct error err = ERROR_INIT;

		if (file_read(argv[i], &input, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)buf_str(&input), input.len);
	}
	return 0;
}

#endif
#endif
