// SPDX-License-Identifier: MIT
//
// vnf-container: the first process of a node's container, whatever its image.
//
// It starts processes for the emulator, which asks over a Unix socket in a folder that both see,
// and tells how they end. What a process gets (arguments, environment, descriptors) comes with the
// request, so a program may begin when its network is there, and can be handed sockets and maps
// that its container has no right to make. The container ends with its lifeline, a connection held
// by the emulator: so it ends however the emulator does. A byte on the lifeline, or SIGTERM, asks
// for a gentle end: SIGTERM to all, then a short grace.
//
// Usage: vnf-container SOCKET
// It is linked statically, because an image may hold nothing at all. The messages are described in
// container.h; emulator/runtime/container_processes.py is the other side.

#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    GRACE_MS = 1000,
    LIFELINE_DEADLINE_MS = 60000,
    MAX_REQUEST_BYTES = 4 << 20,
    COPY_BYTES = 65536,
    MOST_PARTS = 64,
};

enum role { CALLER, LIFE, CHILD, OUTPUT };
struct watched {
    enum role role;
    int fd;
    pid_t pid; // CHILD, and OUTPUT: whose it is
    int log;   // OUTPUT
};

static struct watched *table;
static struct pollfd *polled;
static size_t used, room;
enum { FIRST = 2 }; // before them: the socket and the signals

static int fail(const char *what) {
    fprintf(stderr, "vnf-container: %s: %s\n", what, strerror(errno));
    return 1;
}

static bool watch(struct watched entry) {
    if (used == room) {
        size_t more = room ? 2 * room : 16;
        struct watched *entries = realloc(table, more * sizeof(*table));
        if (entries)
            table = entries;
        struct pollfd *polls = realloc(polled, (more + FIRST) * sizeof(*polled));
        if (polls)
            polled = polls;
        if (!entries || !polls)
            return false;
        room = more;
    }
    table[used++] = entry;
    return true;
}

static void forget(size_t number) {
    close(table[number].fd);
    if (table[number].role == OUTPUT)
        close(table[number].log);
    table[number] = table[--used];
}

static void end_gently(void) {
    const struct timespec pause = {.tv_nsec = 1000000};

    if (kill(-1, SIGTERM) < 0)
        return;
    for (int waited_ms = 0; waited_ms < GRACE_MS; waited_ms++) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (kill(-1, 0) < 0 && errno == ESRCH)
            return;
        nanosleep(&pause, NULL);
    }
}

static int start(struct job *job, int connection) {
    int trouble[2], output[2] = {-1, -1}, log = -1;
    struct answer failure;

    for (uint32_t number = 0; number < job->request.fds; number++)
        if (job->request.targets[number] == LOG)
            log = job->fds[number];
    if (log >= 0 && pipe2(output, O_CLOEXEC) < 0)
        return errno;
    if (pipe2(trouble, O_CLOEXEC) < 0) {
        int error = errno;
        if (log >= 0) {
            close(output[0]);
            close(output[1]);
        }
        return error;
    }
    job->output = output[1];
    pid_t child = fork();
    if (!child)
        become(job, connection, trouble[1]);
    int error = child < 0 ? errno : 0;
    close(trouble[1]);
    if (log >= 0)
        close(output[1]);
    if (error) {
        close(trouble[0]);
        if (log >= 0)
            close(output[0]);
        return error;
    }
    // The pipe closes when the process becomes its program: until then it can only fail.
    ssize_t got = read(trouble[0], &failure, sizeof(failure));
    close(trouble[0]);
    if (got == sizeof(failure))
        answer(connection, failure.kind, failure.value);
    else
        answer(connection, STARTED, 0);
    if (log >= 0) {
        struct watched copy = {OUTPUT, output[0], child, fcntl(log, F_DUPFD_CLOEXEC, 3)};
        fcntl(output[0], F_SETFL, O_NONBLOCK);
        if (copy.log < 0 || !watch(copy))
            close(output[0]);
    }
    for (size_t number = 0; number < used; number++)
        if (table[number].fd == connection) {
            table[number].role = CHILD;
            table[number].pid = child;
        }
    return 0;
}

static int carry_out(struct job *job, char *text, const char *end, int connection) {
    int error = read_job(job, text, end);

    if (error)
        return error;
    error = start(job, connection);
    release_job(job);
    return error;
}

// Takes the descriptors out of a message; returns how many have arrived, of maybe more.
static int take_descriptors(struct msghdr *message, int *fds) {
    int count = 0;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(part), (size_t)count * sizeof(int));
    }
    return count;
}

// What a caller asks for; returns whether its connection is still of use.
static bool hear(size_t number) {
    union {
        struct cmsghdr aligned;
        char room[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control;
    int connection = table[number].fd;
    ssize_t size = recv(connection, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

    if (size <= 0)
        return size < 0 && (errno == EAGAIN || errno == EINTR);
    if (size < (ssize_t)sizeof(struct request) || size > MAX_REQUEST_BYTES) {
        answer(connection, REFUSED, EMSGSIZE);
        return false;
    }
    char *data = malloc((size_t)size);
    if (!data) {
        answer(connection, REFUSED, ENOMEM);
        return false;
    }
    struct iovec part = {data, (size_t)size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct job job = {.output = -1};
    int error = EINVAL, fds = 0;
    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) == size) {
        fds = take_descriptors(&message, job.fds);
        memcpy(&job.request, data, sizeof(job.request));
        if (job.request.magic != REQUEST_MAGIC) {
            error = EPROTO;
        } else if (message.msg_flags & MSG_CTRUNC) {
            error = EMFILE;
        } else if (job.request.fds != (uint32_t)fds) {
            error = EPROTO;
        } else if (job.request.kind == LIFELINE) {
            table[number].role = LIFE;
            answer(connection, STARTED, 0);
            error = 0;
        } else if (job.request.kind == RUN) {
            error = carry_out(&job, data + sizeof(job.request), data + size, connection);
        }
    }
    for (int each = 0; each < fds; each++)
        close(job.fds[each]);
    free(data);
    if (error)
        answer(connection, REFUSED, error);
    return !error;
}

// Kept to have a number left for a caller who is to be told that there are no more.
static int spare = -1;

static void refuse_caller(int listener, int error) {
    close(spare);
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection >= 0) {
        answer(connection, REFUSED, error);
        close(connection);
    }
    spare = fcntl(listener, F_DUPFD_CLOEXEC, 0);
}

static void accept_caller(int listener) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (connection < 0) {
        if (errno == EMFILE || errno == ENFILE)
            refuse_caller(listener, errno);
        return;
    }
    // Who lives outside the container has no number inside. Nobody inside is to be served: a
    // process that has given up rights could have another one started with the container's.
    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid != 0 ||
        !watch((struct watched){CALLER, connection, 0, -1}))
        close(connection);
}

// Copies what a process has printed; returns how much that was, -1 for nothing by now.
static ssize_t copy_output(const struct watched *source) {
    static char data[COPY_BYTES];
    ssize_t size = read(source->fd, data, sizeof(data));

    if (size > 0) {
        (void)!write(source->log, data, (size_t)size);
        // Docker may not read it, when its daemon has died: that must not stop anybody.
        (void)!write(STDOUT_FILENO, data, (size_t)size);
    }
    return size;
}

// Its last words are there before anybody hears of a process's end.
static void copy_last_words(pid_t pid) {
    for (size_t number = 0; number < used; number++)
        if (table[number].role == OUTPUT && table[number].pid == pid)
            for (int parts = 0; parts < MOST_PARTS && copy_output(&table[number]) > 0; parts++)
                ;
}

static void bury(void) {
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        copy_last_words(pid);
        for (size_t number = 0; number < used; number++)
            if (table[number].role == CHILD && table[number].pid == pid) {
                answer(table[number].fd, ENDED, status);
                forget(number);
                break;
            }
    }
}

static int serve(int listener, int signals) {
    bool has_lifeline = false;

    for (;;) {
        polled[0] = (struct pollfd){listener, POLLIN, 0};
        polled[1] = (struct pollfd){signals, POLLIN, 0};
        for (size_t number = 0; number < used; number++)
            polled[FIRST + number] = (struct pollfd){table[number].fd, POLLIN, 0};
        size_t count = used;
        int ready = poll(polled, FIRST + count, has_lifeline ? -1 : LIFELINE_DEADLINE_MS);
        if (ready < 0 && errno != EINTR)
            return fail("waiting");
        if (!ready) {
            fprintf(stderr, "vnf-container: the emulator has not come\n");
            return 1;
        }
        // From the last one, because one that is forgotten is replaced by the last.
        for (size_t number = count; number-- > 0;) {
            bool keep = true;
            if (!polled[FIRST + number].revents)
                continue;
            switch (table[number].role) {
            case CALLER: // nothing is done for one who has gone, having waited for too long
                keep = !(polled[FIRST + number].revents & POLLHUP) && hear(number);
                has_lifeline |= keep && table[number].role == LIFE;
                break;
            case LIFE:
                if (recv(table[number].fd, &(char){0}, 1, 0) > 0)
                    end_gently();
                return 0;
            case CHILD: // who asked for it is not interested any more
                keep = false;
                break;
            case OUTPUT:
                keep = copy_output(&table[number]) != 0;
                break;
            }
            if (!keep)
                forget(number);
        }
        if (polled[1].revents) {
            struct signalfd_siginfo what;
            if (read(signals, &what, sizeof(what)) == sizeof(what) && what.ssi_signo == SIGTERM) {
                end_gently();
                return 128 + SIGTERM;
            }
            bury();
        }
        if (polled[0].revents)
            accept_caller(listener);
    }
}

static int open_listener(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    unlink(path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, SOMAXCONN) < 0)
        return -1;
    return listener;
}

int main(int argc, char **argv) {
    sigset_t expected;
    int listener, signals;

    if (argc != 2) {
        fprintf(stderr, "usage: vnf-container SOCKET\n");
        return 2;
    }
    sigemptyset(&expected);
    sigaddset(&expected, SIGCHLD);
    sigaddset(&expected, SIGTERM);
    sigprocmask(SIG_BLOCK, &expected, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "vnf-container");
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    signals = signalfd(-1, &expected, SFD_CLOEXEC);
    if (signals < 0)
        return fail("hearing of signals");
    polled = calloc(FIRST, sizeof(*polled));
    listener = open_listener(argv[1]);
    if (listener < 0)
        return fail(argv[1]);
    spare = fcntl(listener, F_DUPFD_CLOEXEC, 0);
    return serve(listener, signals);
}
