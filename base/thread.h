/* SPDX-License-Identifier: Apache-2.0 */
/* Threads beside the main one. */
#ifndef AMIWRIGHT_BASE_THREAD_H
#define AMIWRIGHT_BASE_THREAD_H

#include <pthread.h>

/*
 * Starts run(arg) with all signals blocked: they are the main thread's, which would wait on if another took them.
 * Gives 0, or a number of errno; then nothing was started. Who started it joins it.
 */
int thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
