/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The tables of a VNF that runs as a process: what BPF maps are in the kernel.
 *
 * One thread handles frames and carries out what the control plane asks for in between, so nothing
 * here is locked. A value stays where it is until its key is deleted or forgotten.
 */
#ifndef VNF_TABLES_H
#define VNF_TABLES_H

#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

/* Puts a pointer to an object where the run loop finds all of its kind: in a section of its own. */
#define VNF_REGISTERED(section_name, type, object)                                                 \
    static type *const object##_registered __attribute__((used, section("vnf_" #section_name))) =  \
        &(object)

enum vnf_kind { VNF_KIND_ARRAY, VNF_KIND_PER_CORE, VNF_KIND_HASH, VNF_KIND_LRU, VNF_KIND_LPM };

#define VNF_NOTHING (~0U)

/*
 * Not inlined: which kind a table is, the compiler does not know, and would warn of what an array's
 * key is too short for.
 */
#define VNF_APART static __attribute__((noinline, unused))

/* An entry: these links, then the key, then the value, each at a multiple of 8 bytes. */
struct vnf_entry {
    __u32 next;         /* in its bucket, or in the list of free ones */
    __u32 newer, older; /* LRU: in the order of use */
    __u32 unused;
    __u8 content[];
};

struct vnf_table {
    const char *name;
    enum vnf_kind kind;
    __u32 key_bytes;
    __u32 value_bytes;
    __u32 capacity;
    __u8 *memory;
    __u32 *buckets;
    size_t entry_bytes;
    __u32 mask;
    __u32 free;
    __u32 newest, oldest;
    /* LPM: how many prefixes there are of each length. */
    __u32 *lengths;
};

static inline size_t vnf_rounded(size_t bytes) {
    return (bytes + 7) & ~(size_t)7;
}

static inline struct vnf_entry *vnf_entry_at(const struct vnf_table *table, __u32 number) {
    return (struct vnf_entry *)(table->memory + number * table->entry_bytes);
}

static inline void *vnf_value_of(const struct vnf_table *table, struct vnf_entry *entry) {
    return entry->content + vnf_rounded(table->key_bytes);
}

static inline int vnf_is_array(const struct vnf_table *table) {
    return table->kind == VNF_KIND_ARRAY || table->kind == VNF_KIND_PER_CORE;
}

/* Give a table its memory; returns -1 when there is none. */
static int vnf_table_open(struct vnf_table *table) {
    if (vnf_is_array(table)) {
        table->entry_bytes = vnf_rounded(table->value_bytes);
        table->memory = calloc(table->capacity, table->entry_bytes);
        return table->memory ? 0 : -1;
    }
    __u32 buckets = 1;
    while (buckets < table->capacity)
        buckets *= 2;
    table->mask = buckets - 1;
    table->entry_bytes =
        sizeof(struct vnf_entry) + vnf_rounded(table->key_bytes) + vnf_rounded(table->value_bytes);
    table->memory = calloc(table->capacity, table->entry_bytes);
    table->buckets = malloc(buckets * sizeof(*table->buckets));
    table->lengths = calloc(table->key_bytes * 8 + 1, sizeof(*table->lengths));
    if (!table->memory || !table->buckets || !table->lengths)
        return -1;
    memset(table->buckets, 0xff, buckets * sizeof(*table->buckets));
    for (__u32 number = 0; number < table->capacity; number++)
        vnf_entry_at(table, number)->next = number + 1 < table->capacity ? number + 1 : VNF_NOTHING;
    table->free = 0;
    table->newest = table->oldest = VNF_NOTHING;
    return 0;
}

static inline void vnf_table_close(struct vnf_table *table) {
    free(table->memory);
    free(table->buckets);
    free(table->lengths);
    table->memory = NULL;
    table->buckets = NULL;
    table->lengths = NULL;
}

static inline __u32 vnf_bucket_of(const struct vnf_table *table, const __u8 *key) {
    __u64 hash = table->key_bytes;
    __u32 at = 0;
    for (; at + 8 <= table->key_bytes; at += 8) {
        __u64 word;
        memcpy(&word, key + at, 8);
        hash = vnf_mix64(hash ^ word);
    }
    if (at < table->key_bytes) {
        __u64 word = 0;
        memcpy(&word, key + at, table->key_bytes - at);
        hash = vnf_mix64(hash ^ word);
    }
    return (__u32)hash & table->mask;
}

VNF_APART __u32 vnf_find(const struct vnf_table *table, const __u8 *key) {
    __u32 number = table->buckets[vnf_bucket_of(table, key)];
    while (number != VNF_NOTHING) {
        struct vnf_entry *entry = vnf_entry_at(table, number);
        if (!memcmp(entry->content, key, table->key_bytes))
            return number;
        number = entry->next;
    }
    return VNF_NOTHING;
}

static inline void vnf_lru_unlink(struct vnf_table *table, struct vnf_entry *entry) {
    if (entry->newer != VNF_NOTHING)
        vnf_entry_at(table, entry->newer)->older = entry->older;
    else
        table->newest = entry->older;
    if (entry->older != VNF_NOTHING)
        vnf_entry_at(table, entry->older)->newer = entry->newer;
    else
        table->oldest = entry->newer;
}

static inline void vnf_lru_push(struct vnf_table *table, __u32 number) {
    struct vnf_entry *entry = vnf_entry_at(table, number);
    entry->newer = VNF_NOTHING;
    entry->older = table->newest;
    if (table->newest != VNF_NOTHING)
        vnf_entry_at(table, table->newest)->newer = number;
    else
        table->oldest = number;
    table->newest = number;
}

static inline void vnf_lru_use(struct vnf_table *table, __u32 number) {
    if (table->kind != VNF_KIND_LRU || table->newest == number)
        return;
    vnf_lru_unlink(table, vnf_entry_at(table, number));
    vnf_lru_push(table, number);
}

/* The key of a prefix: of all bits behind it, none is set. */
static inline void vnf_prefix(const struct vnf_table *table, const __u8 *key, __u32 bits,
                              __u8 *to) {
    memset(to, 0, table->key_bytes);
    memcpy(to, &bits, sizeof(bits));
    memcpy(to + 4, key + 4, bits / 8);
    if (bits % 8)
        to[4 + bits / 8] = key[4 + bits / 8] & (__u8)(0xff00 >> (bits % 8));
}

static inline __u32 vnf_prefix_bits(const __u8 *key) {
    __u32 bits;
    memcpy(&bits, key, sizeof(bits));
    return bits;
}

/* How an entry's key is stored: of a prefix without what is behind it. NULL: it is none. */
static inline const void *vnf_stored_key(const struct vnf_table *table, const void *key,
                                         __u8 *prefix) {
    if (table->kind != VNF_KIND_LPM)
        return key;
    __u32 bits = vnf_prefix_bits(key);
    if (bits > (table->key_bytes - 4) * 8)
        return NULL;
    vnf_prefix(table, key, bits, prefix);
    return prefix;
}

VNF_APART __u32 vnf_find_longest(const struct vnf_table *table, const __u8 *key) {
    __u8 prefix[table->key_bytes];
    __u32 bits = vnf_prefix_bits(key), most = (table->key_bytes - 4) * 8;
    if (bits > most)
        bits = most;
    for (__u32 left = bits + 1; left--;) {
        if (!table->lengths[left])
            continue;
        vnf_prefix(table, key, left, prefix);
        __u32 number = vnf_find(table, prefix);
        if (number != VNF_NOTHING)
            return number;
    }
    return VNF_NOTHING;
}

static inline void *vnf_table_lookup(struct vnf_table *table, const void *key) {
    if (vnf_is_array(table)) {
        __u32 index;
        memcpy(&index, key, sizeof(index));
        return index < table->capacity ? table->memory + index * table->entry_bytes : NULL;
    }
    __u32 number =
        table->kind == VNF_KIND_LPM ? vnf_find_longest(table, key) : vnf_find(table, key);
    if (number == VNF_NOTHING)
        return NULL;
    vnf_lru_use(table, number);
    return vnf_value_of(table, vnf_entry_at(table, number));
}

static inline void vnf_table_remove(struct vnf_table *table, __u32 number) {
    struct vnf_entry *entry = vnf_entry_at(table, number);
    __u32 *link = &table->buckets[vnf_bucket_of(table, entry->content)];
    while (*link != number)
        link = &vnf_entry_at(table, *link)->next;
    *link = entry->next;
    if (table->kind == VNF_KIND_LRU)
        vnf_lru_unlink(table, entry);
    if (table->kind == VNF_KIND_LPM)
        table->lengths[vnf_prefix_bits(entry->content)]--;
    entry->next = table->free;
    table->free = number;
}

VNF_APART int vnf_table_write(struct vnf_table *table, const void *key, const void *value,
                              int replace) {
    if (vnf_is_array(table)) {
        void *place = replace ? vnf_table_lookup(table, key) : NULL;
        if (!place)
            return -1;
        memcpy(place, value, table->value_bytes);
        return 0;
    }
    __u8 prefix[table->key_bytes];
    key = vnf_stored_key(table, key, prefix);
    if (!key)
        return -1;
    __u32 number = vnf_find(table, key);
    if (number == VNF_NOTHING) {
        if (table->free == VNF_NOTHING && table->kind == VNF_KIND_LRU)
            vnf_table_remove(table, table->oldest);
        number = table->free;
        if (number == VNF_NOTHING)
            return -1;
        struct vnf_entry *entry = vnf_entry_at(table, number);
        table->free = entry->next;
        memcpy(entry->content, key, table->key_bytes);
        __u32 *bucket = &table->buckets[vnf_bucket_of(table, key)];
        entry->next = *bucket;
        *bucket = number;
        if (table->kind == VNF_KIND_LRU)
            vnf_lru_push(table, number);
        if (table->kind == VNF_KIND_LPM)
            table->lengths[vnf_prefix_bits(key)]++;
    } else {
        if (!replace)
            return -1;
        vnf_lru_use(table, number);
    }
    memcpy(vnf_value_of(table, vnf_entry_at(table, number)), value, table->value_bytes);
    return 0;
}

VNF_APART int vnf_table_delete(struct vnf_table *table, const void *key) {
    if (vnf_is_array(table))
        return -1;
    __u8 prefix[table->key_bytes];
    key = vnf_stored_key(table, key, prefix);
    if (!key)
        return -1;
    __u32 number = vnf_find(table, key);
    if (number == VNF_NOTHING)
        return -1;
    vnf_table_remove(table, number);
    return 0;
}

#endif
