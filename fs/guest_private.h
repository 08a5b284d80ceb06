/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the appliance share: the handle, errors, who ends it when it takes too long. */
#ifndef AMIWRIGHT_FS_GUEST_PRIVATE_H
#define AMIWRIGHT_FS_GUEST_PRIVATE_H

#include "fs/guest.h"
#include "fs/guest_api.h"

/* Bytes of what the appliance or qemu said last that are kept to say why it did not start. */
enum { GUEST_CONSOLE_KEPT = 300 };

struct guest_watch;

struct guest {
	guestfs_h *handle;
	struct guest_opts opts;
	struct guest_watch *watch;
	bool launched;
	char console[GUEST_CONSOLE_KEPT]; /* NUL-terminated */
};

/*
 * libguestfs's reason behind `what`. The kind is what the caller thinks of it, but an appliance that
 * ended, was ended, or was given no more time is ERROR_IO or ERROR_INTERRUPTED: it says nothing about the image.
 */
int guest_error(struct guest *g, enum error_kind kind, struct error *err, const char *what);
/* The same for what was done with a path or a device: "cannot read '/etc'". */
int guest_error_about(struct guest *g, struct error *err, const char *what, const char *name);
/* ERROR_INTERRUPTED or ERROR_IO when nothing is to be begun any more. */
int guest_check(const struct guest *g, struct error *err) MUST_CHECK;

/*
 * What guest_available() asks (guest.h), of a handle: ERROR_USAGE names what is missing and the
 * package or command that cures it.
 */
int guest_check_parts(guestfs_h *g, struct error *err) MUST_CHECK;

/*
 * libguestfs's calls wait for its appliance as long as that takes. A watch looks a few times a second
 * whether the user wants to stop or the time is over, and then ends the processes that the calling
 * thread has started since, and theirs: supermin, qemu and those that look after it. The call then returns with
 * an error. It keeps ending them until it is freed; freeing is for the thread that made it.
 */
struct guest_watch *guest_watch_new(const struct guest_opts *opts, struct error *err) MUST_CHECK;
/*
 * The start that comes next has so many seconds from now on, then it is ended; 0: as many as it wants, and
 * what is ended is ended no longer.
 */
void guest_watch_start_within(struct guest_watch *w, unsigned seconds);
/* Whether the time is over. */
bool guest_watch_expired(const struct guest_watch *w);
/* NULL is fine. */
void guest_watch_free(struct guest_watch *w);

#endif
