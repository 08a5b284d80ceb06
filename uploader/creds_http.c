/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the surroundings of this machine: link-local addresses, plain http, no proxy, short
 * timeouts. Each has a client of its own: they are rare, and run beside the transfers.
 */
#include <poll.h>

#include "base/num.h"
#include "uploader/creds_internal.h"

enum { POLL_MS = 100 };

static void note_done(struct http_request *req, void *arg)
{
	(void)req;
	*(bool *)arg = true;
}

static int run(struct http_client *c, struct http_request *req, struct error *err)
{
	bool done = false;

	req->done = note_done;
	req->arg = &done;
	if (http_start(c, req, err) < 0)
		return -1;
	while (!done) {
		if (creds_cancelled()) {
			http_cancel(c, req);
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		}
		if (http_run(c, POLL_MS, -1, err) < 0)
			return -1;
	}
	if (req->status != 0)
		return 0;
	if (err)
		*err = req->failure;
	return -1;
}

int creds_http_run(const struct creds_world *w, unsigned timeout_ms, struct http_request *req,
	struct error *err)
{
	struct http_opts opts = w->http;
	struct http_client *c;
	int ret;

	opts.direct = true;
	opts.allow_plain_http = true;
	opts.connect_ms = timeout_ms;
	opts.attempt_ms = timeout_ms;
	opts.stall_ms = timeout_ms;
	c = http_client_new(&opts, err);
	if (!c)
		return -1;
	ret = run(c, req, err);
	http_client_free(c);
	return ret;
}

void creds_http_pause(unsigned ms)
{
	while (ms > 0 && !creds_cancelled()) {
		unsigned step = MIN(ms, (unsigned)POLL_MS);

		poll(NULL, 0, (int)step);
		ms -= step;
	}
}
