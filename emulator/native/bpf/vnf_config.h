/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* What vnfs/lib/vnf.h wants to know of a VNF, for programs that use its helpers and are none. */
#ifndef VNF_CONFIG_H
#define VNF_CONFIG_H

struct vnf_config {};
struct vnf_counters {};

#endif
