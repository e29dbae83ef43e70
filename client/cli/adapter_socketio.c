/* SPDX-License-Identifier: MIT */
#include "client/cli/adapter_socketio.h"

#include "common/buf.h"

/* A packet begins with Engine.IO's type, and in a message ("4") with Socket.IO's. */
#define ENGINE_OPEN '0'
#define ENGINE_PING '2'
#define ENGINE_PONG '3'
#define SOCKET_CONNECT "40"
#define SOCKET_EVENT "42"
#define SOCKET_CONNECT_ERROR "44"

static void add_room(const struct adapter_member *m, struct buf *say)
{
    BUF_LIT(say, "\"room\":\"");
    buf_add(say, m->room);
    buf_add_char(say, '"');
}

static void connect_packet(const struct adapter_member *m, struct buf *say)
{
    BUF_LIT(say, SOCKET_CONNECT);
    const struct adapter_position *position = m->position;
    if (position != NULL && position->session[0] != '\0' && position->mark[0] != '\0') {
        BUF_LIT(say, "{\"pid\":\"");
        buf_add(say, str_from(position->session));
        BUF_LIT(say, "\",\"offset\":\"");
        buf_add(say, str_from(position->mark));
        BUF_LIT(say, "\"}");
    }
}

/* The server gave a session: the one that was asked for is recovered, rooms and all; in a new one
 * the member has to join. */
static enum adapter_verdict connected(struct adapter_member *m, struct str text, struct buf *say)
{
    struct str id = adapter_value(text, "pid");
    struct adapter_position *position = m->position;
    if (position != NULL && id.len > 0) {
        if (str_equal(id, str_from(position->session))) {
            return ADAPTER_RECOVERED;
        }
        *position = (struct adapter_position){{0}, {0}};
        adapter_keep(position->session, sizeof(position->session), id);
    }
    BUF_LIT(say, SOCKET_EVENT "[\"join\",{");
    add_room(m, say);
    BUF_LIT(say, ",\"user\":\"");
    adapter_add_user(say, m->user);
    BUF_LIT(say, "\"}]");
    return ADAPTER_NOTHING;
}

static enum adapter_verdict socketio_heard(struct adapter_member *m, struct str text,
                                           struct buf *say)
{
    if (text.len > 0 && text.ptr[0] == ENGINE_OPEN) {
        connect_packet(m, say);
    } else if (text.len > 0 && text.ptr[0] == ENGINE_PING) {
        buf_add_char(say, ENGINE_PONG);
    } else if (str_starts(text, STR(SOCKET_CONNECT))) {
        return connected(m, text, say);
    } else if (str_starts(text, STR(SOCKET_EVENT "[\"welcome\""))) {
        return ADAPTER_READY;
    } else if (str_starts(text, STR(SOCKET_CONNECT_ERROR)) ||
               str_starts(text, STR(SOCKET_EVENT "[\"error\""))) {
        return ADAPTER_ERROR;
    }
    return ADAPTER_NOTHING;
}

static void add_event(struct str text, struct buf *say)
{
    BUF_LIT(say, ",\"text\":\"");
    buf_add(say, text);
    BUF_LIT(say, "\"}]");
}

static void socketio_chat(const struct adapter_member *m, struct str text, struct buf *say)
{
    BUF_LIT(say, SOCKET_EVENT "[\"chat\",{");
    add_room(m, say);
    add_event(text, say);
}

static void socketio_direct(const struct adapter_member *m, uint32_t to_user, struct str text,
                            struct buf *say)
{
    (void)m;
    BUF_LIT(say, SOCKET_EVENT "[\"direct\",{\"to\":\"");
    adapter_add_user(say, to_user);
    buf_add_char(say, '"');
    add_event(text, say);
}

/* A recoverable server appends the event's id: 42["chat",{…},"id"]. */
static void socketio_note(struct adapter_member *m, struct str delivery)
{
    static const char end[] = "\"]";
    const size_t end_len = sizeof(end) - 1;
    if (delivery.len < end_len ||
        memcmp(delivery.ptr + delivery.len - end_len, end, end_len) != 0) {
        return;
    }
    size_t len = delivery.len - end_len;
    const char *quote = memrchr(delivery.ptr, '"', len);
    if (quote != NULL) {
        adapter_keep(m->position->mark, sizeof(m->position->mark),
                     (struct str){quote + 1, (size_t)(delivery.ptr + len - quote) - 1});
    }
}

static bool socketio_sound(const struct adapter_member *m, struct str delivery, struct str text)
{
    static const char begin[] = SOCKET_EVENT "[\"chat\",";
    const size_t begin_len = sizeof(begin) - 1;
    const char *end = memrchr(delivery.ptr, '}', delivery.len);
    if (!str_starts(delivery, str_from(begin)) || end == NULL || end < delivery.ptr + begin_len) {
        return false;
    }
    struct str object = {delivery.ptr + begin_len, (size_t)(end + 1 - delivery.ptr) - begin_len};
    return adapter_sound_object(object, NULL, m->room, text);
}

const struct adapter adapter_socketio = {
    .name = "socketio",
    .help = "Socket.IO 4 (connection state recovery)",
    .path = ADAPTER_PATH("/socket.io/?EIO=4&transport=websocket"),
    .heard = socketio_heard,
    .chat = socketio_chat,
    .direct = socketio_direct,
    .note = socketio_note,
    .sound = socketio_sound,
};
