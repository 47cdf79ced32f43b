// SPDX-License-Identifier: MIT
//
// vnf-join: becomes a program that is limited from its first instruction.
//
// It joins control groups, takes a real-time priority if it is given one, and only then becomes
// the program; so neither the program nor a child of it ever runs outside of its limits.
//
// Usage: vnf-join SELF TROUBLE PRIORITY GROUPS GROUP... PROGRAM ARGUMENT...
// SELF is the descriptor of its own file, by which it is found whatever folders a node sees.
// TROUBLE is one that receives errno, as four bytes, when any of it fails, and is closed without a
// byte when the program runs. PRIORITY is that of SCHED_RR, 0 for none. GROUPS says how
// many GROUPs follow: descriptors of their cgroup.procs. ARGUMENTs begin with the program's name.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_GROUP = 5, FAILED = 127 };

static int fail(int trouble) {
    int error = errno;

    (void)!write(trouble, &error, sizeof(error));
    return FAILED;
}

int main(int argc, char **argv) {
    if (argc < FIRST_GROUP) {
        fprintf(stderr,
                "usage: vnf-join SELF TROUBLE PRIORITY GROUPS GROUP... PROGRAM ARGUMENT...\n");
        return 2;
    }
    int self = atoi(argv[1]), trouble = atoi(argv[2]), groups = atoi(argv[4]);
    struct sched_param priority = {.sched_priority = atoi(argv[3])};
    int program = FIRST_GROUP + groups;

    if (groups < 0 || program + 1 >= argc) {
        fprintf(stderr, "vnf-join: no program is given\n");
        return 2;
    }
    if (fcntl(self, F_SETFD, FD_CLOEXEC) < 0 || fcntl(trouble, F_SETFD, FD_CLOEXEC) < 0)
        return fail(trouble);
    for (int number = FIRST_GROUP; number < program; number++) {
        int group = atoi(argv[number]);
        // 0 stands for whoever writes it.
        if (write(group, "0", 1) != 1)
            return fail(trouble);
        close(group);
    }
    if (priority.sched_priority && sched_setscheduler(0, SCHED_RR, &priority) < 0)
        return fail(trouble);
    execvp(argv[program], argv + program + 1);
    return fail(trouble);
}
