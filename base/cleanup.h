/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound cleanup for locals and hand-over of ownership. A type that wants it defines
 * `static inline void x_cleanup(struct x **p)` (or uses DEFINE_CLEANUP) and its users write
 * `CLEANUP(x_cleanup) struct x *x = NULL;`.
 */
#ifndef AMIWRIGHT_BASE_CLEANUP_H
#define AMIWRIGHT_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Defines NAME_cleanup(TYPE **) that calls FREE on a non-NULL pointer. */
#define DEFINE_CLEANUP(name, type, free_fn)                                                        \
	static inline void name##_cleanup(type **p)                                                \
	{                                                                                          \
		if (*p)                                                                            \
			free_fn(*p);                                                               \
	}

static inline void cleanup_free_p(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/* free() at scope end. */
#define CLEANUP_FREE CLEANUP(cleanup_free_p)
/* close() at scope end unless negative; for descriptors that were only read. */
#define CLEANUP_CLOSE CLEANUP(cleanup_close_p)

static inline void *steal_ptr_p(void *pp)
{
	void **slot = (void **)pp;
	void *value = *slot;

	*slot = NULL;
	return value;
}

/*
 * Takes the pointer out of a variable with cleanup: the value is returned, the variable becomes
 * NULL.
 */
#define steal_ptr(pp) ((__typeof__(*(pp)))steal_ptr_p(pp))

static inline int steal_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

#endif
