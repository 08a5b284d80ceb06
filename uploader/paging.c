/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circles are found by Brent's way (BIT 20, 1980): each token is compared with one earlier one, which
 * is moved up after 1, 2, 4 … steps. So a list of a million pages costs one token of memory.
 */
#include "uploader/paging.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int mark(struct paging *p, const char *token, struct error *err)
{
	char *copy = strdup(token);

	if (!copy)
		return error_nomem(err, "page token");
	free(p->mark);
	p->mark = copy;
	p->span = p->span ? p->span * 2 : 1;
	p->steps = 0;
	return 0;
}

int paging_next(struct paging *p, bool empty, const char *token, const char *what, struct error *err)
{
	p->empty = empty ? p->empty + 1 : 0;
	if (p->empty >= p->max_empty)
		return error_set(err, ERROR_SERVICE, 0,
			"%s: %" PRIu64 " pages in a row have nothing in them, and each names another one",
			what, p->empty);
	if (p->mark && strcmp(p->mark, token) == 0)
		return error_set(err, ERROR_SERVICE, 0,
			"%s: the pages go round in a circle: the token '%.40s' came before", what, token);
	return !p->mark || ++p->steps == p->span ? mark(p, token, err) : 0;
}

void paging_restart(struct paging *p)
{
	free(p->mark);
	p->mark = NULL;
	p->steps = p->span = 0;
}

void paging_release(struct paging *p)
{
	paging_restart(p);
	p->empty = 0;
}
