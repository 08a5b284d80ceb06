#ifndef AMIWRIGHT_FS_VERITY_H
#define AMIWRIGHT_FS_VERITY_H
#include "base/dev.h"
#include <stdbool.h>
struct verity_opts { const uint8_t *salt; size_t salt_len; const uint8_t *uuid; unsigned workers; bool (*cancelled)(void); };
uint64_t verity_size(uint64_t data_len);
int verity_write(struct dev *data, struct dev *hash, const struct verity_opts *opts, uint8_t root[32], struct error *err) MUST_CHECK;
#endif
