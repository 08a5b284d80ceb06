/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libguestfs by function pointers. What is declared here is as in guestfs(3) and is kept stable by
 * its authors (one soname since 2009); optional arguments are pairs of number and value, ended
 * by -1.
 */
#include "fs/guest.h"

#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/num.h"
#include "base/program.h"

typedef struct guestfs_h guestfs_h;

enum { END_OF_OPTIONS = -1 };
enum { ADD_DRIVE_FORMAT = 1, ADD_DRIVE_CACHEMODE = 9, ADD_DRIVE_DISCARD = 10 };
enum { TAR_IN_XATTRS = 1, TAR_IN_ACLS = 3 };
enum { FOLLOW_SYMLINKS = 0 };
enum { EVENT_APPLIANCE = 0x10, EVENT_LIBRARY = 0x20, EVENT_TRACE = 0x40, EVENT_WARNING = 0x200 };
/* Lines of the appliance's console that are kept to say why it did not start. */
enum { CONSOLE_KEPT = 300, LINE_MAX_LEN = 1000, REASON_SHOWN = 500 };

typedef void (*event_fn)(guestfs_h *g, void *opaque, uint64_t event, int handle, int flags,
	const char *text, size_t len, const uint64_t *array, size_t array_len);
/* Layout: guestfs(3), STRUCTURES. */
struct guestfs_statvfs {
	int64_t bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax;
};

typedef void (*error_fn)(guestfs_h *g, void *opaque, const char *text);

static struct {
	guestfs_h *(*create)(void);
	void (*close)(guestfs_h *g);
	const char *(*last_error)(guestfs_h *g);
	int (*last_errno)(guestfs_h *g);
	void (*set_error_handler)(guestfs_h *g, error_fn fn, void *opaque);
	int (*set_event_callback)(
		guestfs_h *g, event_fn fn, uint64_t events, int flags, void *opaque);
	int (*set_backend)(guestfs_h *g, const char *name);
	int (*set_backend_setting)(guestfs_h *g, const char *name, const char *value);
	const char *(*get_path)(guestfs_h *g);
	char *(*get_hv)(guestfs_h *g);
	int (*add_drive_opts)(guestfs_h *g, const char *file, ...);
	int (*launch)(guestfs_h *g);
	int (*mount_options)(
		guestfs_h *g, const char *options, const char *device, const char *mountpoint);
	int (*tar_in_opts)(guestfs_h *g, const char *tar, const char *dir, ...);
	int (*fstrim)(guestfs_h *g, const char *mountpoint, ...);
	int (*mount_ro)(guestfs_h *g, const char *device, const char *mountpoint);
	int (*is_file_opts)(guestfs_h *g, const char *path, ...);
	int (*is_dir_opts)(guestfs_h *g, const char *path, ...);
	int (*exists)(guestfs_h *g, const char *path);
	int64_t (*filesize)(guestfs_h *g, const char *path);
	char *(*pread)(guestfs_h *g, const char *path, int count, int64_t off, size_t *size);
	char **(*ls)(guestfs_h *g, const char *path);
	struct guestfs_statvfs *(*statvfs)(guestfs_h *g, const char *path);
	void (*free_statvfs)(struct guestfs_statvfs *s);
	int (*umount_all)(guestfs_h *g);
	int (*shutdown)(guestfs_h *g);
} api;

#define ENTRY(name) {"guestfs_" #name, (void **)&api.name}

/* POSIX has functions come as `void *` from dlsym(). */
static const struct {
	const char *name;
	void **slot;
} entries[] = {ENTRY(create), ENTRY(close), ENTRY(last_error), ENTRY(last_errno),
	ENTRY(set_error_handler), ENTRY(set_event_callback), ENTRY(set_backend),
	ENTRY(set_backend_setting), ENTRY(get_path), ENTRY(get_hv), ENTRY(add_drive_opts),
	ENTRY(launch), ENTRY(mount_options), ENTRY(tar_in_opts), ENTRY(fstrim), ENTRY(mount_ro), ENTRY(is_file_opts),
	ENTRY(is_dir_opts), ENTRY(exists), ENTRY(filesize), ENTRY(pread), ENTRY(ls), ENTRY(statvfs),
	ENTRY(free_statvfs), ENTRY(umount_all),
	ENTRY(shutdown)};

struct guest {
	guestfs_h *handle;
	bool (*cancelled)(void);
	char console[CONSOLE_KEPT]; /* the last that the appliance or qemu said, NUL-terminated */
};

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;
/* A start with KVM failed in this process, and one without it did not. */
static atomic_bool kvm_fails;

static int load_locked(struct error *err)
{
	void *lib;

	if (loaded)
		return 0;
	lib = dlopen("libguestfs.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return error_set(err, ERROR_USAGE, 0,
			"cannot load libguestfs, which works on this file system; install libguestfs0 (%s)",
			dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		*entries[i].slot = dlsym(lib, entries[i].name);
		if (*entries[i].slot)
			continue;
		dlclose(lib);
		return error_set(err, ERROR_USAGE, 0,
			"the libguestfs that is installed lacks %s(); 1.40 or later is wanted",
			entries[i].name);
	}
	loaded = true; /* it stays loaded: it has handlers of its own for the end of the process */
	return 0;
}

static int load(struct error *err)
{
	int ret;

	pthread_mutex_lock(&load_lock);
	ret = load_locked(err);
	pthread_mutex_unlock(&load_lock);
	return ret;
}

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
			snprintf(g->console, sizeof(g->console), "%.*s", CONSOLE_KEPT - 1, line);
	}
}

/*
 * libguestfs's reason, its first line alone: behind it comes advice about its own programs. Of a
 * long one the end counts, where errno's text is.
 */
static int guest_error(struct guest *g, enum error_kind kind, struct error *err, const char *what)
{
	const char *why = api.last_error(g->handle);
	size_t len, cut;

	if (g->cancelled && g->cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	if (!why)
		why = "no reason given";
	len = strcspn(why, "\n");
	cut = len > REASON_SHOWN ? len - REASON_SHOWN : 0;
	error_set(err, kind, 0, "%s: libguestfs: %s%.*s", what, cut ? "..." : "", (int)(len - cut),
		why + cut);
	if (err)
		err->errnum = api.last_errno(g->handle);
	return -1;
}

static int check_cancelled(const struct guest *g, struct error *err)
{
	if (g->cancelled && g->cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	return 0;
}

static void free_guest(struct guest *g)
{
	if (g->handle)
		api.close(g->handle);
	free(g);
}

DEFINE_CLEANUP(guest, struct guest, free_guest)

static struct guest *new_guest(bool (*cancelled)(void), struct error *err)
{
	CLEANUP(guest_cleanup) struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return error_nomem(err, "an appliance"), NULL;
	if (load(err) < 0)
		return NULL;
	g->cancelled = cancelled;
	g->handle = api.create();
	if (!g->handle)
		return error_nomem(err, "a libguestfs handle"), NULL;
	api.set_error_handler(g->handle, NULL, NULL);
	if (api.set_event_callback(g->handle, on_event,
		    EVENT_APPLIANCE | EVENT_LIBRARY | EVENT_TRACE | EVENT_WARNING, 0, g) < 0 ||
		api.set_backend(g->handle, "direct") < 0) {
		guest_error(g, ERROR_IO, err, "cannot set the appliance up");
		return NULL;
	}
	return steal_ptr(&g);
}

static bool can_read(const char *dir, const char *name)
{
	char path[1024];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       access(path, R_OK) == 0;
}

/* Whether a file of that pattern can be read; *found when there is one at all. */
static bool any_readable(const char *pattern, bool *found)
{
	glob_t g;
	bool readable = false;

	if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return false;
	for (size_t i = 0; i < g.gl_pathc; i++)
		readable = readable || access(g.gl_pathv[i], R_OK) == 0;
	*found = *found || g.gl_pathc > 0;
	globfree(&g);
	return readable;
}

/* supermin takes a kernel of the host, from where distributions put them. */
static int check_supermin(struct error *err)
{
	bool found = false;

	if (program_need("supermin", "supermin", err) < 0)
		return error_wrap(err, "libguestfs makes its appliance by supermin");
	if (any_readable("/boot/vmlinu?-*", &found) ||
		any_readable("/lib/modules/*/vmlinuz", &found))
		return 0;
	if (found)
		return error_set(err, ERROR_USAGE, 0,
			"libguestfs needs a kernel for its appliance, and those in /boot may not be "
			"read by this user; 'sudo chmod 0644 /boot/vmlinuz-*' cures it");
	return error_set(err, ERROR_USAGE, 0,
		"libguestfs needs a kernel for its appliance, and there is none in /boot; install "
		"linux-image-cloud-amd64 (Debian; it need not be booted) or linux-image-kvm (Ubuntu)");
}

/* The first folder of the path that has an appliance counts, ready-made or as parts. */
static int check_appliance(struct guest *g, struct error *err)
{
	const char *path = api.get_path(g->handle);
	char dir[900];

	for (const char *p = path ? path : ""; *p;) {
		size_t len = strcspn(p, ":");

		snprintf(dir, sizeof(dir), "%.*s", (int)len, p);
		if (can_read(dir, "supermin.d"))
			return check_supermin(err);
		if (can_read(dir, "kernel") && can_read(dir, "initrd") && can_read(dir, "root"))
			return 0;
		p += len + (p[len] == ':');
	}
	return error_set(err, ERROR_USAGE, 0,
		"libguestfs has no appliance in '%s'; install libguestfs0", path ? path : "");
}

static int check_hypervisor(struct guest *g, struct error *err)
{
	CLEANUP_FREE char *hv = api.get_hv(g->handle);

	if (!hv || access(hv, X_OK) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"libguestfs needs '%s' for its appliance; install qemu-system-x86 "
			"(qemu-system-arm on arm64)", hv ? hv : "qemu");
	return 0;
}

static int check_parts(struct guest *g, struct error *err)
{
	return check_appliance(g, err) < 0 || check_hypervisor(g, err) < 0 ? -1 : 0;
}

int guest_available(struct error *err)
{
	CLEANUP(guest_cleanup) struct guest *g = new_guest(NULL, err);

	return g ? check_parts(g, err) : -1;
}

/*
 * "unsafe": the guest's flushes cost nothing; the image is read by us alone, and through the same
 * page cache.
 */
static int try_start(struct guest *g, const char *image, bool emulate, struct error *err)
{
	if (emulate && api.set_backend_setting(g->handle, "force_tcg", "1") < 0)
		return guest_error(g, ERROR_IO, err, "cannot start an appliance");
	if (api.add_drive_opts(g->handle, image, ADD_DRIVE_FORMAT, "raw", ADD_DRIVE_CACHEMODE,
		    "unsafe", ADD_DRIVE_DISCARD, "enable", END_OF_OPTIONS) < 0)
		return guest_error(g, ERROR_IO, err, "cannot start an appliance");
	if (api.launch(g->handle) == 0)
		return 0;
	guest_error(g, ERROR_IO, err, "cannot start an appliance");
	if (err && err->kind == ERROR_IO && g->console[0]) {
		size_t len = strlen(err->text);

		snprintf(err->text + len, sizeof(err->text) - len, " (its last words: %s)",
			g->console);
	}
	return -1;
}

static struct guest *start(const char *image, bool (*cancelled)(void), bool emulate,
	struct error *err)
{
	CLEANUP(guest_cleanup) struct guest *g = new_guest(cancelled, err);

	if (!g || check_parts(g, err) < 0 || check_cancelled(g, err) < 0 ||
		try_start(g, image, emulate, err) < 0)
		return NULL;
	return steal_ptr(&g);
}

struct guest *guest_start(const char *image, bool (*cancelled)(void), struct error *err)
{
	bool emulate = atomic_load(&kvm_fails) || access("/dev/kvm", R_OK | W_OK) < 0;
	struct error first = ERROR_INIT;
	struct guest *g = start(image, cancelled, emulate, &first);

	if (!g && !emulate && first.kind == ERROR_IO) {
		log_info("the appliance does not start with KVM; going on under emulation");
		log_debug("%s", first.text);
		g = start(image, cancelled, true, &first);
		atomic_store(&kvm_fails, g != NULL);
	}
	if (!g && err)
		*err = first;
	return g;
}

int guest_mount(struct guest *g, const char *options, struct error *err)
{
	if (check_cancelled(g, err) < 0)
		return -1;
	if (api.mount_options(g->handle, options, "/dev/sda", "/") < 0)
		return guest_error(g, ERROR_IO, err, "cannot mount the new file system");
	return 0;
}

/* Opened by name a pipe is the same pipe. */
int guest_tar_in(struct guest *g, int fd, struct error *err)
{
	const char *why;
	char name[40];

	if (check_cancelled(g, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	if (api.tar_in_opts(g->handle, name, "/", TAR_IN_XATTRS, 1, TAR_IN_ACLS, 1,
		    END_OF_OPTIONS) == 0)
		return 0;
	why = api.last_error(g->handle);
	if (!why || !strstr(why, "No space left on device"))
		return guest_error(g, ERROR_IO, err, "cannot fill the new file system");
	guest_error(g, ERROR_INPUT, err, "the new file system is full");
	if (err)
		err->errnum = ENOSPC;
	return -1;
}

int guest_trim(struct guest *g, struct error *err)
{
	if (check_cancelled(g, err) < 0)
		return -1;
	if (api.fstrim(g->handle, "/", END_OF_OPTIONS) < 0)
		return guest_error(g, ERROR_IO, err, "cannot discard the free space");
	return 0;
}

int guest_mount_ro(struct guest *g, struct error *err)
{
	if (check_cancelled(g, err) < 0)
		return -1;
	if (api.mount_ro(g->handle, "/dev/sda", "/") < 0)
		return guest_error(g, ERROR_INPUT, err, "cannot be mounted");
	return 0;
}

static int path_error(struct guest *g, const char *path, struct error *err)
{
	CLEANUP_FREE char *what = buf_strf(err, "cannot read '%s'", path);

	return what ? guest_error(g, ERROR_INPUT, err, what) : -1;
}

int guest_stat(struct guest *g, const char *path, enum reader_kind *kind, uint64_t *size,
	struct error *err)
{
	int is;

	*size = 0;
	*kind = READER_FILE;
	if (check_cancelled(g, err) < 0)
		return -1;
	is = api.is_file_opts(g->handle, path, FOLLOW_SYMLINKS, 1, END_OF_OPTIONS);
	if (is > 0) {
		int64_t bytes = api.filesize(g->handle, path);

		*size = bytes > 0 ? (uint64_t)bytes : 0;
		return bytes < 0 ? path_error(g, path, err) : 0;
	}
	*kind = READER_FOLDER;
	if (is == 0)
		is = api.is_dir_opts(g->handle, path, FOLLOW_SYMLINKS, 1, END_OF_OPTIONS);
	if (is == 0) {
		is = api.exists(g->handle, path);
		*kind = is > 0 ? READER_OTHER : READER_NONE;
	}
	return is < 0 ? path_error(g, path, err) : 0;
}

int guest_pread(struct guest *g, const char *path, uint64_t off, size_t max, struct buf *out,
	size_t *got, struct error *err)
{
	CLEANUP_FREE char *data = NULL;

	if (check_cancelled(g, err) < 0)
		return -1;
	data = api.pread(g->handle, path, (int)max, (int64_t)off, got);
	return data ? buf_add(out, data, *got, err) : path_error(g, path, err);
}

int guest_list(struct guest *g, const char *path, reader_name_fn each, void *arg, struct error *err)
{
	char **names;
	int ret = check_cancelled(g, err);

	if (ret < 0)
		return -1;
	names = api.ls(g->handle, path);
	if (!names)
		return path_error(g, path, err);
	for (size_t i = 0; names[i]; i++) {
		if (ret == 0)
			ret = each(arg, names[i], err);
		free(names[i]);
	}
	free(names);
	return ret;
}

int guest_usage(struct guest *g, uint64_t *size, uint64_t *used, struct error *err)
{
	struct guestfs_statvfs *s;

	if (check_cancelled(g, err) < 0)
		return -1;
	s = api.statvfs(g->handle, "/");
	if (!s)
		return guest_error(g, ERROR_INPUT, err, "cannot tell its space");
	*size = (uint64_t)s->blocks * (uint64_t)s->frsize;
	*used = (uint64_t)(s->blocks - s->bfree) * (uint64_t)s->frsize;
	api.free_statvfs(s);
	return 0;
}

int guest_stop(struct guest *g, struct error *err)
{
	int ret = check_cancelled(g, err);

	if (ret == 0 && (api.umount_all(g->handle) < 0 || api.shutdown(g->handle) < 0))
		ret = guest_error(g, ERROR_IO, err, "cannot end the appliance");
	free_guest(g);
	return ret;
}

void guest_abort(struct guest *g)
{
	if (g)
		free_guest(g);
}
