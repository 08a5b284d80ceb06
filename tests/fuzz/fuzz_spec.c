/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a spec. It is either taken, and then the checks that need no tree can run over it, or
 * refused with at least one mistake that has a text; never both and never neither.
 */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "builder/plan.h"
#include "builder/spec.h"

enum { INPUT_MAX = 64 << 10 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_diag(struct diag *d)
{
	struct buf text = BUF_INIT(0);
	struct error err = ERROR_INIT;

	check(diag_text(d, &text, &err) == 0);
	check((d->count == 0) == (text.len == 0));
	for (size_t i = 0; i < d->nr; i++)
		check(d->items[i].text[0] != '\0' && !strchr(d->items[i].text, '\n'));
	buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct diag diag = {0};
	struct spec spec;
	int ret;

	if (size > INPUT_MAX)
		return 0;
	ret = spec_parse(&spec, (const char *)data, size, "fuzz/spec.yaml", &diag, &err);
	check((ret < 0) == (diag.count > 0));
	check(ret == 0 || (err.kind == ERROR_USAGE && err.text[0]));
	/* Specs with mistakes are checked too, so that all mistakes come in one run. */
	check(plan_check_spec(&spec, &diag, &err) == 0);
	check_diag(&diag);
	spec_release(&spec);
	diag_release(&diag);
	return 0;
}
