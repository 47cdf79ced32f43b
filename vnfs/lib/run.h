/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What all data planes in user space share: options, memory shared with the emulator, the handling
 * of a burst, and the loop around it.
 *
 * A data plane is a C file that includes this header, defines the functions port_*() declared below
 * and a main() that calls vnf_options(), opens what it needs and calls vnf_run().
 */
#ifndef VNF_RUN_H
#define VNF_RUN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vnf.h"
#include "counters.h"
#include VNF_SOURCE

/* Exit codes, as everywhere in the product. */
#define EXIT_FAILED  1
#define EXIT_USAGE   2
#define EXIT_MACHINE 3

/* The memory shared with the emulator, which reads the counters and writes everything else. */
struct shared {
    __u32 active_bank;
    __u32 clock_is_set;
    __u64 clock_ns;
    struct port_counters counters[VNF_MAX_PORTS];
    struct vnf_config config[2] __attribute__((aligned(64)));
    /* Both banks of each settings array follow. */
};

/* Open a port; returns how it works, in words for the user. */
static const char *port_open(__u32 port);
/* Take frames that have come, at most `room`. */
static __u32 port_receive(__u32 port, struct vnf_packet *packets, __u32 room);
/* Send frames and forget them; returns how many could be sent, having moved those to the front. */
static __u32 port_send(__u32 port, struct vnf_packet *packets, __u32 count);
/* Give back the memory of frames that `port` received. */
static void port_release(__u32 port, struct vnf_packet *packets, __u32 count);
/*
 * Make a copy that `port` can send; -1 when there is no memory. Up to VNF_BURST_FRAMES copies are
 * made before they are sent.
 */
static int port_copy(__u32 port, const struct vnf_packet *packet, struct vnf_packet *copy);
/* Fill in descriptors, at most VNF_MAX_PORTS, that tell when a frame comes; returns how many. */
static __u32 port_wait(struct pollfd *fds);
static void port_close(__u32 port);
/* The VNF has moved a frame's beginning or end: for a data plane that keeps them elsewhere, too. */
#ifdef PORT_RESIZED
static void port_resized(const struct vnf_packet *packet);
#else
static __always_inline void port_resized(const struct vnf_packet *packet) {
    (void)packet;
}
#endif

#ifdef VNF_STATE
static struct { VNF_STATE of; } __attribute__((aligned(64))) vnf_state[VNF_MAX_PORTS];
#define STATE_OF(port) (&vnf_state[port].of)
#else
#define STATE_OF(port) ((void *)0)
#endif

/* When the kernel had a frame that a port received, CLOCK_REALTIME: where it tells. */
#ifdef PORT_ARRIVAL
static __u64 port_arrival_real_ns(const struct vnf_packet *packet);
#endif

#include "tap_user.h"

extern struct vnf_table *const __start_vnf_tables[] __attribute__((weak));
extern struct vnf_table *const __stop_vnf_tables[] __attribute__((weak));
extern struct vnf_settings *const __start_vnf_settings[] __attribute__((weak));
extern struct vnf_settings *const __stop_vnf_settings[] __attribute__((weak));

static struct {
    __u32 ports;
    const char *port_name[VNF_MAX_PORTS];
    const char *port_mode[VNF_MAX_PORTS];
    /* Of a port that is one socket, its descriptor: the emulator may lead frames there. */
    int port_socket[VNF_MAX_PORTS];
    /* Set while a port's neighbour is not there yet, or not any more. */
    __u8 port_apart[VNF_MAX_PORTS];
    /* TAP devices that lead into the node's own network stack, where it has any; else -1. */
    int host[VNF_MAX_PORTS];
    struct shared *shared;
    volatile sig_atomic_t stop;
} vnf;

/* Say why on standard error, in the form that the emulator reads, and end. */
static void __attribute__((noreturn, format(printf, 3, 4)))
vnf_fail(int code, const char *hint, const char *format, ...) {
    va_list arguments;
    fputs("error: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    exit(code);
}

static size_t vnf_settings_bytes(const struct vnf_settings *settings) {
    return ((size_t)settings->entry_bytes * settings->entries + 63) & ~(size_t)63;
}

/* Lay the shared memory out in a file the emulator made, or in private memory when fd is -1. */
static void vnf_share(int fd) {
    size_t size = sizeof(struct shared);
    for (struct vnf_settings *const *each = __start_vnf_settings; each < __stop_vnf_settings;
         each++)
        size += 2 * vnf_settings_bytes(*each);
    if (fd >= 0 && ftruncate(fd, (off_t)size))
        vnf_fail(EXIT_MACHINE, NULL, "no shared memory: %s", strerror(errno));
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED)
        vnf_fail(EXIT_MACHINE, NULL, "no shared memory: %s", strerror(errno));
    vnf.shared = memory;
    __u8 *next = (__u8 *)memory + sizeof(struct shared);
    for (struct vnf_settings *const *each = __start_vnf_settings; each < __stop_vnf_settings;
         each++)
        for (int bank = 0; bank < 2; bank++) {
            (*each)->bank[bank] = next;
            next += vnf_settings_bytes(*each);
        }
    for (struct vnf_table *const *each = __start_vnf_tables; each < __stop_vnf_tables; each++)
        if (vnf_table_open(*each))
            vnf_fail(EXIT_MACHINE, "make its table smaller, or give the machine more memory",
                     "no memory for table %s with %u entries", (*each)->name, (*each)->capacity);
}

static void vnf_seed(__u64 seed) {
    for (__u32 port = 0; port < VNF_MAX_PORTS; port++)
        vnf_process.random_state[port] = vnf_mix64(seed * VNF_MAX_PORTS + port);
}

/* Where a frame goes, once handled. */
enum { TO_NOWHERE = VNF_MAX_PORTS, TO_ALL, TO_STACK };

static __always_inline __u32 vnf_destination(const struct vnf_ctx *ctx, int verdict,
                                             struct port_counters *in) {
    __u32 out = (__u32)verdict - VNF_FORWARD_BASE;
    if (out < ctx->ports)
        return out;
    if (verdict == VNF_BACK) {
        in->back_packets++;
        return ctx->port;
    }
    if (verdict == VNF_FLOOD)
        return TO_ALL;
    if (verdict == VNF_TO_HOST) {
        in->to_host_packets++;
        return TO_STACK;
    }
#ifdef VNF_BURST
    if (verdict == VNF_TAKE)
        return TO_NOWHERE;
#endif
    in->dropped_packets++;
    in->no_port_packets += verdict >= VNF_FORWARD_BASE;
    return TO_NOWHERE;
}

/* Have the VNF handle frames of the context's port, and say where each goes. */
static __always_inline void vnf_ask(struct vnf_ctx *ctx, struct vnf_packet *packets, __u32 count,
                                    struct port_counters *in, __u32 *to) {
    __u64 bytes = 0;
    for (__u32 i = 0; i < count; i++)
        bytes += (__u64)(packets[i].end - packets[i].data);
    in->rx_bytes += bytes;
#ifdef VNF_BURST
    int verdicts[VNF_BURST_FRAMES];
    for (__u32 i = 0; i < count; i++)
        verdicts[i] = VNF_DROP;
    handle_burst(ctx, packets, count, ctx->port, verdicts);
    for (__u32 i = 0; i < count; i++) {
        port_resized(&packets[i]);
        to[i] = vnf_destination(ctx, verdicts[i], in);
    }
#else
    for (__u32 i = 0; i < count; i++) {
        __u8 *data = packets[i].data, *end = packets[i].end;
        vnf_at(ctx, &packets[i]);
        int verdict = handle(ctx, data, end, ctx->port);
        /* Of a handler that never does, the compiler knows. */
        if (packets[i].data != data || packets[i].end != end)
            port_resized(&packets[i]);
        to[i] = vnf_destination(ctx, verdict, in);
    }
#endif
}

static void vnf_transmit(__u32 port, struct vnf_packet *packets, __u32 count) {
    struct port_counters *out = &vnf.shared->counters[port];
    __u64 bytes = 0;
    if (__builtin_expect(tap.table != NULL, 0))
        tap_sent(port, packets, count);
    __u32 sent = port_send(port, packets, count);
    for (__u32 i = 0; i < sent; i++)
        bytes += (__u64)(packets[i].end - packets[i].data);
    out->tx_packets += sent;
    out->tx_bytes += bytes;
    out->unsent_packets += count - sent;
}

/* The rare verdicts, a frame at a time. */
static void vnf_dispose(__u32 port, __u32 to, struct vnf_packet *packet) {
    if (to == TO_STACK) {
        size_t length = (size_t)(packet->end - packet->data);
        if (vnf.host[port] < 0 || write(vnf.host[port], packet->data, length) < 0)
            vnf.shared->counters[port].unsent_packets++;
    }
    if (to == TO_ALL)
        for (__u32 other = 0; other < vnf.ports; other++) {
            struct vnf_packet copy;
            if (other == port)
                continue;
            if (port_copy(other, packet, &copy))
                vnf.shared->counters[other].unsent_packets++;
            else
                vnf_transmit(other, &copy, 1);
        }
    port_release(port, packet, 1);
}

static __always_inline struct vnf_ctx vnf_context(__u32 port) {
    __u32 bank = __atomic_load_n(&vnf.shared->active_bank, __ATOMIC_ACQUIRE) & 1;
    return (struct vnf_ctx){
        .config = &vnf.shared->config[bank],
        .state = STATE_OF(port),
        .counters = &vnf.shared->counters[port].own,
        .ports = vnf.ports,
        .port = port,
        .bank = bank,
    };
}

static __always_inline void vnf_set_clock(void) {
    vnf_process.clock_is_set = (__u8)vnf.shared->clock_is_set;
    vnf_process.clock_ns = vnf.shared->clock_ns;
}

#if defined(VNF_BURST) || defined(VNF_IDLE)
static void vnf_send_emitted(void) {
    struct vnf_packet copies[VNF_BURST_FRAMES];
    for (__u32 i = 0; i < vnf_emitted.count;) {
        __u32 port = vnf_emitted.frame[i].port, made = 0;
        for (; i < vnf_emitted.count && vnf_emitted.frame[i].port == port; i++) {
            __u8 *data = vnf_emitted.frame[i].data;
            struct vnf_packet frame = {.data = data, .end = data + vnf_emitted.frame[i].bytes};
            if (port_copy(port, &frame, &copies[made]))
                vnf.shared->counters[port].unsent_packets++;
            else
                made++;
        }
        vnf_transmit(port, copies, made);
    }
    vnf_emitted.count = 0;
}
#endif

#ifdef VNF_IDLE
/* Returns in how many ns the VNF wants to be asked again at the latest. */
static __u64 vnf_ask_idle(void) {
    __u64 soonest_ns = VNF_WHENEVER;
    vnf_set_clock();
    for (__u32 port = 0; port < vnf.ports; port++) {
        struct vnf_ctx ctx = vnf_context(port);
        __u64 again_ns = handle_idle(&ctx, port);
        if (again_ns < soonest_ns)
            soonest_ns = again_ns;
    }
    vnf_send_emitted();
    return soonest_ns;
}
#endif

/* Get rid of frames that `port` received, each as the VNF has decided. */
static __always_inline void vnf_dispatch(__u32 port, struct vnf_packet *packets, __u32 count,
                                         const __u32 *to) {
    __u32 same = 1;
    for (__u32 i = 1; i < count; i++)
        same &= to[i] == to[0];
    if (same && to[0] < VNF_MAX_PORTS) {
        vnf_transmit(to[0], packets, count);
        return;
    }
    if (same && to[0] == TO_NOWHERE) {
        port_release(port, packets, count);
        return;
    }
    /* Frames to one port keep their order; between ports there is none. */
    for (__u32 out = 0; out <= TO_STACK; out++) {
        struct vnf_packet chosen[VNF_BURST_FRAMES];
        __u32 number = 0;
        for (__u32 i = 0; i < count; i++)
            if (to[i] == out)
                chosen[number++] = packets[i];
        if (!number)
            continue;
        if (out < VNF_MAX_PORTS)
            vnf_transmit(out, chosen, number);
        else if (out == TO_NOWHERE)
            port_release(port, chosen, number);
        else
            for (__u32 i = 0; i < number; i++)
                vnf_dispose(port, out, &chosen[i]);
    }
}

/* Handle frames that `port` received, and get rid of all of them. */
static __always_inline void vnf_handle_burst(__u32 port, struct vnf_packet *packets, __u32 count) {
    struct port_counters *in = &vnf.shared->counters[port];
    struct vnf_ctx ctx = vnf_context(port);
    __u32 to[VNF_BURST_FRAMES];

    if (__builtin_expect(tap.table != NULL, 0))
        tap_taken(port, packets, count);
    vnf_set_clock();
    vnf_ask(&ctx, packets, count, in, to);
    vnf_dispatch(port, packets, count, to);
#ifdef VNF_BURST
    vnf_send_emitted();
#endif
    /* Last, so that whoever finds frames counted finds what became of them counted too. */
    __atomic_store_n(&in->rx_packets, in->rx_packets + count, __ATOMIC_RELEASE);
}

/* One look at every port; returns how many frames there were. */
static __always_inline __u32 vnf_serve_ports(void) {
    struct vnf_packet packets[VNF_BURST_FRAMES];
    __u32 total = 0;
    for (__u32 port = 0; port < vnf.ports; port++) {
        __u32 count = port_receive(port, packets, VNF_BURST_FRAMES);
        if (count) {
            vnf_handle_burst(port, packets, count);
            total += count;
        }
    }
    return total;
}

#include "control.h"
#include "idle.h"

static void vnf_on_signal(int number) {
    (void)number;
    vnf.stop = 1;
}

static void vnf_pin(char *cores) {
    cpu_set_t set, given;
    CPU_ZERO(&set);
    for (char *core = strtok(cores, ","); core; core = strtok(NULL, ","))
        CPU_SET(strtoul(core, NULL, 10), &set);
    /* Of cores that may be run on and others, the kernel takes the former without a word. */
    if (sched_setaffinity(0, sizeof(set), &set) || sched_getaffinity(0, sizeof(given), &given) ||
        !CPU_EQUAL(&set, &given))
        vnf_fail(EXIT_USAGE, "see lscpu for the CPUs there are",
                 "it cannot run on the cores asked for");
}

/*
 * Read the options, which the emulator writes:
 *
 *     --ports NAME,NAME     the interfaces, in the order of their numbers
 *     --shared FD           a file for the shared memory
 *     --control FD          a listening socket for control.h
 *     --idle TEXT           see idle.h
 *     --cores N,N           the CPUs to run on
 *     --seed NUMBER         of vnf_random()
 *     --host FD,FD          TAP devices into the node's own network stack, one for each port
 *
 * Everything else is the data plane's own: `own` is called with each name and value.
 */
static void vnf_options(int argc, char **argv, int (*own)(const char *name, char *value)) {
    int shared = -1;
    __u64 seed = 0;

    memset(vnf.host, 0xff, sizeof(vnf.host));
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i];
        char *value = argv[i + 1];
        if (i + 1 >= argc)
            vnf_fail(EXIT_USAGE, NULL, "option %s lacks its value", name);
        if (!strcmp(name, "--ports")) {
            for (char *port = strtok(value, ","); port; port = strtok(NULL, ",")) {
                if (vnf.ports == VNF_MAX_PORTS)
                    vnf_fail(EXIT_USAGE, NULL, "there are more than %u ports", VNF_MAX_PORTS);
                vnf.port_name[vnf.ports++] = port;
            }
        } else if (!strcmp(name, "--shared")) {
            shared = atoi(value);
        } else if (!strcmp(name, "--control")) {
            control_listen(atoi(value));
        } else if (!strcmp(name, "--idle")) {
            idle_options(value);
        } else if (!strcmp(name, "--cores")) {
            vnf_pin(value);
        } else if (!strcmp(name, "--seed")) {
            seed = strtoull(value, NULL, 0);
        } else if (!strcmp(name, "--host")) {
            __u32 port = 0;
            for (char *fd = strtok(value, ","); fd && port < VNF_MAX_PORTS; fd = strtok(NULL, ","))
                vnf.host[port++] = atoi(fd);
        } else if (!own || !own(name, value)) {
            vnf_fail(EXIT_USAGE, NULL, "there is no option %s", name);
        }
    }
    vnf_seed(seed);
    vnf_share(shared);
    struct sigaction action = {.sa_handler = vnf_on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* Called when the parameters are in place. */
static void vnf_begin(void) {
#ifdef VNF_START
    struct vnf_ctx ctx = vnf_context(0);
    vnf_set_clock();
    handle_start(&ctx);
#endif
}

/* Open the ports, then handle frames until a signal comes. */
static void vnf_run(void) {
    control_await_start();
    vnf_begin();
    for (__u32 port = 0; port < vnf.ports; port++)
        vnf.port_mode[port] = port_open(port);
    while (!vnf.stop) {
        if (vnf_serve_ports()) {
            idle_after_work();
            continue;
        }
        idle_step();
    }
    for (__u32 port = 0; port < vnf.ports; port++)
        port_close(port);
}

#endif
