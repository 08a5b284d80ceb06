/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of a long job on stderr: on a terminal one line with a bar, bytes, rate and time left,
 * redrawn at most 10 times a second; elsewhere a plain line every 10 s and at the end. Quiet at log
 * levels below INFO. NO_COLOR and TERM=dumb are values in the options: nothing here reads the
 * environment.
 */
#ifndef AMIWRIGHT_BASE_PROGRESS_H
#define AMIWRIGHT_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress_opts {
	bool tty;                 /* redraw one line */
	bool color;               /* use colours on it */
	bool quiet;               /* show nothing */
	int width;                /* columns; 0: 80 */
	uint64_t (*now_ms)(void); /* monotonic clock in milliseconds */
};

struct progress {
	const struct progress_opts *opts; /* borrowed */
	char what[48];                    /* "upload snap-0123" */
	uint64_t total, done;             /* bytes; total 0: unknown */
	uint64_t start_ms, shown_ms;
	bool open;
};

/* opts NULL: a silent one. Cheap. */
void progress_begin(
	struct progress *p, const struct progress_opts *opts, const char *what, uint64_t total);
void progress_set_total(struct progress *p, uint64_t total);
/* Adds bytes done; draws when it is time. Called from one thread. */
void progress_add(struct progress *p, uint64_t bytes);
/* Draws now without adding (a heartbeat while waiting). */
void progress_tick(struct progress *p);
/* Ends the line: the final figures when ok, else the line is just ended. */
void progress_end(struct progress *p, bool ok);

/* The text that would be shown, for tests. Returns buf. */
char *progress_text(const struct progress *p, uint64_t now_ms, char *buf, unsigned long size);

#endif
