/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from outside: global options, environment, clocks, randomness, signals, and the
 * connection to AWS or to the local region. This is the only place that calls getenv(),
 * clock_gettime() and getrandom(); everything below gets values.
 */
#ifndef AMIWRIGHT_BUILDER_CONTEXT_H
#define AMIWRIGHT_BUILDER_CONTEXT_H

#include "base/json.h"
#include "base/progress.h"
#include "builder/diag.h"
#include "builder/options.h"
#include "formats/format.h"
#include "uploader/aws.h"
#include "uploader/region/region.h"
#include "uploader/s3.h"

struct context_options {
	const char *region, *profile, *endpoint_url, *local;
	uint64_t workers;      /* 0: processors */
	uint64_t max_attempts; /* of one AWS call; 0: the environment's or profile's, else 8 */
	bool json, quiet, verbose, help;
};
extern const struct options_def context_option_defs[];

struct context {
	struct context_options opts;
	struct aws_env env;
	struct aws_clock clock;
	struct progress_opts progress;
	struct diag diag;       /* mistakes of a spec, printed whole by main */
	struct aws *aws;        /* the chosen region's client; NULL before context_aws() */
	int status;             /* exit status of a command that did its work: 1 for "they differ" */
	/* private: made by context_aws() */
	struct connection *connection;
	void (*disconnect)(struct context *ctx);
};

/* opts are set by the caller; installs signal handlers and the log level. Release in any case. */
int context_init(struct context *ctx, struct error *err) MUST_CHECK;
void context_release(struct context *ctx);

/*
 * The client for the chosen region, made at the first call: AWS by options, environment and
 * profile, or the local region (served in this process unless another one serves it). Borrowed.
 */
struct aws *context_aws(struct context *ctx, struct error *err) MUST_CHECK;
/*
 * The client for another region, with the same credentials: made once a region and kept. With
 * --local and --endpoint-url all regions share the endpoint. NULL is the chosen region. Borrowed.
 */
struct aws *context_aws_in(struct context *ctx, const char *region, struct error *err) MUST_CHECK;

/* The same for s3_open(), which finds a bucket's region. */
struct s3_regions context_s3_regions(struct context *ctx);

/* How a region in this process is to be started (--region is its name). */
struct region_opts context_region_opts(const struct context *ctx);

/* SOURCE_DATE_EPOCH, when it is set and not empty. ERROR_USAGE when it is no number. */
int context_epoch(struct context *ctx, bool *given, int64_t *epoch, struct error *err) MUST_CHECK;

/* TMPDIR when it is set, else NULL (then /var/tmp is used). */
const char *context_tmpdir(const struct context *ctx);

/* How images are read: workers, TMPDIR for what must be decompressed, progress, signals. */
struct format_read_opts context_read_opts(const struct context *ctx);
/* The disk of an image in any format that can be read, with a warning for one that looks like nothing. */
struct dev *context_open_disk(const struct context *ctx, const char *path, struct error *err) MUST_CHECK;

/*
 * The folder for what must outlive a run and belongs to no file of the user's:
 * $XDG_STATE_HOME/amiwright, else ~/.local/state/amiwright; made when it is not there. The caller's
 * to free.
 */
char *context_state_dir(const struct context *ctx, struct error *err) MUST_CHECK;

/* Threads for work that can be shared out: -j, else pool_default_workers(). */
unsigned context_workers(const struct context *ctx);
/* Milliseconds of a clock that only goes forward; seconds since 1970. */
uint64_t context_now_ms(void);
int64_t context_wall_s(void);
/* 0 when all len bytes are random. */
int context_random(void *buf, size_t len);

/* True after SIGINT or SIGTERM; a second one ends the process at once. */
bool context_cancelled(void);
/* ERROR_INTERRUPTED when context_cancelled(). */
int context_check(struct error *err) MUST_CHECK;
/* Sleeps until a signal asks to end. */
void context_wait_for_signal(void);

/* What standard output can show: whether it is a terminal, and columns, colours, UTF-8 there. */
struct context_screen {
	bool tty, color, unicode;
	int width;
};
/* Columns by COLUMNS, the terminal, else 80; no colours with NO_COLOR or on a dumb terminal. */
struct context_screen context_screen(const struct context *ctx);

/* Writes text to stdout; a failure (a full disk, a closed pipe) is an error. */
int context_print(const struct buf *text, struct error *err) MUST_CHECK;
/* The same of a text and a line's end. */
int context_print_line(const char *text, struct error *err) MUST_CHECK;
/* The same of a document, with line breaks and indented. */
int context_print_json(const struct json *doc, struct error *err) MUST_CHECK;

#endif
