/* SPDX-License-Identifier: MIT */
#include "client/cli/adapter_plain.h"

#include "common/buf.h"

static enum adapter_verdict plain_heard(struct adapter_member *m, struct str text, struct buf *say)
{
    (void)m;
    (void)text;
    (void)say;
    return ADAPTER_NOTHING; /* Nchan tells its publishers how many got each message */
}

static void plain_chat(const struct adapter_member *m, struct str text, struct buf *say)
{
    (void)m;
    buf_add(say, text);
}

static bool plain_sound(const struct adapter_member *m, struct str delivery, struct str text)
{
    (void)m;
    return str_equal(delivery, text);
}

#define PLAIN .ready_at_once = true, .heard = plain_heard, .chat = plain_chat, .sound = plain_sound

const struct adapter adapter_nchan = {
    .name = "nchan", .help = "nginx with Nchan", .path = ADAPTER_PATH("/sub/{room}"), PLAIN};
const struct adapter adapter_floor = {.name = "floor",
                                      .help = "our floor programs: what is said is sent on",
                                      .path = ADAPTER_PATH("/{room}"),
                                      PLAIN};
