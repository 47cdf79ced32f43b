/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Runs a VNF on frames that come by standard input and tells on standard output what became of
 * each: how `vnf test` and the conformance suite try a VNF without any network.
 *
 * A frame comes as struct given and its bytes. The answer is a struct result and its bytes for
 * every frame that leaves, and one with the port NO_PORT when there are no more.
 */
#include "memory.h"

#define NO_PORT 0xffffffffU

struct given {
    __u32 port;
    __u32 bytes;
};

struct result {
    __u32 port;
    __u32 bytes;
};

static struct memory_room room;

static void memory_sent(__u32 port, const __u8 *data, __u32 bytes) {
    struct result result = {.port = port, .bytes = bytes};
    fwrite(&result, sizeof(result), 1, stdout);
    fwrite(data, 1, bytes, stdout);
}

static void try_frame(const struct given *given) {
    __u8 *data = memory_open(&room);
    if (given->bytes > MEMORY_FRAME_BYTES || fread(data, 1, given->bytes, stdin) != given->bytes)
        vnf_fail(EXIT_USAGE, NULL, "a frame of %u bytes did not come whole", given->bytes);
    struct vnf_packet packet = memory_frame(&room, given->bytes);
    vnf_handle_burst(given->port, &packet, 1);
}

int main(int argc, char **argv) {
    struct given given;
    int begun = 0;
    vnf_options(argc, argv, NULL);
    for (__u32 port = 0; port < vnf.ports; port++)
        vnf.port_mode[port] = port_open(port);
    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        struct pollfd fds[CONTROL_CLIENTS + 2] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        __u32 count = 1 + control_wait(fds + 1);
        if (poll(fds, count, -1) < 0)
            break;
        control_serve();
        if (!fds[0].revents)
            continue;
        if (fread(&given, sizeof(given), 1, stdin) != 1)
            break;
        if (given.port >= vnf.ports)
            vnf_fail(EXIT_USAGE, NULL, "there is no port %u", given.port);
        if (!begun) {
            vnf_begin();
            begun = 1;
        }
        try_frame(&given);
        memory_sent(NO_PORT, room.bytes, 0);
        fflush(stdout);
    }
    return 0;
}
