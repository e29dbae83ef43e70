/* SPDX-License-Identifier: MIT */
/* pace: when the next pass over a busy room's log begins. Pure: time is passed in.
 *
 * A write costs some 5 us whatever it carries, so a pass over 1,000 members that begins with one
 * message, while ten more are on their way, wastes most of its writes. Waiting helps only where
 * messages do come close behind each other, which cannot be known, but learned: when messages
 * arrived *during* a pass, the next one waits a little longer before it begins; when a wait brought
 * nothing, the next is half as long; when it did, the next is twice as long as it took to come. A
 * wait is never longer than the last pass took (so it at most doubles what a member sees anyway),
 * and rooms whose pass is short never wait: a quiet or small room has no delay at all. */
#ifndef GATEWAY_EDGE_PACE_H
#define GATEWAY_EDGE_PACE_H

#include "common/base.h"

#define PACE_PASS_MIN_US 500 /* shorter passes are not worth a wait */
#define PACE_WAIT_MAX_US 10000

/* Zeroed: a log that never waited. frames is the log's count of frames appended so far. */
struct pace {
    uint64_t since_us;  /* the wait under way began; 0: none is */
    uint64_t gained_us; /* when the wait last brought something */
    uint64_t pass_us;   /* the last pass began */
    uint64_t frames;    /* as last looked at */
    uint32_t wait_us;   /* learned: how long to wait next */
    uint32_t waited_us; /* what it was before the last pass */
    uint32_t limit_us;  /* what the last pass took */
};

/* Something is to be written and no pass is under way: 0 begins one now, else the wait goes on for
 * so many microseconds. */
uint64_t pace_wait_us(struct pace *p, uint64_t now_us, uint64_t frames);
void pace_begin(struct pace *p, uint64_t now_us, uint64_t frames);
void pace_end(struct pace *p, uint64_t now_us, uint64_t frames);

#endif
