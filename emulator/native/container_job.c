// SPDX-License-Identifier: MIT
//
// A process that vnf-container starts: what is asked for, and how it becomes that.

#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HIGHEST_FD = 1 << 24 };

void answer(int connection, enum answer_kind kind, int32_t value) {
    struct answer message = {kind, value};

    // Nobody may be there to hear it.
    (void)!send(connection, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// The strings of a request as a vector; returns where they end, or NULL when they are too few.
static char *split(char *text, const char *end, uint32_t count, char **vector) {
    for (uint32_t number = 0; number < count; number++) {
        char *stop = memchr(text, '\0', (size_t)(end - text));
        if (!stop)
            return NULL;
        vector[number] = text;
        text = stop + 1;
    }
    return text;
}

int read_job(struct job *job, char *text, const char *end) {
    const struct request *request = &job->request;
    size_t strings = (size_t)request->argc + request->envc + 2;

    if (!request->argc || strings > (size_t)(end - text) + 2)
        return EINVAL;
    for (uint32_t number = 0; number < request->fds; number++)
        if (request->targets[number] < LOG || request->targets[number] > HIGHEST_FD)
            return EINVAL;
    job->arguments = calloc(strings, sizeof(*job->arguments));
    if (!job->arguments)
        return ENOMEM;
    job->environment = job->arguments + request->argc + 1;
    text = split(text, end, 1, &job->directory);
    if (text)
        text = split(text, end, request->argc, job->arguments);
    if (text)
        text = split(text, end, request->envc, job->environment);
    if (text == end)
        return 0;
    release_job(job);
    return EINVAL;
}

void release_job(struct job *job) {
    free(job->arguments);
    job->arguments = NULL;
}

// Fails when a process may not have so many open files.
static bool give_descriptors(const struct job *job) {
    int above = 3;

    for (uint32_t number = 0; number < job->request.fds; number++)
        if (job->request.targets[number] >= above)
            above = job->request.targets[number] + 1;
    // Out of the way first: a target may be the number that another one has now.
    int parked[MAX_FDS];
    for (uint32_t number = 0; number < job->request.fds; number++)
        if ((parked[number] = fcntl(job->fds[number], F_DUPFD_CLOEXEC, above)) < 0)
            return false;
    if (job->output >= 0) {
        int output = fcntl(job->output, F_DUPFD_CLOEXEC, above);
        if (output < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
            return false;
    }
    for (uint32_t number = 0; number < job->request.fds; number++)
        if (job->request.targets[number] != LOG &&
            dup2(parked[number], job->request.targets[number]) < 0)
            return false;
    return true;
}

static void add_to_environment(char **added) {
    for (; *added; added++)
        putenv(*added);
}

// Like execvp(), which would give a file that is no program to a shell.
static int execute(char **arguments) {
    const char *folders = getenv("PATH"), *name = *arguments;
    char path[PATH_MAX];
    int error = ENOENT;

    if (strchr(name, '/') || !*name) {
        execve(name, arguments, environ);
        return errno;
    }
    for (const char *next = folders ? folders : "/bin:/usr/bin"; next;) {
        const char *folder = next, *end = strchrnul(folder, ':');
        next = *end ? end + 1 : NULL;
        int size = snprintf(path, sizeof(path), "%.*s%s%s", (int)(end - folder), folder,
                            end == folder ? "" : "/", name);
        if (size >= (int)sizeof(path))
            continue;
        execve(path, arguments, environ);
        if (errno == EACCES)
            error = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return error;
}

_Noreturn void become(const struct job *job, int connection, int trouble) {
    struct answer failure = {FAILED, 0};
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (job->request.flags & NEW_SESSION)
        setsid();
    answer(connection, BORN, 0);
    // The numbers up to the highest target may be those of descriptors that are in use here.
    connection = trouble;
    for (uint32_t number = 0; number < job->request.fds; number++)
        if (job->request.targets[number] >= trouble)
            trouble = job->request.targets[number] + 1;
    trouble = fcntl(connection, F_DUPFD_CLOEXEC, trouble);
    bool given = trouble >= 0 && give_descriptors(job);
    if (given && job->request.flags & TAKE_TERMINAL)
        ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    if (!given) {
        // A number is too high for the limit of open files.
        failure.value = EMFILE;
        trouble = trouble < 0 ? connection : trouble;
    } else if (*job->directory && chdir(job->directory) < 0) {
        failure = (struct answer){NO_DIRECTORY, errno};
    } else {
        if (job->request.flags & ADD_ENVIRONMENT)
            add_to_environment(job->environment);
        else
            environ = job->environment;
        failure.value = execute(job->arguments);
    }
    (void)!write(trouble, &failure, sizeof(failure));
    _exit(127);
}
