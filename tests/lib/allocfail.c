/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replaced malloc family: glibc's own under its other names, and a count in front. The counters
 * are plain thread-local variables of the program, which need no allocation to be reached.
 */
#include "tests/lib/allocfail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local bool counting, failed;
static _Thread_local unsigned countdown;
static _Thread_local long live;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#ifndef SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *p);

static bool must_fail(void)
{
	if (!counting || countdown == 0 || --countdown > 0)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	if (counting && p)
		live++;
	return p;
}

void *malloc(size_t size)
{
	return must_fail() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t nr, size_t size)
{
	return must_fail() ? NULL : counted(__libc_calloc(nr, size));
}

void *realloc(void *old, size_t size)
{
	void *p;

	if (must_fail())
		return NULL;
	p = __libc_realloc(old, size);
	return old ? p : counted(p);
}

void free(void *p)
{
	if (counting && p)
		live--;
	__libc_free(p);
}

bool allocfail_available(void)
{
	return true;
}
#else
bool allocfail_available(void)
{
	return false;
}
#endif

void allocfail_begin(unsigned nth)
{
	countdown = nth;
	failed = false;
	live = 0;
	counting = true;
}

bool allocfail_end(long *balance)
{
	counting = false;
	*balance = live;
	return failed;
}

bool allocfail_torture(int (*fn)(struct error *err))
{
	if (!allocfail_available())
		return true;
	for (unsigned nth = 1;; nth++) {
		struct error err = ERROR_INIT;
		bool hit;
		long balance;
		int ret;

		allocfail_begin(nth);
		ret = fn(&err);
		hit = allocfail_end(&balance);
		if (balance != 0 || ret != (hit ? -1 : 0) || (hit && err.kind != ERROR_NOMEM)) {
			fprintf(stderr, "allocation %u %s: result %d, kind %d, '%s', %ld left\n",
				nth, hit ? "failed" : "was not needed", ret, (int)err.kind,
				err.text, balance);
			return false;
		}
		if (!hit)
			return true;
	}
}
