/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Runs a VNF on frames that come by standard input and tells on standard output what became of
 * each: how `vnf test` and the conformance suite try a VNF without any network.
 *
 * A frame comes as struct given and its bytes. The answer is a struct result and its bytes for
 * every frame that leaves, and one with the port NO_PORT when there are no more.
 */
#include "run.h"

#define NO_PORT     0xffffffffU
#define FRAME_BYTES 65536

struct given {
    __u32 port;
    __u32 bytes;
};

struct result {
    __u32 port;
    __u32 bytes;
};

static __u8 memory[VNF_HEADROOM_BYTES + FRAME_BYTES + VNF_TAILROOM_BYTES];
static __u8 copies[VNF_BURST_FRAMES][FRAME_BYTES + VNF_TAILROOM_BYTES];
static __u32 next_copy;

static void answer(__u32 port, const void *data, size_t bytes) {
    struct result result = {.port = port, .bytes = (__u32)bytes};
    fwrite(&result, sizeof(result), 1, stdout);
    fwrite(data, 1, bytes, stdout);
}

static const char *port_open(__u32 port) {
    (void)port;
    return "memory";
}

static __u32 port_receive(__u32 port, struct vnf_packet *packets, __u32 room) {
    (void)port;
    (void)packets;
    (void)room;
    return 0;
}

static __u32 port_send(__u32 port, struct vnf_packet *packets, __u32 count) {
    for (__u32 i = 0; i < count; i++)
        answer(port, packets[i].data, (size_t)(packets[i].end - packets[i].data));
    return count;
}

static void port_release(__u32 port, struct vnf_packet *packets, __u32 count) {
    (void)port;
    (void)packets;
    (void)count;
}

static int port_copy(__u32 port, const struct vnf_packet *packet, struct vnf_packet *copy) {
    size_t length = (size_t)(packet->end - packet->data);
    (void)port;
    __u8 *data = memcpy(copies[next_copy++ % VNF_BURST_FRAMES], packet->data, length);
    *copy = (struct vnf_packet){.data = data, .end = data + length};
    return 0;
}

static __u32 port_wait(struct pollfd *fds) {
    (void)fds;
    return 0;
}

static void port_close(__u32 port) {
    (void)port;
}

static void try_frame(const struct given *given) {
    __u8 *data = memory + VNF_HEADROOM_BYTES;
    VNF_UNPOISON(memory, sizeof(memory));
    if (given->bytes > FRAME_BYTES || fread(data, 1, given->bytes, stdin) != given->bytes)
        vnf_fail(EXIT_USAGE, NULL, "a frame of %u bytes did not come whole", given->bytes);
    struct vnf_packet packet = {
        .data = data,
        .end = data + given->bytes,
        .floor = memory,
        .ceiling = data + given->bytes + VNF_TAILROOM_BYTES,
    };
    VNF_POISON(packet.floor, VNF_HEADROOM_BYTES);
    VNF_POISON(packet.end, sizeof(memory) - VNF_HEADROOM_BYTES - given->bytes);
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
        answer(NO_PORT, memory, 0);
        fflush(stdout);
    }
    return 0;
}
