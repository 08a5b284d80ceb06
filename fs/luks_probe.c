/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS headers, big-endian:
 *
 *   1: "LUKS\xba\xbe" version(2) cipher name(32) cipher mode(32) …
 *   2: "LUKS\xba\xbe" version(2) header size(8) … 4096: JSON, to the header's end
 */
#include "fs/luks_probe.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"

enum { BINARY = 4096, SIZE_MAX_2 = 4 << 20, NAME = 32 };

static void set_cipher_1(struct luks_facts *out, const uint8_t *head)
{
	snprintf(out->cipher, sizeof(out->cipher), "%.*s-%.*s", NAME, (const char *)head + 8, NAME,
		(const char *)head + 40);
}

/* Of the first segment: a volume that is being encrypted anew has several. */
static void set_cipher_2(struct luks_facts *out, const char *text)
{
	CLEANUP(json_cleanup) struct json *doc = json_parse(text, strlen(text), "the LUKS header", NULL);
	struct json *segments = json_get(doc, "segments"), *segment = NULL;

	if (json_is_object(segments) && json_next_key(segments, NULL, &segment))
		snprintf(out->cipher, sizeof(out->cipher), "%s", json_get_str(segment, "encryption", ""));
}

static int read_version_2(struct dev *dev, const uint8_t *head, struct luks_facts *out, struct error *err)
{
	uint64_t size = num_get_be64(head + 8);
	CLEANUP_FREE char *text = NULL;

	if (size <= BINARY || size > SIZE_MAX_2 || size > dev->size)
		return 0;
	text = calloc(1, size - BINARY + 1);
	if (!text)
		return error_nomem(err, "a LUKS header");
	if (dev_pread(dev, text, size - BINARY, BINARY, err) < 0)
		return -1;
	set_cipher_2(out, text);
	return 0;
}

int luks_probe(struct dev *dev, struct luks_facts *out, struct error *err)
{
	uint8_t head[80];

	*out = (struct luks_facts){.version = 0};
	if (dev->size < sizeof(head))
		return 0;
	if (dev_pread(dev, head, sizeof(head), 0, err) < 0)
		return -1;
	if (memcmp(head, "LUKS\xba\xbe", 6) != 0 || head[6] != 0 || head[7] < 1 || head[7] > 2)
		return 0;
	out->version = head[7];
	if (out->version == 2)
		return read_version_2(dev, head, out, err);
	set_cipher_1(out, head);
	return 0;
}
