/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of builder/fitness*.c share. Errors stick: after the first one, questions are
 * answered with "no" and points are dropped, and fitness_check() reports it. So checks read as what
 * they check.
 */
#ifndef AMIWRIGHT_BUILDER_FITNESS_INTERNAL_H
#define AMIWRIGHT_BUILDER_FITNESS_INTERNAL_H

#include "base/buf.h"
#include "builder/fitness.h"

enum fit_distribution { FIT_DEBIAN, FIT_UBUNTU, FIT_FEDORA, FIT_AMAZON, FIT_OTHER };

struct fit {
	const struct fitness_in *in;
	struct fitness *out;
	struct error *err;
	bool failed;
	enum fit_distribution distribution;
	struct buf cmdline;        /* the kernel's, or all texts of the tree that have one */
	bool cmdline_known;
	bool cloud_init;           /* it runs at boot */
};

/* Takes text and cure; NULL: they could not be made, err is set. */
void fit_add(struct fit *f, enum fitness_level level, const char *name, char *text, char *cure);

/* Questions about paths; symbolic links are followed inside the tree. */
bool fit_exists(struct fit *f, const char *path);
bool fit_is_link(struct fit *f, const char *path); /* itself a symbolic link */
bool fit_is_file(struct fit *f, const char *path); /* regular and not empty */
/* A regular file's text, 1 MiB of it at most; false when there is none. out is emptied first. */
bool fit_read(struct fit *f, const char *path, struct buf *out);
/* The first of a NULL-terminated list that exists, or NULL. */
const char *fit_first(struct fit *f, const char *const *paths);

/* Paths of the files in a directory whose names end so, in byte order. */
struct fit_paths {
	char **items;
	size_t nr;
};
/* None when there is no such directory; release out in any case. */
void fit_list(struct fit *f, const char *dir, const char *end, struct fit_paths *out);
void fit_paths_release(struct fit_paths *p);

/*
 * The next line of a text that has something: cut out, without blanks around it; comments (# and ;)
 * are passed over. NULL at the end.
 */
char *fit_line(char **at);
/* True when a word of text, between blanks, quotes or '=', is or begins with `word`. */
bool fit_has_word(const char *text, const char *word, bool begins);

/* systemd's unit (or OpenRC's or System V's service) is there, wanted by something, not masked. */
bool fit_enabled(struct fit *f, const char *unit);
/* The directory that has the unit's file, or NULL. */
const char *fit_unit_dir(struct fit *f, const char *unit);
/* The line that enables a unit that is there; the caller's. */
char *fit_enable_cure(struct fit *f, const char *unit, const char *target);

/* The name of a package by distribution. */
struct fit_package {
	const char *debian, *fedora;
};
/* "add the package 'X'"; the caller's. */
char *fit_package_cure(struct fit *f, struct fit_package p);

/* One group of checks each. */
void fit_check_boot(struct fit *f);
void fit_check_network(struct fit *f);
void fit_check_access(struct fit *f);
void fit_check_identity(struct fit *f);
void fit_check_growth(struct fit *f);

#endif
