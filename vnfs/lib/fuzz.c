/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A libFuzzer target around a VNF's handler.
 *
 * The file named by VNF_FUZZ_SETUPS holds ways to set the VNF up: parameters, settings, tables and
 * the number of ports. Of an input, the first byte chooses one of them and bursts of frames follow:
 * each frame is struct fuzz_frame and its bytes. Every input finds the VNF as freshly set up.
 */
#include "memory.h"

#define FUZZ_FRAMES   8
#define FUZZ_SETUPS   16
#define FUZZ_START_NS 1000000000ULL
/* Tables are emptied before every input, which has to be quick. */
#define FUZZ_TABLE_ENTRIES 1024

struct fuzz_frame {
    __u8 port; /* and FUZZ_MORE: the next frame comes in the same burst; FUZZ_IDLE: nothing comes */
    __u8 step; /* time passes first: 2 to this power, in ns */
    __u16 bytes;
} __attribute__((packed));

#define FUZZ_MORE 0x40
#define FUZZ_IDLE 0x80

enum { SETUP_BEGINS, SETUP_CONFIG, SETUP_SETTINGS, SETUP_ENTRY };

/* In the file of setups: a name, a key and a value follow. */
struct setup_record {
    __u32 kind;
    __u32 ports;
    __u32 name_bytes;
    __u32 key_bytes;
    __u32 value_bytes;
} __attribute__((packed));

static struct memory_room rooms[FUZZ_FRAMES];
static __u8 *setups;
static const __u8 *setup[FUZZ_SETUPS];
static __u32 setup_count;
static size_t setups_bytes;

static void memory_sent(__u32 port, const __u8 *data, __u32 bytes) {
    (void)port;
    if (__asan_region_is_poisoned((void *)data, bytes))
        __builtin_trap();
}

static void read_setups(void) {
    const char *path = getenv("VNF_FUZZ_SETUPS");
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file)
        vnf_fail(EXIT_USAGE, NULL, "VNF_FUZZ_SETUPS names no file");
    fseek(file, 0, SEEK_END);
    setups_bytes = (size_t)ftell(file);
    rewind(file);
    setups = malloc(setups_bytes);
    if (!setups || fread(setups, 1, setups_bytes, file) != setups_bytes)
        vnf_fail(EXIT_USAGE, NULL, "%s cannot be read", path);
    fclose(file);
    for (size_t at = 0; at < setups_bytes;) {
        struct setup_record record;
        memcpy(&record, setups + at, sizeof(record));
        if (record.kind == SETUP_BEGINS && setup_count < FUZZ_SETUPS)
            setup[setup_count++] = setups + at;
        at += sizeof(record) + record.name_bytes + record.key_bytes + record.value_bytes;
    }
}

static int is_named(const char *name, const __u8 *given, __u32 bytes) {
    return strlen(name) == bytes && !memcmp(name, given, bytes);
}

static void apply_record(const struct setup_record *record, const __u8 *name) {
    const __u8 *key = name + record->name_bytes, *value = key + record->key_bytes;
    if (record->kind == SETUP_BEGINS)
        vnf.ports = record->ports;
    if (record->kind == SETUP_CONFIG && record->value_bytes == sizeof(struct vnf_config))
        memcpy(&vnf.shared->config[0], value, record->value_bytes);
    for (struct vnf_settings *const *each = __start_vnf_settings; each < __stop_vnf_settings;
         each++)
        if (record->kind == SETUP_SETTINGS && is_named((*each)->name, name, record->name_bytes)) {
            memset((*each)->bank[0], 0, vnf_settings_bytes(*each));
            memcpy((*each)->bank[0], value, record->value_bytes);
        }
    for (struct vnf_table *const *each = __start_vnf_tables; each < __stop_vnf_tables; each++)
        if (record->kind == SETUP_ENTRY && is_named((*each)->name, name, record->name_bytes) &&
            vnf_table_write(*each, key, value, 1))
            vnf_fail(EXIT_USAGE, NULL, "table %s is full", (*each)->name);
}

static void empty_table(struct vnf_table *table) {
    if (vnf_is_array(table)) {
        memset(table->memory, 0, table->capacity * table->entry_bytes);
        return;
    }
    for (__u32 bucket = 0; bucket <= table->mask; bucket++)
        while (table->buckets[bucket] != VNF_NOTHING)
            vnf_table_remove(table, table->buckets[bucket]);
}

static void set_up(const __u8 *at) {
    for (struct vnf_table *const *each = __start_vnf_tables; each < __stop_vnf_tables; each++)
        empty_table(*each);
    for (__u32 port = 0; port < VNF_MAX_PORTS; port++)
        if (STATE_OF(port))
            memset(STATE_OF(port), 0, sizeof(*STATE_OF(port)));
    memset(vnf.shared->counters, 0, sizeof(vnf.shared->counters));
    vnf_seed(1);
    vnf.shared->clock_is_set = 1;
    vnf.shared->clock_ns = FUZZ_START_NS;
    for (int first = 1; at < setups + setups_bytes; first = 0) {
        struct setup_record record;
        memcpy(&record, at, sizeof(record));
        if (record.kind == SETUP_BEGINS && !first)
            break;
        apply_record(&record, at + sizeof(record));
        at += sizeof(record) + record.name_bytes + record.key_bytes + record.value_bytes;
    }
    vnf_begin();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    read_setups();
    memset(vnf.host, 0xff, sizeof(vnf.host));
    for (struct vnf_table *const *each = __start_vnf_tables; each < __stop_vnf_tables; each++)
        if (!vnf_is_array(*each) && (*each)->capacity > FUZZ_TABLE_ENTRIES)
            (*each)->capacity = FUZZ_TABLE_ENTRIES;
    vnf_share(-1);
    return 0;
}

int LLVMFuzzerTestOneInput(const __u8 *input, size_t size) {
    struct vnf_packet packets[FUZZ_FRAMES];
    __u32 count = 0;
    if (!size)
        return 0;
    set_up(setup[input[0] % setup_count]);
    input++;
    size--;
    while (size >= sizeof(struct fuzz_frame)) {
        struct fuzz_frame given;
        memcpy(&given, input, sizeof(given));
        input += sizeof(given);
        size -= sizeof(given);
        vnf.shared->clock_ns += 1ULL << (given.step & 0x3f);
        if (given.port & FUZZ_IDLE) {
#ifdef VNF_IDLE
            vnf_ask_idle();
#endif
            continue;
        }
        __u32 bytes = given.bytes < size ? given.bytes : (__u32)size;
        memcpy(memory_open(&rooms[count]), input, bytes);
        packets[count] = memory_frame(&rooms[count], bytes);
        count++;
        input += bytes;
        size -= bytes;
        if (given.port & FUZZ_MORE && count < FUZZ_FRAMES && size >= sizeof(given))
            continue;
        vnf_handle_burst((given.port & 0x3f) % vnf.ports, packets, count);
        count = 0;
    }
    return 0;
}
