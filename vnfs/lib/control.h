/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How the emulator talks to a VNF process: requests over a SOCK_SEQPACKET socket, one message each,
 * answered between two bursts by the thread that handles the frames, so nothing needs a lock.
 *
 * A request is struct control_request and then a key and a value; an answer is an __s32, 0 or a
 * negative errno, and then the result. With a request can come a descriptor.
 */
#ifndef VNF_CONTROL_H
#define VNF_CONTROL_H

#include <fcntl.h>
#include <sys/socket.h>

#define CONTROL_CLIENTS       32
#define CONTROL_MESSAGE_BYTES 65536

/* What struct vnf_config contains: the parameters' fields, or all of them as one JSON text. */
#ifndef VNF_CONFIG_FORM
#define VNF_CONFIG_FORM "fields"
#endif

#ifdef PORT_ARRIVAL
#define CONTROL_TELLS_ARRIVAL "true"
#else
#define CONTROL_TELLS_ARRIVAL "false"
#endif

enum {
    CONTROL_DESCRIBE = 0, /* the answer is JSON */
    CONTROL_UPDATE = 1,   /* key and value of a table */
    CONTROL_DELETE = 2,   /* key of a table */
    CONTROL_DUMP = 3,     /* as many entries, key and value, as fit, from entry number `from` on */
    CONTROL_START = 4,    /* parameters and tables are in place: open the ports */
    /* struct tap_request, and the table as a descriptor; no descriptor: that is over. */
    CONTROL_TAP = 5,
};

struct control_request {
    __u32 operation;
    __u32 table;
    __u32 from;
};

static struct {
    int listener;
    int client[CONTROL_CLIENTS];
    __u32 clients;
    int started;
    /* The descriptor that has come with a request, else -1. */
    int passed;
} control = {.listener = -1, .passed = -1};

static void control_listen(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    control.listener = fd;
}

static __u32 control_wait(struct pollfd *fds) {
    __u32 count = 0;
    if (control.listener >= 0 && control.clients < CONTROL_CLIENTS)
        fds[count++] = (struct pollfd){.fd = control.listener, .events = POLLIN};
    for (__u32 i = 0; i < control.clients; i++)
        fds[count++] = (struct pollfd){.fd = control.client[i], .events = POLLIN};
    return count;
}

static size_t control_describe(char *to, size_t room) {
    FILE *out = fmemopen(to, room, "w");
    const char *comma = "";
    if (!out)
        return 0;
    fprintf(out, "{\"ports\":[");
    for (__u32 port = 0; port < vnf.ports; port++)
        fprintf(out, "%s{\"name\":\"%s\",\"mode\":\"%s\",\"apart\":%s,\"socket\":%d}",
                port ? "," : "", vnf.port_name[port],
                vnf.port_mode[port] ? vnf.port_mode[port] : "not open",
                vnf.port_apart[port] ? "true" : "false", vnf.port_socket[port]);
    fprintf(out, "],\"counters\":{\"offset\":%zu,\"stride\":%zu}",
            offsetof(struct shared, counters), sizeof(struct port_counters));
    fprintf(out, ",\"clock\":{\"is_set\":%zu,\"ns\":%zu}", offsetof(struct shared, clock_is_set),
            offsetof(struct shared, clock_ns));
    fprintf(out, ",\"tap\":{\"arrivals\":%s}", CONTROL_TELLS_ARRIVAL);
    fprintf(out, ",\"active_bank\":%zu,\"config\":{\"offset\":%zu,\"bytes\":%zu,\"form\":\"%s\"}",
            offsetof(struct shared, active_bank), offsetof(struct shared, config),
            sizeof(struct vnf_config), VNF_CONFIG_FORM);
    fprintf(out, ",\"settings\":{");
    for (struct vnf_settings *const *each = __start_vnf_settings; each < __stop_vnf_settings;
         each++, comma = ",")
        fprintf(out, "%s\"%s\":{\"entry_bytes\":%u,\"entries\":%u,\"offsets\":[%td,%td]}", comma,
                (*each)->name, (*each)->entry_bytes, (*each)->entries,
                (char *)(*each)->bank[0] - (char *)vnf.shared,
                (char *)(*each)->bank[1] - (char *)vnf.shared);
    fprintf(out, "},\"tables\":{");
    comma = "";
    for (struct vnf_table *const *each = __start_vnf_tables; each < __stop_vnf_tables;
         each++, comma = ",")
        fprintf(out, "%s\"%s\":{\"number\":%td,\"key_bytes\":%u,\"value_bytes\":%u,\"entries\":%u}",
                comma, (*each)->name, each - __start_vnf_tables, (*each)->key_bytes,
                (*each)->value_bytes, (*each)->capacity);
    fprintf(out, "}}");
    if (fflush(out))
        vnf_fail(EXIT_USAGE, "declare fewer tables and settings",
                 "its tables and settings cannot be listed in %zu bytes", room);
    long size = ftell(out);
    fclose(out);
    return size < 0 ? 0 : (size_t)size;
}

static struct vnf_table *control_table(__u32 number) {
    return number < (size_t)(__stop_vnf_tables - __start_vnf_tables) ? __start_vnf_tables[number]
                                                                     : NULL;
}

/* Entries in use, found by walking the buckets: free ones are in none. */
static size_t control_dump(struct vnf_table *table, __u32 from, __u8 *to, size_t room) {
    size_t each = table->key_bytes + table->value_bytes, used = 0;
    __u32 seen = 0;
    if (vnf_is_array(table)) {
        for (__u32 index = from; index < table->capacity && used + each <= room; index++) {
            memcpy(to + used, &index, sizeof(index));
            memcpy(to + used + table->key_bytes, vnf_table_lookup(table, &index),
                   table->value_bytes);
            used += each;
        }
        return used;
    }
    for (__u32 bucket = 0; bucket <= table->mask; bucket++)
        for (__u32 number = table->buckets[bucket]; number != VNF_NOTHING;
             number = vnf_entry_at(table, number)->next) {
            struct vnf_entry *entry = vnf_entry_at(table, number);
            if (seen++ < from)
                continue;
            if (used + each > room)
                return used;
            memcpy(to + used, entry->content, table->key_bytes);
            memcpy(to + used + table->key_bytes, vnf_value_of(table, entry), table->value_bytes);
            used += each;
        }
    return used;
}

static __s32 control_tap(const __u8 *message, size_t size, int client) {
    struct tap_request request;
    if (control.passed < 0) {
        tap_end(client);
        return 0;
    }
    if (size != sizeof(request))
        return -EINVAL;
    memcpy(&request, message, sizeof(request));
    return tap_begin(&request, control.passed, client);
}

static __s32 control_carry_out(const __u8 *message, size_t size, __u8 *result, size_t *used,
                               int client) {
    struct control_request request;
    if (size < sizeof(request))
        return -EINVAL;
    memcpy(&request, message, sizeof(request));
    message += sizeof(request);
    size -= sizeof(request);
    if (request.operation == CONTROL_DESCRIBE) {
        *used = control_describe((char *)result, *used);
        return *used ? 0 : -ENOMEM;
    }
    size_t room = *used;
    *used = 0;
    if (request.operation == CONTROL_START) {
        control.started = 1;
        return 0;
    }
    if (request.operation == CONTROL_TAP)
        return control_tap(message, size, client);
    struct vnf_table *table = control_table(request.table);
    if (!table)
        return -ENOENT;
    switch (request.operation) {
    case CONTROL_UPDATE:
        if (size != (size_t)table->key_bytes + table->value_bytes)
            return -EINVAL;
        return vnf_table_write(table, message, message + table->key_bytes, 1) ? -ENOSPC : 0;
    case CONTROL_DELETE:
        if (size != table->key_bytes)
            return -EINVAL;
        return vnf_table_delete(table, message) ? -ENOENT : 0;
    case CONTROL_DUMP:
        *used = control_dump(table, request.from, result, room);
        return 0;
    }
    return -EINVAL;
}

/* A request, and the descriptor that may come with it. */
static ssize_t control_receive(int client, __u8 *message, size_t room) {
    struct iovec part = {.iov_base = message, .iov_len = room};
    char beside[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = beside,
                            .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t size = recvmsg(client, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *found = size < 0 ? NULL : CMSG_FIRSTHDR(&header);
    if (found && found->cmsg_level == SOL_SOCKET && found->cmsg_type == SCM_RIGHTS)
        memcpy(&control.passed, CMSG_DATA(found), sizeof(int));
    return size;
}

/* Forget a client, and what lasts as long as it does. */
static void control_hang_up(__u32 number) {
    tap_end(control.client[number]);
    close(control.client[number]);
    control.client[number] = control.client[--control.clients];
}

/* Answer whoever asks, without waiting. */
static void control_serve(void) {
    static __u8 message[CONTROL_MESSAGE_BYTES], answer[CONTROL_MESSAGE_BYTES];
    struct pollfd fds[CONTROL_CLIENTS + 1];
    if (control.listener < 0 || poll(fds, control_wait(fds), 0) <= 0)
        return;
    if (control.clients < CONTROL_CLIENTS) {
        int client = accept4(control.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0)
            control.client[control.clients++] = client;
    }
    for (__u32 i = 0; i < control.clients;) {
        ssize_t size = control_receive(control.client[i], message, sizeof(message));
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            i++;
            continue;
        }
        if (size <= 0) {
            control_hang_up(i);
            continue;
        }
        size_t used = sizeof(answer) - sizeof(__s32);
        __s32 status = control_carry_out(message, (size_t)size, answer + sizeof(status), &used,
                                         control.client[i]);
        if (control.passed >= 0)
            close(control.passed);
        control.passed = -1;
        memcpy(answer, &status, sizeof(status));
        if (status)
            used = 0;
        if (send(control.client[i], answer, sizeof(status) + used, MSG_NOSIGNAL) < 0) {
            control_hang_up(i);
            continue;
        }
        i++;
    }
}

/* Before it sees a frame, a VNF is given its parameters and the content of its tables. */
static void control_await_start(void) {
    struct pollfd fds[CONTROL_CLIENTS + 1];
    while (control.listener >= 0 && !control.started && !vnf.stop) {
        poll(fds, control_wait(fds), -1);
        control_serve();
    }
}

#endif
