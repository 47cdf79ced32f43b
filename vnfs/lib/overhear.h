/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a library says of a failure on standard error, for a message of ours. */
#ifndef VNF_OVERHEAR_H
#define VNF_OVERHEAR_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OVERHEAR_BYTES 4096

static struct {
    int heard;
    int error;
    char said[OVERHEAR_BYTES];
    char message[OVERHEAR_BYTES];
} overhear;

/* Keep what is said on standard error, until overheard() is called. */
static void overhear_begin(void) {
    fflush(NULL);
    overhear.heard = memfd_create("overheard", MFD_CLOEXEC);
    overhear.error = dup(STDERR_FILENO);
    dup2(overhear.heard, STDERR_FILENO);
}

/* Say it after all; returns its lines as one, less the small talk of a library that is well. */
static const char *overheard(int (*is_small_talk)(const char *line)) {
    fflush(NULL);
    dup2(overhear.error, STDERR_FILENO);
    close(overhear.error);
    ssize_t size = pread(overhear.heard, overhear.said, sizeof(overhear.said) - 1, 0);
    close(overhear.heard);
    overhear.said[size > 0 ? size : 0] = 0;
    fputs(overhear.said, stderr);
    overhear.message[0] = 0;
    for (char *line = strtok(overhear.said, "\n"); line; line = strtok(NULL, "\n"))
        if (!is_small_talk(line)) {
            size_t used = strlen(overhear.message);
            snprintf(overhear.message + used, sizeof(overhear.message) - used, "%s%s",
                     used ? "; " : "", line);
        }
    return overhear.message;
}

#endif
