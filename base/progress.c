/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of one long job. Text is made here and shown by the log, which owns the terminal. Rate
 * and time left are of the whole job so far: they move slowly, and need no history.
 */
#include "base/progress.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

enum { TTY_MS = 100, PLAIN_MS = 10000, TEXT_SIZE = 320, TIME_SIZE = 24 };
/* Columns. The figures' share is fixed, so that the bar does not change its length with them. */
enum { BAR_MIN = 5, BAR_MAX = 40, FIGURES = 44 };

static bool is_silent(const struct progress *p)
{
	return !p->opts || p->opts->quiet || !p->opts->now_ms;
}

void progress_begin(
	struct progress *p, const struct progress_opts *opts, const char *what, uint64_t total)
{
	*p = (struct progress){.opts = opts, .total = total, .open = true};
	snprintf(p->what, sizeof(p->what), "%s", what);
	for (char *c = p->what; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	if (is_silent(p))
		return;
	p->start_ms = opts->now_ms();
	p->shown_ms = p->start_ms;
}

void progress_set_total(struct progress *p, uint64_t total)
{
	p->total = total;
}

/* a * b / c where only the product is too large for 64 bits. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 v = (unsigned __int128)a * b / c;

	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

/* "0:04", "12:30", "1:02:03" */
static const char *format_time(char out[TIME_SIZE], uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (s < 3600)
		snprintf(out, TIME_SIZE, "%llu:%02llu", s / 60, s % 60);
	else if (s / 3600 < 1000)
		snprintf(out, TIME_SIZE, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, TIME_SIZE, "%llu days", s / 86400);
	return out;
}

/* Adds to the text at *len; what does not fit is cut. */
static void add(char *text, size_t size, size_t *len, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void add(char *text, size_t size, size_t *len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text + *len, size - *len, fmt, ap);
	va_end(ap);
	if (n > 0)
		*len = MIN(*len + (size_t)n, size - 1);
}

static uint64_t done_of(const struct progress *p)
{
	return p->total ? MIN(p->done, p->total) : p->done;
}

/* "  43%  1.2 GiB / 2.8 GiB  412 MiB/s  0:04 left" */
static void add_figures(const struct progress *p, uint64_t ms, char *text, size_t size, size_t *len)
{
	char done_text[NUM_SIZE_TEXT], total_text[NUM_SIZE_TEXT], time_text[TIME_SIZE];
	uint64_t done = done_of(p);

	num_format_size(done_text, p->done);
	if (p->total)
		add(text, size, len, " %3u%%  %s / %s", (unsigned)scale(done, 100, p->total),
			done_text, num_format_size(total_text, p->total));
	else
		add(text, size, len, "  %s", done_text);
	if (ms == 0 || done == 0)
		return;
	add(text, size, len, "  %s/s", num_format_size(done_text, scale(p->done, 1000, ms)));
	if (p->total)
		add(text, size, len, "  %s left",
			format_time(time_text, scale(p->total - done, ms, done)));
}

/* "  [#####-----]" of `cells` cells */
static void add_bar(const struct progress *p, unsigned cells, char *text, size_t size, size_t *len)
{
	static const char full[BAR_MAX + 1] = "########################################";
	static const char left[BAR_MAX + 1] = "----------------------------------------";
	unsigned filled = (unsigned)scale(done_of(p), cells, p->total);
	bool color = p->opts->color;

	add(text, size, len, "  [%s%.*s%s%.*s]", color ? "\033[32m" : "", (int)filled, full,
		color ? "\033[0m" : "", (int)(cells - filled), left);
}

/* Characters, not bytes. */
static size_t columns(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* A text that wrapped could not be erased. For text without colours. */
static void cut_to_width(size_t width, char *text)
{
	size_t n = 0;

	for (; *text; text++) {
		n += ((unsigned char)*text & 0xc0) != 0x80;
		if (n >= width) {
			*text = '\0';
			return;
		}
	}
}

char *progress_text(const struct progress *p, uint64_t now_ms, char *buf, unsigned long size)
{
	uint64_t ms = now_ms > p->start_ms ? now_ms - p->start_ms : 0;
	char figures[TEXT_SIZE];
	size_t len = 0, figures_len = 0, width, used;
	bool bar;

	buf[0] = '\0';
	if (is_silent(p))
		return buf;
	figures[0] = '\0';
	add_figures(p, ms, figures, sizeof(figures), &figures_len);
	add(buf, size, &len, "%s", p->what);
	/* The last column stays free: terminals wrap there. "  [" and "]" are 4 columns. */
	width = p->opts->width > 0 ? (size_t)p->opts->width : 80;
	used = columns(p->what) + MAX(figures_len, (size_t)FIGURES) + 4 + 1;
	bar = p->opts->tty && p->total && width >= used + BAR_MIN;
	if (bar)
		add_bar(p, (unsigned)MIN(width - used, (size_t)BAR_MAX), buf, size, &len);
	add(buf, size, &len, "%s", figures);
	if (p->opts->tty && !bar)
		cut_to_width(width, buf);
	return buf;
}

/* end: "" or "\n" after a status line. */
static void show(struct progress *p, uint64_t now, const char *end)
{
	char text[TEXT_SIZE], line[TEXT_SIZE + 2];

	p->shown_ms = now;
	progress_text(p, now, text, sizeof(text));
	if (!p->opts->tty) {
		log_info("%s", text);
		return;
	}
	snprintf(line, sizeof(line), "%s%s", text, end);
	log_status_line(line);
}

void progress_tick(struct progress *p)
{
	uint64_t now;

	if (!p->open || is_silent(p))
		return;
	now = p->opts->now_ms();
	if (now - p->shown_ms >= (p->opts->tty ? TTY_MS : PLAIN_MS))
		show(p, now, "");
}

void progress_add(struct progress *p, uint64_t bytes)
{
	p->done += bytes;
	progress_tick(p);
}

/* "upload snap-0123: 2.8 GiB in 0:07, 412 MiB/s" */
static void show_final(const struct progress *p)
{
	char size_text[NUM_SIZE_TEXT], rate_text[NUM_SIZE_TEXT], time_text[TIME_SIZE];
	uint64_t ms = p->opts->now_ms() - p->start_ms;

	num_format_size(size_text, p->done);
	format_time(time_text, ms);
	if (ms > 0 && p->done > 0)
		log_info("%s: %s in %s, %s/s", p->what, size_text, time_text,
			num_format_size(rate_text, scale(p->done, 1000, ms)));
	else
		log_info("%s: %s in %s", p->what, size_text, time_text);
}

void progress_end(struct progress *p, bool ok)
{
	if (!p->open)
		return;
	p->open = false;
	if (is_silent(p))
		return;
	if (ok) {
		if (p->opts->tty)
			log_status_line(NULL);
		show_final(p);
	} else if (p->opts->tty) {
		show(p, p->opts->now_ms(), "\n");
	}
}
