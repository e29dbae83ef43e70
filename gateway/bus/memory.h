/* SPDX-License-Identifier: MIT */
/* memory: the inside of the memory bus, shared by memory.c and memory_room.c. */
#ifndef GATEWAY_BUS_MEMORY_H
#define GATEWAY_BUS_MEMORY_H

#include "gateway/bus/dedupe.h"
#include "gateway/bus/topic.h"

struct bus_room {
    struct topic topic;
    struct memory *memory;     /* borrowed: outlives us */
    struct room_policy policy; /* a copy: the config may change */
    struct dedupe seen;        /* keys of its messages */
    void *ctx;
    uint64_t generation; /* counts the opens; a job of an earlier one is void */
    bool open;           /* between bus_open_room and bus_close_room */
    bool alive;          /* on_opened is out, events may follow */
    uint64_t closed_ms;
    struct list jobs;     /* of struct job; owned */
    struct list in_dirty; /* in memory->dirty while there are jobs */
    size_t name_len;
    char name[];
};

enum job_kind { JOB_OPEN, JOB_SYNC, JOB_PUBLISH, JOB_SIGNAL, JOB_PRESENCE, JOB_READ };

struct job {
    struct list link;
    enum job_kind kind;
    struct bus_call *call; /* borrowed until done; NULL: nobody waits */
    uint64_t generation;
    uint64_t connection;        /* signal */
    struct bus_range range;     /* read; epoch is in text */
    struct bus_message message; /* publish; in text */
    struct str line;            /* signal; in text */
    char text[];
};

struct memory {
    struct bus base;
    struct map rooms;         /* of struct bus_room; owns them */
    struct map users;         /* of struct bus_user; owns them */
    struct list dirty;        /* of struct bus_room with jobs */
    struct list errands;      /* of struct errand; owned */
    struct dedupe directs;    /* keys of direct messages */
    struct buf text;          /* scratch: the lines of a batch */
    struct loop_task *work;   /* owned */
    struct loop_timer *sweep; /* owned */
};

struct str memory_room_name(const void *item);
struct topic_limits memory_room_limits(const struct bus_room *r);

/* Queues a job of the room, with room for text_len bytes; the caller fills in the rest. */
struct job *memory_job_new(struct bus_room *r, enum job_kind kind, size_t text_len,
                           struct bus_call *call);
/* Runs what is queued now; what that leads to comes in the next turn. */
void memory_room_work(struct bus_room *r);
/* What is still queued was not done. */
void memory_room_drop(struct bus_room *r);

#endif
