// SPDX-License-Identifier: MIT
//
// vnf-init: the first process of a lab's PID namespace.
//
// Every process of the lab lives in that namespace, so when this one ends, the kernel ends them
// all. It ends when its lifeline, a pipe held by the emulator, is closed: that happens however the
// emulator dies. A byte on the lifeline asks for a gentle end: SIGTERM to all, then a short grace.
//
// Usage: vnf-init LIFELINE_FD READY_FD [HOSTS_FILE]
// READY_FD receives one byte when all is set up, or is closed without one.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 1000 };

static int fail(const char *what) {
    fprintf(stderr, "vnf-init: %s: %s\n", what, strerror(errno));
    return 1;
}

static void end_gently(void) {
    const struct timespec pause = {.tv_nsec = 1000000};

    if (kill(-1, SIGTERM) < 0)
        return;
    for (int waited_ms = 0; waited_ms < GRACE_MS; waited_ms++) {
        if (kill(-1, 0) < 0 && errno == ESRCH)
            return;
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv) {
    char request;
    ssize_t got;
    int lifeline, ready;

    if (argc < 3) {
        fprintf(stderr, "usage: vnf-init LIFELINE_FD READY_FD [HOSTS_FILE]\n");
        return 2;
    }
    lifeline = atoi(argv[1]);
    ready = atoi(argv[2]);

    // Children that lose their parent come here; ignoring the signal has the kernel reap them.
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (prctl(PR_SET_NAME, "vnf-init") < 0)
        return fail("naming the process");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return fail("mounting /proc for the lab");
    if (argc > 3 && mount(argv[3], "/etc/hosts", NULL, MS_BIND, NULL) < 0)
        return fail("showing the lab's names in /etc/hosts");
    if (write(ready, "r", 1) != 1)
        return fail("reporting readiness");
    close(ready);

    do {
        got = read(lifeline, &request, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1)
        end_gently();
    return 0;
}
