/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the spec share: a spec's text, and the lines that it is refused with. */
#ifndef AMIWRIGHT_TESTS_LIB_SPECTEXT_H
#define AMIWRIGHT_TESTS_LIB_SPECTEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "builder/spec.h"

#define HEAD "name: x\nversion: \"1\"\narchitecture: x86_64\n"
#define DISK "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n"

struct parsed {
	struct spec spec;
	struct diag diag;
	struct error err;
	struct buf text;
	int ret;
};

/* Release with spectext_done(). */
static inline void spectext_parse(struct parsed *p, const char *text, size_t len)
{
	memset(p, 0, sizeof(*p));
	p->ret = spec_parse(&p->spec, text, len, "t.yaml", &p->diag, &p->err);
	assert_int_equal(diag_text(&p->diag, &p->text, &p->err), 0);
}

static inline void spectext_done(struct parsed *p)
{
	spec_release(&p->spec);
	diag_release(&p->diag);
	buf_release(&p->text);
}

/* The spec must be refused with exactly these lines (each may be cut at its end). */
static inline void spectext_refused(const char *text, const char *const *lines)
{
	struct parsed p;
	const char *rest;

	spectext_parse(&p, text, strlen(text));
	assert_int_equal(p.ret, -1);
	assert_int_equal(p.err.kind, ERROR_USAGE);
	rest = buf_str(&p.text);
	for (; *lines; lines++) {
		if (strncmp(rest, *lines, strlen(*lines)))
			fail_msg("expected '%s', got '%s'", *lines, rest);
		rest = strchr(rest, '\n');
		assert_non_null(rest);
		rest++;
	}
	if (*rest)
		fail_msg("one mistake too many: '%s'", rest);
	spectext_done(&p);
}

#define REFUSED(text, ...) spectext_refused(text, (const char *const[]){__VA_ARGS__, NULL})

/* The spec must be taken. */
static inline void spectext_accepted(const char *text)
{
	struct parsed p;

	spectext_parse(&p, text, strlen(text));
	if (p.ret < 0)
		fail_msg("%s", buf_str(&p.text));
	spectext_done(&p);
}

#endif
