/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option parsing by table. Values are borrowed from argv; only the arrays of lists and arguments
 * are allocated here.
 */
#include "builder/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"

/* One parse in progress. */
struct parse {
	const struct options_target *targets;
	size_t nr_targets;
	const char *const *argv;
	size_t argc, pos;
};

enum { NEAREST_MAX = 64 };

/* Number of single-character edits from a to b (Levenshtein), for short texts. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	size_t row[NEAREST_MAX + 1];

	if (la > NEAREST_MAX || lb > NEAREST_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t changed = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(changed, MIN(row[j - 1], row[j]) + 1);
		}
	}
	return row[lb];
}

const char *options_nearest(const char *text, const char *const *known)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (; *known; known++) {
		size_t d = edit_distance(text, *known);

		/* A word that is the beginning of a known one is meant, however short it is. */
		if (strlen(text) >= 3 && !strncmp(*known, text, strlen(text)))
			d = MIN(d, 1);
		if (d < best_distance) {
			best_distance = d;
			best = *known;
		}
	}
	return best_distance <= strlen(text) / 3 + 1 && best_distance < strlen(text) ? best : NULL;
}

static const struct options_def *find_long(const struct parse *p, const char *name, size_t len,
	void **values)
{
	for (size_t i = 0; i < p->nr_targets; i++) {
		const struct options_def *d = p->targets[i].defs;

		for (; d->name; d++) {
			if (strlen(d->name) != len || memcmp(d->name, name, len))
				continue;
			*values = p->targets[i].values;
			return d;
		}
	}
	return NULL;
}

static const struct options_def *find_letter(const struct parse *p, char letter, void **values)
{
	for (size_t i = 0; i < p->nr_targets; i++) {
		const struct options_def *d = p->targets[i].defs;

		for (; d->name; d++) {
			if (d->letter != letter)
				continue;
			*values = p->targets[i].values;
			return d;
		}
	}
	return NULL;
}

static int list_add(const char ***items, size_t *nr, const char *text, struct error *err)
{
	const char **grown = reallocarray(*items, *nr + 2, sizeof(*grown));

	if (!grown)
		return error_nomem(err, "the command line");
	grown[(*nr)++] = text;
	grown[*nr] = NULL;
	*items = grown;
	return 0;
}

static int store_choice(const struct options_def *d, const char *text, const char **slot,
	struct error *err)
{
	CLEANUP_BUF struct buf known = BUF_INIT(4096);

	for (const char *const *c = d->choices; *c; c++) {
		if (!strcmp(*c, text)) {
			*slot = *c;
			return 0;
		}
		if (buf_addf(&known, err, "%s%s", known.len ? ", " : "", *c) < 0)
			return -1;
	}
	return error_set(err, ERROR_USAGE, 0, "'%s' is no value of --%s: it takes %s", text,
		d->name, buf_str(&known));
}

static int store_number(const struct options_def *d, const char *text, uint64_t *slot,
	struct error *err)
{
	uint64_t max = d->max ? d->max : UINT64_MAX;
	uint64_t value;

	if (num_parse(text, max, &value, err) < 0)
		return error_wrap(err, "--%s", d->name);
	if (value < d->min)
		return error_set(err, ERROR_USAGE, 0, "--%s: %s is too small, the least is %llu",
			d->name, text, (unsigned long long)d->min);
	*slot = value;
	return 0;
}

/* Before any work: whether the folder will be needed may turn out late. */
static int store_folder(const struct options_def *d, const char *text, const char **slot,
	struct error *err)
{
	struct stat st;

	if (stat(text, &st) < 0)
		return error_set(err, ERROR_USAGE, errno, "--%s: '%s'", d->name, text);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERROR_USAGE, 0, "--%s: '%s' is no folder", d->name, text);
	if (access(text, W_OK | X_OK) < 0)
		return error_set(err, ERROR_USAGE, errno, "--%s: nothing can be made in '%s'", d->name, text);
	*slot = text;
	return 0;
}

static int store(const struct options_def *d, void *values, const char *text, struct error *err)
{
	void *field = (char *)values + d->offset;
	struct options_list *list = field;

	switch (d->kind) {
	case OPTIONS_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTIONS_TEXT:
		if (!*text)
			return error_set(err, ERROR_USAGE, 0, "--%s: the value is empty", d->name);
		*(const char **)field = text;
		return 0;
	case OPTIONS_FOLDER:
		return store_folder(d, text, field, err);
	case OPTIONS_CHOICE:
		return store_choice(d, text, field, err);
	case OPTIONS_NUMBER:
		return store_number(d, text, field, err);
	case OPTIONS_SIZE:
		if (num_parse_size(text, field, err) < 0)
			return error_wrap(err, "--%s", d->name);
		return 0;
	case OPTIONS_LIST:
		return list_add(&list->items, &list->nr, text, err);
	}
	return error_set(err, ERROR_BUG, 0, "option '%s' has no kind", d->name);
}

static int unknown_long(const struct parse *p, const char *name, size_t len, struct error *err)
{
	const char *known[PATH_MAX / 64];
	char text[NEAREST_MAX];
	const char *nearest;
	size_t nr = 0;

	for (size_t i = 0; i < p->nr_targets; i++)
		for (const struct options_def *d = p->targets[i].defs; d->name; d++)
			if (nr + 1 < ARRAY_SIZE(known))
				known[nr++] = d->name;
	known[nr] = NULL;
	if (len >= sizeof(text))
		return error_set(err, ERROR_USAGE, 0, "unknown option '--%.*s'", (int)len, name);
	memcpy(text, name, len);
	text[len] = '\0';
	nearest = options_nearest(text, known);
	if (nearest)
		return error_set(err, ERROR_USAGE, 0, "unknown option '--%s': did you mean '--%s'?",
			text, nearest);
	return error_set(err, ERROR_USAGE, 0, "unknown option '--%s'", text);
}

/* "--name", "--name=value", "--name value" */
static int parse_long(struct parse *p, const char *word, struct error *err)
{
	const char *name = word + 2;
	const char *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	void *values = NULL;
	const struct options_def *d = find_long(p, name, len, &values);

	if (!d)
		return unknown_long(p, name, len, err);
	if (d->kind == OPTIONS_FLAG) {
		if (value)
			return error_set(err, ERROR_USAGE, 0, "--%s takes no value", d->name);
		return store(d, values, NULL, err);
	}
	if (value)
		return store(d, values, value + 1, err);
	if (p->pos >= p->argc)
		return error_set(err, ERROR_USAGE, 0, "--%s needs a value: %s", d->name, d->value);
	return store(d, values, p->argv[p->pos++], err);
}

/* "-x", "-xyz", "-xVALUE", "-x VALUE" */
static int parse_short(struct parse *p, const char *word, struct error *err)
{
	for (const char *c = word + 1; *c; c++) {
		void *values = NULL;
		const struct options_def *d = find_letter(p, *c, &values);

		if (!d)
			return error_set(err, ERROR_USAGE, 0, "unknown option '-%c'", *c);
		if (d->kind == OPTIONS_FLAG) {
			if (store(d, values, NULL, err) < 0)
				return -1;
			continue;
		}
		if (c[1])
			return store(d, values, c + 1, err);
		if (p->pos >= p->argc)
			return error_set(err, ERROR_USAGE, 0, "-%c needs a value: %s", *c, d->value);
		return store(d, values, p->argv[p->pos++], err);
	}
	return 0;
}

int options_parse(const struct options_target *targets, size_t nr_targets, const char *const *argv,
	size_t argc, bool stop_at_arg, struct options_args *args, size_t *used, struct error *err)
{
	struct parse p = {targets, nr_targets, argv, argc, 0};
	bool only_args = false;
	int ret = 0;

	while (p.pos < argc && !ret) {
		const char *word = argv[p.pos];

		if (!only_args && !strcmp(word, "--")) {
			only_args = true;
			p.pos++;
		} else if (only_args || word[0] != '-' || !word[1]) {
			if (stop_at_arg)
				break;
			p.pos++;
			ret = list_add(&args->items, &args->nr, word, err);
		} else {
			p.pos++;
			ret = word[1] == '-' ? parse_long(&p, word, err) : parse_short(&p, word, err);
		}
	}
	*used = p.pos;
	return ret;
}

void options_release(const struct options_target *target)
{
	for (const struct options_def *d = target->defs; d->name; d++) {
		struct options_list *list = (void *)((char *)target->values + d->offset);

		if (d->kind != OPTIONS_LIST)
			continue;
		free(list->items);
		list->items = NULL;
		list->nr = 0;
	}
}

void options_args_release(struct options_args *args)
{
	free(args->items);
	args->items = NULL;
	args->nr = 0;
}

/* Appends text, broken at spaces so that lines from `column` on end before column 80. */
static int add_wrapped(struct buf *out, const char *text, size_t column, struct error *err)
{
	size_t width = 79 - column, used = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (used && used + 1 + len > width) {
			if (buf_addf(out, err, "\n%*s", (int)column, "") < 0)
				return -1;
			used = 0;
		}
		if (buf_addf(out, err, "%s%.*s", used ? " " : "", (int)len, text) < 0)
			return -1;
		used += len + (used ? 1 : 0);
		text += len;
		text += strspn(text, " ");
	}
	return buf_add_char(out, '\n', err);
}

int options_help(const struct options_def *defs, struct buf *out, struct error *err)
{
	const size_t column = 26;

	for (const struct options_def *d = defs; d->name; d++) {
		size_t start = out->len;
		int ret = d->letter ? buf_addf(out, err, "  -%c, --%s", d->letter, d->name) :
				      buf_addf(out, err, "      --%s", d->name);

		if (ret < 0 || (d->value && buf_addf(out, err, " %s", d->value) < 0))
			return -1;
		if (out->len - start + 2 > column) {
			if (buf_addf(out, err, "\n%*s", (int)column, "") < 0)
				return -1;
		} else if (buf_addf(out, err, "%*s", (int)(column - (out->len - start)), "") < 0) {
			return -1;
		}
		if (add_wrapped(out, d->help, column, err) < 0)
			return -1;
	}
	return 0;
}
