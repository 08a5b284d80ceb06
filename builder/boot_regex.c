/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass, with a stack of the groups that are open. A group's size is the sum of its atoms; an atom
 * with a bound counts as often as the bound's larger number says.
 */
#include "builder/boot_regex.h"

#include <string.h>

#include "base/num.h"

enum { DEPTH_MAX = 256, TOO_LARGE = BOOT_REGEX_MAX + 1 };

struct groups {
	uint64_t size[DEPTH_MAX]; /* of each that is open, without its last atom */
	uint64_t atom[DEPTH_MAX]; /* its last atom: what a bound would repeat */
	unsigned depth;
};

static uint64_t limit(uint64_t size)
{
	return MIN(size, (uint64_t)TOO_LARGE);
}

static void add_atom(struct groups *g, uint64_t size)
{
	g->size[g->depth] = limit(g->size[g->depth] + g->atom[g->depth]);
	g->atom[g->depth] = limit(size);
}

static void end_group(struct groups *g)
{
	uint64_t size = 1 + g->size[g->depth] + g->atom[g->depth];

	g->depth--;
	add_atom(g, size);
}

/* Behind "[": to its "]", which means itself when it comes first; classes have one of their own. */
static const char *skip_bracket(const char *p)
{
	p += *p == '^';
	p += *p == ']';
	while (*p && *p != ']') {
		const char end[] = {*p == '[' ? p[1] : '\0', ']', '\0'};
		const char *close = *end && strchr(".:=", *end) ? strstr(p + 2, end) : NULL;

		p = close ? close + 2 : p + 1;
	}
	return *p ? p + 1 : p;
}

/* Behind "{": the larger number of the bound. */
static const char *read_bound(const char *p, uint64_t *times)
{
	uint64_t number = 0;

	*times = 1;
	for (; *p && *p != '}'; p++) {
		number = *p >= '0' && *p <= '9' ? limit(10 * number + (uint64_t)(*p - '0')) : 0;
		*times = MAX(*times, number);
	}
	return *p ? p + 1 : p;
}

uint64_t boot_regex_size(const char *p)
{
	struct groups g = {.depth = 0};
	uint64_t times;

	while (*p) {
		char c = *p++;

		if (c == '(' && g.depth + 1 == DEPTH_MAX)
			return TOO_LARGE;
		if (c == '(') {
			g.depth++;
			g.size[g.depth] = g.atom[g.depth] = 0;
		} else if (c == ')' && g.depth) {
			end_group(&g);
		} else if (c == '{') {
			p = read_bound(p, &times);
			g.atom[g.depth] = limit(g.atom[g.depth] * times);
		} else if (c == '[') {
			p = skip_bracket(p);
			add_atom(&g, 1);
		} else if (!strchr("*+?|", c)) {
			p += c == '\\' && *p;
			add_atom(&g, 1);
		}
	}
	while (g.depth)
		end_group(&g);
	return limit(g.size[0] + g.atom[0]);
}
