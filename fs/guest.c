/* SPDX-License-Identifier: Apache-2.0 */
/* An appliance's life: made, started, asked why, ended. */
#include "fs/guest.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/kvm.h"
#include "base/log.h"
#include "base/num.h"
#include "base/text.h"
#include "fs/guest_private.h"

enum { LINE_MAX_LEN = 1000, REASON_SHOWN = 500 };
/* A start with KVM takes 5 s, and libguestfs makes the appliance before the first one. */
enum { KVM_START_S = 120 };

/* A start with KVM failed in this process, and one without it did not. */
static atomic_bool kvm_fails;

/* Lines may come in pieces; for a log that does not matter. Control characters are taken out. */
static void on_event(guestfs_h *h, void *opaque, uint64_t event, int handle, int flags,
	const char *text, size_t len, const uint64_t *array, size_t array_len)
{
	struct guest *g = opaque;
	char line[LINE_MAX_LEN];

	(void)h;
	(void)handle;
	(void)flags;
	(void)array;
	(void)array_len;
	for (size_t at = 0, n; at < len; at += n + 1) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t kept = 0;

		n = end ? (size_t)(end - text) - at : len - at;
		for (size_t i = 0; i < n && kept + 1 < sizeof(line); i++)
			if ((unsigned char)text[at + i] >= ' ')
				line[kept++] = text[at + i];
		line[kept] = '\0';
		if (kept == 0)
			continue;
		log_debug("libguestfs: %s", line);
		if (event == EVENT_APPLIANCE)
			snprintf(g->console, sizeof(g->console), "%.*s", GUEST_CONSOLE_KEPT - 1, line);
	}
}

int guest_check(const struct guest *g, struct error *err)
{
	if (g->opts.cancelled && g->opts.cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	if (!guest_watch_expired(g->watch))
		return 0;
	error_set(err, ERROR_IO, 0, "the appliance was not done after %u seconds", g->opts.limit_s);
	if (err)
		err->errnum = ETIMEDOUT;
	return -1;
}

/*
 * libguestfs's reason, its first line alone: behind it comes advice about its own programs. Of a
 * long one the end counts, where errno's text is.
 */
static int set_reason(struct guest *g, enum error_kind kind, struct error *err, const char *what)
{
	const char *why = guest_api.last_error(g->handle);
	size_t len, cut;

	if (!why)
		why = "no reason given";
	len = strcspn(why, "\n");
	cut = len > REASON_SHOWN ? len - REASON_SHOWN : 0;
	error_set(err, kind, 0, "%s: libguestfs: %s%.*s", what, cut ? "..." : "", (int)(len - cut),
		why + cut);
	if (err) {
		err->errnum = guest_api.last_errno(g->handle);
		text_make_printable(err->text); /* names of the image's own may be in it */
	}
	return -1;
}

int guest_error(struct guest *g, enum error_kind kind, struct error *err, const char *what)
{
	if (guest_check(g, err) < 0)
		return -1;
	if (!g->launched || guest_api.is_ready(g->handle) > 0)
		return set_reason(g, kind, err, what);
	set_reason(g, ERROR_IO, err, what);
	return error_wrap(err, "the appliance ended in the middle of its work (its last words: %s)",
		g->console[0] ? g->console : "none");
}

int guest_error_about(struct guest *g, struct error *err, const char *what, const char *name)
{
	CLEANUP_FREE char *text = buf_strf(err, "%s '%s'", what, name);

	return text ? guest_error(g, ERROR_INPUT, err, text) : -1;
}

/* First the handle, whose end takes qemu with it; the watch is what ends a qemu that does not go. */
static void free_guest(struct guest *g)
{
	if (g->handle)
		guest_api.close(g->handle);
	guest_watch_free(g->watch);
	free(g);
}

DEFINE_CLEANUP(guest, struct guest, free_guest)

static int set_up(struct guest *g, struct error *err)
{
	const struct guest_opts *o = &g->opts;

	guest_api.set_error_handler(g->handle, NULL, NULL);
	if (guest_api.set_event_callback(g->handle, on_event,
		    EVENT_APPLIANCE | EVENT_LIBRARY | EVENT_TRACE | EVENT_WARNING, 0, g) < 0 ||
		guest_api.set_backend(g->handle, "direct") < 0 ||
		(o->tmpdir && guest_api.set_tmpdir(g->handle, o->tmpdir) < 0) ||
		(o->memory_mib > (unsigned)MAX(guest_api.get_memsize(g->handle), 0) &&
			guest_api.set_memsize(g->handle, (int)o->memory_mib) < 0))
		return guest_error(g, ERROR_IO, err, "cannot set the appliance up");
	return 0;
}

static struct guest *new_guest(const struct guest_opts *opts, struct error *err)
{
	CLEANUP(guest_cleanup) struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return error_nomem(err, "an appliance"), NULL;
	if (guest_api_load(err) < 0)
		return NULL;
	g->opts = *opts;
	g->handle = guest_api.create();
	if (!g->handle)
		return error_nomem(err, "a libguestfs handle"), NULL;
	return set_up(g, err) < 0 ? NULL : steal_ptr(&g);
}

int guest_available(struct error *err)
{
	const struct guest_opts opts = {.limit_s = 0};
	CLEANUP(guest_cleanup) struct guest *g = new_guest(&opts, err);

	return g ? guest_check_parts(g->handle, err) : -1;
}

/* What an appliance is started with. */
struct disks {
	const char *image;  /* a raw file, to be written; or */
	const char *socket; /* of an NBD server, with nr exports */
	size_t nr;
};

/*
 * "unsafe": the guest's flushes cost nothing; the image is read by us alone, and through the same
 * page cache.
 */
static int add_image(struct guest *g, const char *image)
{
	return guest_api.add_drive_opts(g->handle, image, ADD_DRIVE_FORMAT, "raw", ADD_DRIVE_CACHEMODE,
		"unsafe", ADD_DRIVE_DISCARD, "enable", GUEST_API_END);
}

/*
 * What the kernel writes all the same (a journal that it replays) goes to an overlay of libguestfs's.
 * The format is named: qemu looks for no other one in what the exports hold.
 */
static int add_export(struct guest *g, const char *socket, size_t index)
{
	char server[200], name[24];
	char *servers[] = {server, NULL};

	snprintf(server, sizeof(server), "unix:%s", socket);
	snprintf(name, sizeof(name), "%zu", index);
	return guest_api.add_drive_opts(g->handle, name, ADD_DRIVE_READONLY, 1, ADD_DRIVE_FORMAT, "raw",
		ADD_DRIVE_PROTOCOL, "nbd", ADD_DRIVE_SERVER, servers, GUEST_API_END);
}

static int add_disks(struct guest *g, const struct disks *d)
{
	if (d->image)
		return add_image(g, d->image);
	for (size_t i = 0; i < d->nr; i++)
		if (add_export(g, d->socket, i) < 0)
			return -1;
	return 0;
}

static int try_start(struct guest *g, const struct disks *d, bool emulate, struct error *err)
{
	if ((emulate && guest_api.set_backend_setting(g->handle, "force_tcg", "1") < 0) ||
		add_disks(g, d) < 0)
		return guest_error(g, ERROR_IO, err, "cannot start an appliance");
	if (guest_api.launch(g->handle) == 0) {
		g->launched = true;
		return 0;
	}
	guest_error(g, ERROR_IO, err, "cannot start an appliance");
	if (err && err->kind == ERROR_IO && err->errnum != ETIMEDOUT && g->console[0]) {
		size_t len = strlen(err->text);

		snprintf(err->text + len, sizeof(err->text) - len, " (its last words: %s)",
			g->console);
	}
	return -1;
}

/* The watch stays the caller's. */
static struct guest *start_once(const struct disks *d, const struct guest_opts *opts,
	struct guest_watch *watch, bool emulate, struct error *err)
{
	struct guest *g = new_guest(opts, err);

	if (!g)
		return NULL;
	g->watch = watch;
	if (guest_check_parts(g->handle, err) == 0 && guest_check(g, err) == 0 &&
		try_start(g, d, emulate, err) == 0)
		return g;
	g->watch = NULL;
	free_guest(g);
	return NULL;
}

static struct guest *start(const struct disks *d, const struct guest_opts *opts, struct error *err)
{
	const char *why = "it does not start with KVM";
	bool emulate = atomic_load(&kvm_fails) || !kvm_works(&why);
	struct guest_watch *watch = guest_watch_new(opts, err);
	struct error first = ERROR_INIT;
	struct guest *g;

	if (!watch)
		return NULL;
	if (emulate)
		log_debug("the appliance runs under emulation: %s", why);
	if (!emulate)
		guest_watch_start_within(watch, KVM_START_S);
	g = start_once(d, opts, watch, emulate, &first);
	guest_watch_start_within(watch, 0);
	if (!g && !emulate && first.kind == ERROR_IO && !guest_watch_expired(watch)) {
		log_info("the appliance does not start with KVM; going on under emulation");
		log_debug("%s", first.text);
		g = start_once(d, opts, watch, true, &first);
		atomic_store(&kvm_fails, g != NULL);
	}
	if (g)
		return g;
	guest_watch_free(watch);
	if (err)
		*err = first;
	return NULL;
}

struct guest *guest_start(const char *image, const struct guest_opts *opts, struct error *err)
{
	const struct disks d = {.image = image};

	return start(&d, opts, err);
}

struct guest *guest_start_served(const char *socket, size_t nr, const struct guest_opts *opts,
	struct error *err)
{
	const struct disks d = {.socket = socket, .nr = nr};

	return start(&d, opts, err);
}

/* Letters count as the kernel has them: sdz is followed by sdaa. */
const char *guest_disk_name(char out[GUEST_DISK_NAME], size_t index)
{
	if (index < 26)
		snprintf(out, GUEST_DISK_NAME, "/dev/sd%c", (char)('a' + index));
	else
		snprintf(out, GUEST_DISK_NAME, "/dev/sd%c%c", (char)('a' + index / 26 - 1),
			(char)('a' + index % 26));
	return out;
}

int guest_mount(struct guest *g, const char *options, struct error *err)
{
	if (guest_check(g, err) < 0)
		return -1;
	if (guest_api.mount_options(g->handle, options, "/dev/sda", "/") < 0)
		return guest_error(g, ERROR_IO, err, "cannot mount the new file system");
	return 0;
}

/* Opened by name a pipe is the same pipe. */
int guest_tar_in(struct guest *g, int fd, struct error *err)
{
	const char *why;
	char name[40];

	if (guest_check(g, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	if (guest_api.tar_in_opts(g->handle, name, "/", TAR_IN_XATTRS, 1, TAR_IN_ACLS, 1,
		    GUEST_API_END) == 0)
		return 0;
	why = guest_api.last_error(g->handle);
	if (!why || !strstr(why, "No space left on device"))
		return guest_error(g, ERROR_IO, err, "cannot fill the new file system");
	guest_error(g, ERROR_INPUT, err, "the new file system is full");
	if (err)
		err->errnum = ENOSPC;
	return -1;
}

int guest_trim(struct guest *g, struct error *err)
{
	if (guest_check(g, err) < 0)
		return -1;
	if (guest_api.fstrim(g->handle, "/", GUEST_API_END) < 0)
		return guest_error(g, ERROR_IO, err, "cannot discard the free space");
	return 0;
}

int guest_stop(struct guest *g, struct error *err)
{
	int ret = guest_check(g, err);

	if (ret == 0 && (guest_api.umount_all(g->handle) < 0 || guest_api.shutdown(g->handle) < 0))
		ret = guest_error(g, ERROR_IO, err, "cannot end the appliance");
	free_guest(g);
	return ret;
}

void guest_abort(struct guest *g)
{
	if (g)
		free_guest(g);
}
