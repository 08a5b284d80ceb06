/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over an initrd: its own bytes, which can be stepped over without reading, or unpacked ones. */
#include "fs/initrd_internal.h"

#include <string.h>

#include "base/num.h"

void initrd_stream_init(struct initrd_stream *s, const struct initrd_input *in, uint64_t pos,
	uint64_t end)
{
	s->in = in;
	s->unpacker = NULL;
	s->pos = pos;
	s->end = end;
	s->data = s->chunk;
	s->at = s->len = 0;
}

int initrd_stream_fill(struct initrd_stream *s, struct error *err)
{
	size_t len;

	if (s->at < s->len)
		return 0;
	s->at = s->len = 0;
	if (s->unpacker)
		return initrd_unpacker_read(s->unpacker, &s->data, &s->len, err);
	len = (size_t)MIN(s->end - s->pos, (uint64_t)INITRD_CHUNK);
	if (!len)
		return 0;
	if (!s->in->tree)
		memcpy(s->chunk, s->in->mem + s->pos, len);
	else if (tree_pread(s->in->tree, s->in->node, s->chunk, len, s->pos, err) < 0)
		return -1;
	s->pos += len;
	s->len = len;
	return 0;
}

int initrd_stream_read(struct initrd_stream *s, void *buf, size_t len, size_t *got,
	struct error *err)
{
	*got = 0;
	while (*got < len) {
		size_t n;

		if (initrd_stream_fill(s, err) < 0)
			return -1;
		n = MIN(len - *got, s->len - s->at);
		if (!n)
			break;
		memcpy((uint8_t *)buf + *got, s->data + s->at, n);
		s->at += n;
		*got += n;
	}
	return 0;
}

int initrd_stream_skip(struct initrd_stream *s, uint64_t len, struct error *err)
{
	while (len) {
		size_t n = (size_t)MIN(len, (uint64_t)(s->len - s->at));

		s->at += n;
		len -= n;
		if (!len)
			break;
		if (!s->unpacker) {
			if (len > s->end - s->pos)
				return initrd_cut_off(s->in, err);
			s->pos += len;
			break;
		}
		if (initrd_stream_fill(s, err) < 0)
			return -1;
		if (s->at == s->len)
			return initrd_cut_off(s->in, err);
	}
	return 0;
}

int initrd_stream_skip_zeros(struct initrd_stream *s, struct error *err)
{
	do {
		while (s->at < s->len && !s->data[s->at])
			s->at++;
		if (s->at < s->len)
			return 0;
		if (initrd_stream_fill(s, err) < 0)
			return -1;
	} while (s->at < s->len);
	return 0;
}

void initrd_stream_unread(struct initrd_stream *s, size_t len)
{
	s->pos = initrd_stream_tell(s) - len;
	s->at = s->len = 0;
}

uint64_t initrd_stream_tell(const struct initrd_stream *s)
{
	return s->pos - (s->len - s->at);
}

int initrd_cut_off(const struct initrd_input *in, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "the initrd '%s' is damaged: it ends inside an archive",
		in->name);
}
