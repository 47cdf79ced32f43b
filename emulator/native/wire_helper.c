// SPDX-License-Identifier: MIT

#define _GNU_SOURCE
#include "wire_helper.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static int ours = -1, theirs = -1;

static void speed_up(struct helper_job *job) {
    job->out = -1;
    job->error = ring_open(&job->port.ring, job->port.index, job->port.group, &job->what);
    if (job->error)
        return;
    job->error = port_open_out(&job->out, job->far_index, &job->what);
    if (job->error)
        ring_close(&job->port.ring);
}

static void *work(void *nothing) {
    struct helper_job job;

    for (;;) {
        ssize_t size = recv(theirs, &job, sizeof(job), 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size != sizeof(job))
            return nothing;
        if (job.task == HELPER_CLOSE) {
            port_close(&job.port);
            continue;
        }
        speed_up(&job);
        if (send(theirs, &job, sizeof(job), MSG_NOSIGNAL) != sizeof(job))
            return nothing;
    }
}

int helper_start(void) {
    pthread_t thread;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return -1;
    theirs = pair[1];
    int error = pthread_create(&thread, NULL, work, NULL);
    if (error) {
        close(pair[0]);
        close(pair[1]);
        errno = error;
        return -1;
    }
    pthread_detach(thread);
    return ours = pair[0];
}

int helper_ask(const struct helper_job *job) {
    return send(ours, job, sizeof(*job), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(*job);
}

int helper_answer(struct helper_job *job) {
    return recv(ours, job, sizeof(*job), MSG_DONTWAIT) == sizeof(*job);
}
