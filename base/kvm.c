/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trial's guest is a firmware image in a memfd, which QEMU gets as its standard input. It runs below
 * coreutils' timeout(1): a guest that stands still would outlive us if we were killed meanwhile.
 */
#include "base/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/program.h"
#include "base/spawn.h"

#define KILLED_AFTER_S "20"

enum { ROM_SIZE = 65536, STEP_MS = 100, STEPS = 100, SAID = 4096, WHY = 200 };

#if defined(__x86_64__)
/*
 * 16 bytes before the end of the image (Intel SDM, volume 3, 10.1.4, first instruction executed):
 * fwait; fninit; mov $42,%al; out %al,$0xf4; hlt. The port is that of isa-debug-exit, which makes 42 the exit
 * status 85.
 */
#define QEMU "qemu-system-x86_64"
static const uint8_t code[] = {0x9b, 0xdb, 0xe3, 0xb0, 0x2a, 0xe6, 0xf4, 0xf4};
enum { CODE_OFF = ROM_SIZE - 16, RIGHT = 85 };
#define MACHINE "q35", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"
#elif defined(__aarch64__)
/* At the image's start: PSCI's SYSTEM_OFF (0x84000008; Arm DEN0022, 5.10) by hvc #0. */
#define QEMU "qemu-system-aarch64"
static const uint8_t code[] = {0x00, 0x01, 0x80, 0x52, 0x00, 0x80, 0xb0, 0x72, 0x02, 0x00, 0x00, 0xd4, 0x00, 0x00,
	0x00, 0x14};
enum { CODE_OFF = 0, RIGHT = 0 };
#define MACHINE "virt,gic-version=max"
#endif

static char reason[WHY];

#ifdef QEMU

static int make_rom(void)
{
	int fd = memfd_create("trial", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, ROM_SIZE) == 0 &&
		file_pwrite_all(fd, code, sizeof(code), CODE_OFF, "trial", NULL) == 0)
		return fd;
	cleanup_close_p(&fd);
	return -1;
}

static pid_t start(const char *qemu, int rom, int messages)
{
	static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
	const char *const argv[] = {"timeout", "-s", "KILL", KILLED_AFTER_S, qemu, "-nodefaults",
		"-no-user-config", "-display", "none", "-accel", "kvm", "-cpu", "host", "-m", "64", "-smp", "2",
		"-bios", "/proc/self/fd/0", "-monitor", "none", "-serial", "none", "-machine", MACHINE, NULL};
	const struct spawn_opts how = {.file = argv[0], .argv = argv, .environment = environment, .in = rom,
		.out = messages, .messages = messages};
	pid_t pid;

	return spawn_program(&how, &pid) ? -1 : pid;
}

/* Adds what QEMU has said to text; false when it has ended. */
static bool listen_to(int fd, char text[SAID], size_t *len)
{
	struct pollfd p = {fd, POLLIN, 0};
	ssize_t n;

	if (poll(&p, 1, STEP_MS) <= 0)
		return true;
	n = read(fd, text + *len, SAID - 1 - *len);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	*len += (size_t)n;
	text[*len] = '\0';
	return *len < SAID - 1;
}

/* Until it ends, says that KVM has failed, or the time is over (late): then it might never end. */
static bool wait_for(pid_t pid, int messages, char text[SAID], bool *late)
{
	bool runs = true;
	size_t len = 0;
	int status;

	for (int i = 0; i < STEPS && runs && !strstr(text, "KVM internal error"); i++)
		runs = listen_to(messages, text, &len);
	*late = runs;
	/* Who has closed the pipe is ending, but not yet at its end. */
	if (*late)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return !*late && WIFEXITED(status) && WEXITSTATUS(status) == RIGHT;
}

static void try(void)
{
	CLEANUP_FREE char *program = program_find(QEMU, NULL);
	CLEANUP_CLOSE int rom = -1;
	int ends[2];
	char text[SAID] = "";
	pid_t pid;
	bool works, late = false;

	if (!program)
		snprintf(reason, sizeof(reason), "there is no '%s' to try it", QEMU);
	else if (access("/dev/kvm", R_OK | W_OK) < 0)
		snprintf(reason, sizeof(reason), "/dev/kvm: %s", strerror(errno));
	else if ((rom = make_rom()) < 0 || pipe2(ends, O_CLOEXEC) < 0)
		snprintf(reason, sizeof(reason), "a trial cannot be made: %s", strerror(errno));
	if (reason[0])
		return;
	pid = start(program, rom, ends[1]);
	close(ends[1]);
	works = pid > 0 && wait_for(pid, ends[0], text, &late);
	close(ends[0]);
	/* The later lines are where in QEMU it happened. */
	text[strcspn(text, "\r\n")] = '\0';
	if (!works)
		snprintf(reason, sizeof(reason), "%.190s",
			text[0] ? text : late ? "a trial did not end" : "a trial failed");
}

#else

static void try(void)
{
	snprintf(reason, sizeof(reason), "not on this architecture");
}

#endif

bool kvm_works(const char **why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, try);
	*why = reason;
	return !reason[0];
}
