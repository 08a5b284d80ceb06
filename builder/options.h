/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options by table. Each command has one table; parsing, the --help text and the list
 * that the manual page is checked against all come from it, so that no option can be parsed and not
 * shown.
 *
 * Accepted forms: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, -xyz for flags, "--" ends options.
 * Options and arguments may be mixed. Global options are accepted before and after the command.
 */
#ifndef AMIWRIGHT_BUILDER_OPTIONS_H
#define AMIWRIGHT_BUILDER_OPTIONS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum options_kind {
	OPTIONS_FLAG,   /* bool, set to true */
	OPTIONS_TEXT,   /* const char *, borrowed from argv; the last one wins */
	OPTIONS_FOLDER, /* the same; a folder that is there and can be written to */
	OPTIONS_NUMBER, /* uint64_t between min and max */
	OPTIONS_SIZE,   /* uint64_t, bytes, as num_parse_size() */
	OPTIONS_LIST,   /* struct options_list, one item for each use */
	OPTIONS_CHOICE, /* const char *, one of `choices` */
};

struct options_list {
	const char **items; /* owned array of texts borrowed from argv; NULL when empty */
	size_t nr;
};

struct options_def {
	const char *name; /* long name without dashes; NULL ends a table */
	char letter;      /* 0: no short form */
	enum options_kind kind;
	size_t offset;    /* of the field in the command's struct */
	const char *value; /* what the value is called in the help; NULL for flags */
	const char *help;
	uint64_t min, max;          /* for OPTIONS_NUMBER; max 0: no ceiling */
	const char *const *choices; /* NULL-terminated, for OPTIONS_CHOICE */
};

struct options_args {
	const char **items; /* owned array of what is not an option, borrowed from argv */
	size_t nr;
};

/* A table and the struct that it fills, which begins as zeros. */
struct options_target {
	const struct options_def *defs;
	void *values;
};

/*
 * Parses argv (without program and command name) by the tables in order; the first that knows a
 * name wins. ERROR_USAGE names the option, what is wrong, and the nearest known name. With
 * stop_at_arg it ends before the first argument: *used is how many words of argv were taken.
 */
int options_parse(const struct options_target *targets, size_t nr_targets, const char *const *argv,
	size_t argc, bool stop_at_arg, struct options_args *args, size_t *used, struct error *err)
	MUST_CHECK;
/* Frees the lists of a target, and the arguments. */
void options_release(const struct options_target *target);
void options_args_release(struct options_args *args);

/* Appends the table as help text, two columns. */
int options_help(const struct options_def *defs, struct buf *out, struct error *err) MUST_CHECK;

/*
 * The known text nearest to what was written, when it is near enough to be meant; else NULL. known
 * is NULL-terminated.
 */
const char *options_nearest(const char *text, const char *const *known);

#endif
