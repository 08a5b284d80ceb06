/* SPDX-License-Identifier: Apache-2.0 */
/* Whether KVM is any good on this machine. */
#ifndef AMIWRIGHT_BASE_KVM_H
#define AMIWRIGHT_BASE_KVM_H

#include <stdbool.h>

/*
 * Whether KVM runs guests of this machine's own architecture, found by having QEMU run one of a few
 * instructions, once in a process: /dev/kvm being there proves nothing. Seen in nested machines: QEMU aborts when
 * it sets up a processor; simple instructions run, and a guest stands still for ever at its first of the
 * floating-point unit. *why: the reason when it does not, "" when it does; borrowed for ever. Thread-safe; takes
 * a tenth of a second, or ten seconds where a trial does not end.
 */
bool kvm_works(const char **why);

#endif
