/* SPDX-License-Identifier: MIT */
#include "client/cli/adapter_tutorial.h"

#include "common/buf.h"

static void begin_data(struct buf *say, const char *type)
{
    BUF_LIT(say, "{\"type\":\"");
    buf_add(say, str_from(type));
    BUF_LIT(say, "\",\"data\":{");
}

static void add_room(const struct adapter_member *m, struct buf *say)
{
    BUF_LIT(say, "\"room\":\"");
    buf_add(say, m->room);
    buf_add_char(say, '"');
}

static void add_text(struct str text, struct buf *say)
{
    BUF_LIT(say, ",\"text\":\"");
    buf_add(say, text);
    BUF_LIT(say, "\"}}");
}

static void tutorial_opened(struct adapter_member *m, struct buf *say)
{
    begin_data(say, "join");
    add_room(m, say);
    BUF_LIT(say, ",\"user\":\"");
    adapter_add_user(say, m->user);
    buf_add_char(say, '"');
    if (m->position != NULL && m->position->session[0] != '\0') {
        BUF_LIT(say, ",\"since\":{\"epoch\":\"");
        buf_add(say, str_from(m->position->session));
        BUF_LIT(say, "\",\"offset\":");
        buf_add(say, str_from(m->position->mark));
        buf_add_char(say, '}');
    }
    BUF_LIT(say, "}}");
}

/* A recovered member keeps its own position: what it missed is still to come. */
static enum adapter_verdict welcome(struct adapter_member *m, struct str text)
{
    if (str_equal(adapter_value(text, "recovered"), STR("true"))) {
        return ADAPTER_RECOVERED;
    }
    struct adapter_position *position = m->position;
    if (position != NULL) {
        adapter_keep(position->session, sizeof(position->session), adapter_value(text, "epoch"));
        adapter_keep(position->mark, sizeof(position->mark), adapter_value(text, "offset"));
    }
    return ADAPTER_READY;
}

static enum adapter_verdict tutorial_heard(struct adapter_member *m, struct str text,
                                           struct buf *say)
{
    struct str type = adapter_value(text, "type");
    if (str_equal(type, STR("ping"))) {
        BUF_LIT(say, "{\"type\":\"pong\"}");
    } else if (str_equal(type, STR("welcome"))) {
        return welcome(m, text);
    } else if (str_equal(type, STR("error"))) {
        return ADAPTER_ERROR;
    }
    return ADAPTER_NOTHING;
}

static void tutorial_chat(const struct adapter_member *m, struct str text, struct buf *say)
{
    begin_data(say, "chat");
    add_room(m, say);
    add_text(text, say);
}

static void tutorial_direct(const struct adapter_member *m, uint32_t to_user, struct str text,
                            struct buf *say)
{
    (void)m;
    begin_data(say, "direct");
    BUF_LIT(say, "\"to\":\"");
    adapter_add_user(say, to_user);
    buf_add_char(say, '"');
    add_text(text, say);
}

static void parley_note(struct adapter_member *m, struct str delivery)
{
    adapter_keep(m->position->mark, sizeof(m->position->mark), adapter_value(delivery, "offset"));
}

static bool tutorial_sound(const struct adapter_member *m, struct str delivery, struct str text)
{
    return str_equal(adapter_value(delivery, "type"), STR("chat")) &&
           adapter_sound_object(delivery, "data", m->room, text);
}

#define TUTORIAL                                                                     \
    .path = ADAPTER_PATH("/ws"), .opened = tutorial_opened, .heard = tutorial_heard, \
    .chat = tutorial_chat, .direct = tutorial_direct, .sound = tutorial_sound

const struct adapter adapter_parley = {.name = "parley",
                                       .help = "a gateway of ours (resumes with since)",
                                       TUTORIAL,
                                       .note = parley_note};
const struct adapter adapter_ws = {
    .name = "ws", .help = "servers that speak the tutorial's JSON", TUTORIAL};
