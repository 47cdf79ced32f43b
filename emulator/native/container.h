/* SPDX-License-Identifier: MIT */
/* What vnf-container is asked, what it answers, and the process that it starts. */
#ifndef CONTAINER_H
#define CONTAINER_H

#include <stdint.h>

enum { MAX_FDS = 64 };

// The first message on a connection. After the structure: the working directory, the arguments,
// the environment, each ended by a NUL; an empty directory is the container's own.
enum { REQUEST_MAGIC = 0x56464e31 };
enum request_kind { LIFELINE = 1, RUN = 2 };
enum request_flags {
    NEW_SESSION = 1,
    TAKE_TERMINAL = 2,  // standard input becomes the controlling terminal
    ADD_ENVIRONMENT = 4 // to the container's own, instead of in its place
};
struct request {
    uint32_t magic;
    uint32_t kind;
    uint32_t flags;
    uint32_t argc;
    uint32_t envc;
    uint32_t fds;
    int32_t targets[MAX_FDS]; // what the process calls each descriptor that comes along, or LOG
};
// Not for the process: what it prints is copied there and to the container's own output.
enum { LOG = -1 };

// What is answered. The process itself sends BORN, so that the credentials tell its number.
enum answer_kind { BORN = 1, STARTED = 2, FAILED = 3, NO_DIRECTORY = 4, ENDED = 5, REFUSED = 6 };
struct answer {
    uint32_t kind;
    int32_t value; // FAILED, NO_DIRECTORY, REFUSED: an errno; ENDED: as waitpid() has it
};

struct job {
    struct request request;
    char *directory;
    char **arguments;
    char **environment;
    int fds[MAX_FDS];
    int output; // the writing end of what is copied, or -1
};

void answer(int connection, enum answer_kind kind, int32_t value);

/*
 * Finds the strings of a request between text and end. Returns 0, or an errno; what release_job()
 * gives back is there only after 0.
 */
int read_job(struct job *job, char *text, const char *end);
void release_job(struct job *job);

/*
 * In a process of its own: becomes the program that is asked for. Whatever prevents that is written
 * to trouble as a struct answer; that end closes when it has become the program.
 */
_Noreturn void become(const struct job *job, int connection, int trouble);

#endif
