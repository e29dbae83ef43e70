/* SPDX-License-Identifier: MIT */
/* adapter: what the load generator says to a kind of server, and how it understands it. Pure: an
 * adapter gets the text of a frame and adds at most one text to say; framing, sockets and time are
 * bench_client's. Deliveries never come here, but to note() and sound() when these are wanted.
 * README.md beside this file says what each server must speak. */
#ifndef CLIENT_CLI_ADAPTER_H
#define CLIENT_CLI_ADAPTER_H

#include "common/base.h"

struct buf;

/* From where a member goes on after a lost connection. */
struct adapter_position {
    char session[64]; /* parley: the epoch; socketio: the private id; empty: none */
    char mark[64];    /* of the last delivery: parley: its offset; socketio: its id */
};

struct adapter_member {
    struct str room;                   /* borrowed */
    uint32_t user;                     /* its name is m<user> */
    uint8_t step;                      /* of the adapter's own; 0 when a connection begins */
    struct adapter_position *position; /* borrowed; NULL: it never resumes */
};

enum adapter_verdict {
    ADAPTER_NOTHING,
    ADAPTER_READY,     /* it is a member of the room now */
    ADAPTER_RECOVERED, /* the same, and the server says that what it missed follows */
    ADAPTER_ERROR,     /* the server refused something */
};

struct adapter {
    const char *name;
    const char *help;
    struct str path;    /* where the URL has none */
    bool ready_at_once; /* the upgrade makes it a member */
    /* The connection is open; NULL: nothing to say. */
    void (*opened)(struct adapter_member *m, struct buf *say);
    /* A text that is no delivery. */
    enum adapter_verdict (*heard)(struct adapter_member *m, struct str text, struct buf *say);
    void (*chat)(const struct adapter_member *m, struct str text, struct buf *say);
    /* NULL: there are no direct messages. */
    void (*direct)(const struct adapter_member *m, uint32_t to_user, struct str text,
                   struct buf *say);
    /* Keeps the position of a delivery in m->position; NULL: members only join again. */
    void (*note)(struct adapter_member *m, struct str delivery);
    /* Whether a delivery is a well-formed message of this room with exactly this text. */
    bool (*sound)(const struct adapter_member *m, struct str delivery, struct str text);
};

/* A path in a static table. */
#define ADAPTER_PATH(literal)           \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

extern const struct adapter *const adapters[];
extern const size_t adapter_count;

const struct adapter *adapter_find(const char *name); /* NULL: there is none */

/* For the adapters themselves. The raw value of the first member with that key in JSON text: a
 * string without its quotes, a number; {NULL,0} where there is none. It does not check the text,
 * and is for what servers say about themselves, not for what people may have written. */
struct str adapter_value(struct str json, const char *key);
/* Keeps text, where it fits and is not empty, in a NUL-terminated field of size bytes. */
void adapter_keep(char *field, size_t size, struct str text);
/* Whether the JSON object `data` has this room and this text. */
bool adapter_sound_object(struct str json, const char *data, struct str room, struct str text);
void adapter_add_user(struct buf *say, uint32_t user); /* m<user> */

#endif
