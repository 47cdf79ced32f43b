/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The contract between a VNF and the data plane that runs it.
 *
 * A VNF is one C file, vnf.c, that includes this header and defines
 *
 *     static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port)
 *
 * It is called once per frame, with the frame's first byte (of the Ethernet header), the byte after
 * its last one, and the number of the port it came in by, and returns one of the verdicts below.
 * It may change the frame in place.
 *
 * The same file is compiled for every data plane, so it keeps to what the strictest one, the
 * kernel's BPF verifier, accepts: every access is checked against `end` first, loops have a
 * constant bound, nothing is called that this header does not offer, and nothing is remembered but
 * in `state` and in declared tables.
 */
#ifndef VNF_H
#define VNF_H

#include <linux/types.h>

/* Generated from vnf.toml: struct vnf_config, a field per parameter; struct vnf_counters likewise.
 */
#include "vnf_config.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif

#define VNF_MAX_PORTS 8

/* How much a frame can grow at least, at its front and at its end, on every data plane. */
#define VNF_HEADROOM_BYTES 128
#define VNF_TAILROOM_BYTES 128

/*
 * For words anywhere in a frame. Behind a plain __u64 pointer a compiler may take the address for a
 * multiple of eight, which a frame's contents seldom are. For BPF it concludes nothing of the kind,
 * but would put a word that it knows to lie anywhere together from single bytes.
 */
#ifdef __bpf__
#define VNF_ANYWHERE __attribute__((may_alias))
#else
#define VNF_ANYWHERE __attribute__((aligned(1), may_alias))
#endif
typedef __u16 VNF_ANYWHERE vnf_word16;
typedef __u32 VNF_ANYWHERE vnf_word32;
typedef __u64 VNF_ANYWHERE vnf_word64;

/* Verdicts. Anything else drops the frame, as does a port that the VNF does not have. */
#define VNF_DROP          0
#define VNF_BACK          1 /* out of the port it came in by */
#define VNF_TO_HOST       2 /* to the network stack of the VNF's own node */
#define VNF_FLOOD         3 /* a copy out of every other port */
#define VNF_FORWARD(port) (VNF_FORWARD_BASE + (int)(port))
#define VNF_FORWARD_BASE  16

/* Where the data plane keeps its hold on the frame; a handler has no business in there. */
#ifdef __bpf__
struct xdp_md;
typedef struct xdp_md *vnf_frame;
#else
struct vnf_packet;
typedef struct vnf_packet *vnf_frame;
#endif

struct vnf_ctx {
    /* The parameters' values. They can change between two frames, never while one is handled. */
    const struct vnf_config *config;
    /*
     * This port's memory: a zeroed VNF_STATE, if vnf.c defines that as a type after including this
     * header, else NULL. Several CPUs may hold frames of one port at once: see vnf_next().
     */
    void *state;
    /* The counters that vnf.toml declares, of this port and CPU: plain increments are exact. */
    struct vnf_counters *counters;
    __u32 ports;
    __u32 port;
    /* All bytes of the frame; more than end - data when a jumbo frame lies in several pieces. */
    __u32 length;
    /* Which of the two banks holds the settings in force. */
    __u32 bank;
    vnf_frame frame;
};

/* The other port of a VNF with two. */
static __always_inline __u32 vnf_peer(__u32 port) {
    return port ^ 1;
}

/* Add one to a number in `state` or in a table and return the sum, each caller a different one. */
static __always_inline __u64 vnf_next(__u64 *number) {
    return __sync_fetch_and_add(number, 1) + 1;
}

/* The finaliser of the generator splitmix64 (Steele, Lea and Flood, OOPSLA 2014): a good hash. */
static __always_inline __u64 vnf_mix64(__u64 value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31);
}

/*
 * Changing a frame's length. Each returns 0, or -1 when that is not possible, and then nothing has
 * changed. Afterwards every pointer into the frame is stale: take vnf_data() and vnf_end() again.
 *
 *     vnf_push(ctx, bytes)    room before the first byte; its content is undefined
 *     vnf_pull(ctx, bytes)    takes bytes away from the front
 *     vnf_append(ctx, bytes)  zeroed room after the last byte
 *     vnf_trim(ctx, bytes)    takes bytes away from the end
 *
 * Reading and writing at an offset, also where a jumbo frame lies in several pieces; 0 or -1:
 *
 *     vnf_load(ctx, offset, to, bytes)
 *     vnf_store(ctx, offset, from, bytes)
 *     VNF_PIECES   1 if frames can lie in several pieces, 0 if end - data is always ctx->length
 *
 * Time and chance:
 *
 *     vnf_now_ns(ctx)   CLOCK_MONOTONIC, the same on every node of a lab
 *     vnf_random(ctx)   64 random bits; the same seed gives the same bits, frame after frame
 *
 * Tables, declared outside of functions. They belong to the VNF as a whole, not to a port. Keys and
 * values are types without padding.
 *
 *     VNF_ARRAY(name, value_type, entries)              __u32 keys below entries; always there
 *     VNF_PER_CORE(name, value_type, entries)           the same, one array for each CPU
 *     VNF_HASH(name, key_type, value_type, entries)
 *     VNF_LRU(name, key_type, value_type, entries)      when full, forgets what was unused longest
 *     VNF_LPM(name, key_type, value_type, entries)      longest prefix: the key type begins with
 *                                                       __u32 prefix_bits, then network order
 *     vnf_lookup(&name, &key)          a pointer to the value, or NULL
 *     vnf_update(&name, &key, &value)  0, or -1 when the table is full
 *     vnf_insert(&name, &key, &value)  the same, but -1 if the key is there
 *     vnf_delete(&name, &key)          0, or -1 if it was not there
 *
 * Settings are arrays that only the control plane writes, together with the parameters: a handler
 * sees either all of the old ones or all of the new ones.
 *
 *     VNF_SETTINGS(name, type, entries)
 *     vnf_setting(ctx, name, index)    a pointer to const, or NULL when index is out of range
 *
 * Hooks, for what only makes sense in user space: coding, crypto, whatever needs to see several
 * frames at once, to hold frames back or to send frames of its own. The macro is defined after this
 * header has been included, and the manifest names no data plane inside the kernel, unless all of
 * it is behind #ifndef __bpf__ and there is a handle() too.
 *
 *     #define VNF_BURST
 *     static void handle_burst(struct vnf_ctx *ctx, struct vnf_packet *packets, __u32 count,
 *                              __u32 port, int *verdicts)
 *
 *         is called instead of handle(), with the frames that came by a port since the last
 *         look, in order, at most VNF_BURST_FRAMES. Frame i lies from packets[i].data up to
 *         packets[i].end; its verdict goes to verdicts[i], which is VNF_DROP until then. One more
 *         verdict is VNF_TAKE: the VNF has taken what it needs, and the frame goes nowhere without
 *         counting as dropped. When the function has returned, nothing of a burst is there any
 *         more: what is held back has to be copied.
 *
 *     #define VNF_IDLE
 *     static __u64 handle_idle(struct vnf_ctx *ctx, __u32 port)
 *
 *         is called for each port whenever a look at all ports has found no frame, and returns in
 *         how many ns it wants to be called again at the latest; VNF_WHENEVER for no wish.
 *
 *     #define VNF_START
 *     static void handle_start(struct vnf_ctx *ctx)
 *
 *         is called once, when the parameters are in place and before the first frame.
 *
 *     vnf_at(ctx, &packets[i])         makes it the frame that vnf_push(), vnf_load(), … work on
 *     vnf_emit(ctx, port, bytes)       a new frame of so many zeroed bytes, to be filled in; it
 *                                      leaves when the hook has returned, behind the burst's own
 *                                      frames. NULL when there is no such port, when it is longer
 *                                      than VNF_EMIT_BYTES, or after VNF_BURST_FRAMES of them
 */
#ifdef __bpf__
#include "vnf_bpf.h"
#else
#include "vnf_user.h"
#endif

#include "vnf_packet.h"

#endif
