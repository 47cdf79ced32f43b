/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * In the place of what is generated from a manifest: VNFs in Python share one library, so their
 * parameters are a JSON text and their counters have numbers.
 */
#ifndef VNF_CONFIG_H
#define VNF_CONFIG_H

#define VNF_CONFIG_FORM "text"
#define VNF_TEXT_BYTES  65528
#define VNF_OWN_NUMBERS 64

struct vnf_config {
    __u32 bytes;
    __u32 crc32; /* of the text, as zlib computes it */
    char text[VNF_TEXT_BYTES];
};

struct vnf_counters {
    __u64 number[VNF_OWN_NUMBERS];
};

#endif
