/* SPDX-License-Identifier: MIT */
#include "gateway/edge/outlog.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

/* RFC 6455, section 5.2: FIN and opcode 1, then the length in 7, 7 + 16 or 7 + 64 bits. */
#define FRAME_TEXT 0x81
#define FRAME_HEADER_MAX 10

struct outlog_chunk {
    uint32_t refs;
    uint32_t cap, len;
    uint64_t start;            /* the place of data[0] */
    uint64_t frames, tag;      /* of the log, after the last frame in here */
    uint64_t *held_bytes;      /* borrowed */
    struct outlog_chunk *next; /* ref */
    unsigned char data[];
};

/* One frame that its reader must not get. */
struct exception {
    struct list link;         /* the reader's, in the log's order */
    uint64_t at, frames, tag; /* the place before the frame */
    uint64_t len;
};

static struct outlog_chunk *chunk_ref(struct outlog_chunk *c)
{
    if (c != NULL) {
        c->refs++;
    }
    return c;
}

/* Walks on along the chain by loop, not by recursion: a slow reader may have held thousands. */
static void chunk_unref(struct outlog_chunk *c)
{
    while (c != NULL) {
        assert(c->refs > 0);
        if (--c->refs > 0) {
            return;
        }
        struct outlog_chunk *next = c->next;
        *c->held_bytes -= c->cap;
        free(c);
        c = next;
    }
}

static uint64_t chunk_end(const struct outlog_chunk *c)
{
    return c->start + c->len;
}

static uint32_t size_for(uint64_t bytes)
{
    uint32_t size = OUTLOG_CHUNK_MIN;
    while (size < bytes && size < OUTLOG_CHUNK_MAX) {
        size *= 2;
    }
    return size;
}

static void chunk_open(struct outlog *log, size_t frame_len)
{
    size_t cap = log->chunk_size > frame_len ? log->chunk_size : frame_len;
    struct outlog_chunk *c = xmalloc(sizeof(*c) + cap);
    *c = (struct outlog_chunk){.refs = 1,
                               .cap = (uint32_t)cap,
                               .start = log->end,
                               .frames = log->frames,
                               .tag = log->tag,
                               .held_bytes = log->held_bytes};
    *log->held_bytes += cap;
    if (log->tail != NULL) {
        log->tail->next = chunk_ref(c);
        chunk_unref(log->tail);
        log->chunk_size = size_for(2ull * log->chunk_size);
    }
    log->tail = c;
}

static struct outlog_anchor *newest(struct outlog *log)
{
    return &log->anchors[log->newest];
}

/* Nothing to write: whatever only the log itself still holds goes. */
static void settle(struct outlog *log)
{
    struct outlog_place *last = &newest(log)->place;
    if (log->todo > 0 || last->at != log->end) {
        return;
    }
    chunk_unref(last->chunk);
    last->chunk = NULL;
    if (log->tail != NULL && log->tail->refs == 1) {
        chunk_unref(log->tail);
        log->tail = NULL;
    }
}

static bool at_rest(const struct outlog_reader *r)
{
    return r->place.chunk == NULL;
}

/* The anchor of a reader at rest. No two anchors in use have one place: the log grew between them.
 */
static struct outlog_anchor *anchor_of(const struct outlog_reader *r)
{
    struct outlog *log = r->log;
    struct outlog_anchor *a = newest(log);
    for (size_t i = 0; a->place.at != r->place.at; i++) {
        a = &log->anchors[i];
        assert(i < OUTLOG_ANCHORS);
    }
    return a;
}

static void leave_anchor(struct outlog *log, struct outlog_anchor *a)
{
    assert(a->readers > 0);
    if (--a->readers == 0 && a != newest(log)) {
        chunk_unref(a->place.chunk);
        a->place = (struct outlog_place){.at = UINT64_MAX};
    }
}

/* Puts r to rest on the newest anchor. It has no place of its own now. */
static void rest(struct outlog_reader *r)
{
    struct outlog_anchor *a = newest(r->log);
    a->readers++;
    r->place = (struct outlog_place){.at = a->place.at};
}

/* r stands at `to` from now on, in chunk; its old place is given up after the new one is taken. */
static void move_to(struct outlog_reader *r, const struct outlog_place *to,
                    struct outlog_chunk *chunk)
{
    struct outlog *log = r->log;
    struct outlog_chunk *old = r->place.chunk;
    struct outlog_anchor *left = old == NULL ? anchor_of(r) : NULL;
    if (to->at == newest(log)->place.at) {
        rest(r);
    } else {
        r->place = *to;
        r->place.chunk = chunk_ref(chunk);
    }
    if (left != NULL) {
        leave_anchor(log, left);
    }
    chunk_unref(old);
    settle(log);
}

/* Puts r to rest where it stands on the newest anchor with a chunk of its own. */
static void arrive(struct outlog_reader *r)
{
    const struct outlog_place *last = &newest(r->log)->place;
    if (!at_rest(r) && r->place.at == last->at) {
        move_to(r, last, NULL);
    }
}

/* The next frame that r must not get; r has one. */
static struct exception *next_exception(const struct outlog_reader *r)
{
    return container_of(r->excepted.next, struct exception, link);
}

static void exception_free(struct outlog_reader *r, struct exception *e)
{
    r->exceptions--;
    list_remove(&e->link);
    free(e);
}

static void drop_exceptions(struct outlog_reader *r)
{
    while (r->exceptions > 0) {
        exception_free(r, next_exception(r));
    }
}

static size_t frame_header(unsigned char *out, size_t len)
{
    out[0] = FRAME_TEXT;
    if (len < 126) {
        out[1] = (unsigned char)len;
        return 2;
    }
    size_t bytes = len < 65536 ? 2 : 8;
    out[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) {
        out[2 + i] = (unsigned char)((uint64_t)len >> (8 * (bytes - 1 - i)));
    }
    return 2 + bytes;
}

void outlog_init(struct outlog *log, uint64_t *held_bytes)
{
    *log = (struct outlog){.chunk_size = OUTLOG_CHUNK_MIN};
    log->held_bytes = held_bytes;
    for (size_t i = 1; i < OUTLOG_ANCHORS; i++) {
        log->anchors[i].place.at = UINT64_MAX; /* free */
    }
    list_init(&log->readers);
    log->next = &log->readers;
    list_init(&log->dirty);
}

void outlog_fini(struct outlog *log)
{
    assert(list_empty(&log->readers));
    chunk_unref(newest(log)->place.chunk);
    chunk_unref(log->tail);
    newest(log)->place.chunk = log->tail = NULL;
}

size_t outlog_frame(unsigned char *out, struct str text)
{
    size_t header = frame_header(out, text.len);
    memcpy(out + header, text.ptr, text.len);
    return header + text.len;
}

static void except_frame(struct outlog *log, struct outlog_reader *r, uint64_t len)
{
    if (r == NULL || r->exceptions == UINT8_MAX) {
        return;
    }
    struct exception *e = xmalloc(sizeof(*e));
    *e = (struct exception){.at = log->end, .frames = log->frames, .tag = log->tag, .len = len};
    list_push(&r->excepted, &e->link);
    r->exceptions++;
}

void outlog_append(struct outlog *log, struct str text, uint64_t tag, struct outlog_reader *except)
{
    size_t most = text.len + FRAME_HEADER_MAX;
    if (log->tail == NULL || log->tail->cap - log->tail->len < most) {
        chunk_open(log, most);
    }
    struct outlog_chunk *c = log->tail;
    struct outlog_place *last = &newest(log)->place;
    if (last->chunk == NULL && last->at == log->end) {
        last->chunk = chunk_ref(c);
    }
    size_t len = outlog_frame(c->data + c->len, text);
    except_frame(log, except, len);
    c->len += (uint32_t)len;
    log->end += len;
    log->frames++;
    log->tag = tag != OUTLOG_NO_TAG ? tag : log->tag;
    c->frames = log->frames;
    c->tag = log->tag;
}

void outlog_set_tag(struct outlog *log, uint64_t tag)
{
    log->tag = tag;
    if (newest(log)->place.at == log->end) {
        newest(log)->place.tag = tag;
    }
}

void outlog_attach(struct outlog *log, struct outlog_reader *r)
{
    assert(r->log == NULL);
    r->log = log;
    r->exceptions = 0;
    list_init(&r->excepted);
    r->round = log->round;
    r->cut_at = UINT64_MAX;
    if (newest(log)->place.at == log->end) {
        rest(r);
    } else {
        r->place = (struct outlog_place){chunk_ref(log->tail), log->end, log->frames, log->tag};
    }
    list_push(&log->readers, &r->in_log);
    log->reader_count++;
}

void outlog_detach(struct outlog_reader *r)
{
    struct outlog *log = r->log;
    if (log == NULL) {
        return;
    }
    drop_exceptions(r);
    if (log->next == &r->in_log) {
        log->next = r->in_log.next;
    }
    if (r->round != log->round) {
        log->todo--;
    }
    list_remove(&r->in_log);
    log->reader_count--;
    if (at_rest(r)) {
        leave_anchor(log, anchor_of(r));
    }
    chunk_unref(r->place.chunk);
    r->place.chunk = NULL;
    r->log = NULL;
    settle(log);
}

bool outlog_has_news(const struct outlog *log)
{
    return log->todo > 0 || log->anchors[log->newest].place.at != log->end;
}

static struct outlog_anchor *free_anchor(struct outlog *log)
{
    for (size_t i = 0; i < OUTLOG_ANCHORS; i++) {
        if (log->anchors[i].place.at == UINT64_MAX) {
            return &log->anchors[i];
        }
    }
    return NULL;
}

bool outlog_pass_under_way(const struct outlog *log)
{
    return log->todo > 0;
}

void outlog_pass_begin(struct outlog *log)
{
    struct outlog_anchor *last = newest(log);
    struct outlog_anchor *a = free_anchor(log);
    if (log->todo > 0 || last->place.at == log->end || a == NULL) {
        return;
    }
    log->chunk_size = size_for(log->end - last->place.at);
    a->place = (struct outlog_place){chunk_ref(log->tail), log->end, log->frames, log->tag};
    log->newest = (uint32_t)(a - log->anchors);
    if (last->readers == 0) {
        chunk_unref(last->place.chunk);
        last->place = (struct outlog_place){.at = UINT64_MAX};
    }
    log->round++;
    log->todo = log->reader_count;
}

/* Between two visits the kernel sends, and the caches hold its data: those of the next readers are
 * asked for ahead of time. A node of the list may be the log's own, and is read as memory only. */
static void prefetch_ahead(const struct outlog *log)
{
    const struct outlog_reader *next = container_of(log->next, struct outlog_reader, in_log);
    if (log->next != &log->readers) {
        __builtin_prefetch(next->conn);
    }
    __builtin_prefetch(log->next->next);
}

struct outlog_reader *outlog_pass_next(struct outlog *log)
{
    while (log->todo > 0) {
        struct list *it = log->next;
        log->next = it->next;
        prefetch_ahead(log);
        if (it == &log->readers) {
            continue;
        }
        struct outlog_reader *r = container_of(it, struct outlog_reader, in_log);
        if (r->round != log->round) { /* else it came after the round began */
            r->round = log->round;
            log->todo--;
            return r;
        }
    }
    settle(log);
    return NULL;
}

void outlog_keep(struct outlog_reader *r)
{
    if (at_rest(r)) {
        struct outlog_anchor *a = anchor_of(r);
        if (a != newest(r->log)) {
            r->place = a->place;
            chunk_ref(r->place.chunk);
            leave_anchor(r->log, a);
        }
    }
    arrive(r);      /* it may be held, or blocked, and have nothing to read */
    settle(r->log); /* it may be the last: nobody need ask for the next one */
}

bool outlog_in_pass(const struct outlog_reader *r)
{
    return r->place.at < newest(r->log)->place.at;
}

/* Where the run that begins at r's place ends. A reader at rest reads from its anchor's chunk. */
struct run {
    struct outlog_chunk *chunk;
    struct outlog_place end; /* its chunk is not set */
};

static struct run find_run(const struct outlog_reader *r)
{
    struct outlog *log = r->log;
    struct outlog_chunk *c = at_rest(r) ? anchor_of(r)->place.chunk : r->place.chunk;
    while (c != NULL && r->place.at == chunk_end(c) && c->next != NULL) {
        c = c->next;
    }
    struct run run = {c, {.at = log->end, .frames = log->frames, .tag = log->tag}};
    if (log->todo > 0 || r->round != log->round || outlog_in_pass(r)) {
        run.end = newest(log)->place;
    }
    if (c != NULL && chunk_end(c) < run.end.at) {
        run.end = (struct outlog_place){.at = chunk_end(c), .frames = c->frames, .tag = c->tag};
    }
    return run;
}

/* Steps over the frames that r must not get and that are next, and ends the run before a later one.
 */
static struct run find_run_excepted(struct outlog_reader *r)
{
    struct run run = find_run(r);
    while (r->exceptions > 0) {
        struct exception *e = next_exception(r);
        if (e->at != r->place.at || e->at >= run.end.at) {
            if (e->at < run.end.at) {
                run.end = (struct outlog_place){.at = e->at, .frames = e->frames, .tag = e->tag};
            }
            break;
        }
        struct outlog_place behind = {.at = e->at + e->len, .frames = e->frames + 1, .tag = e->tag};
        move_to(r, &behind, run.chunk);
        exception_free(r, e);
        run = find_run(r);
    }
    return run;
}

struct str outlog_peek(struct outlog_reader *r)
{
    struct run run = r->exceptions > 0 ? find_run_excepted(r) : find_run(r);
    if (run.chunk == NULL || run.end.at <= r->place.at) {
        arrive(r);
        return (struct str){NULL, 0};
    }
    const unsigned char *from = run.chunk->data + (r->place.at - run.chunk->start);
    return (struct str){(const char *)from, (size_t)(run.end.at - r->place.at)};
}

uint64_t outlog_advance(struct outlog_reader *r)
{
    struct run run = r->exceptions > 0 ? find_run_excepted(r) : find_run(r);
    uint64_t before = at_rest(r) ? anchor_of(r)->place.frames : r->place.frames;
    move_to(r, &run.end, run.chunk);
    return run.end.frames - before;
}

uint64_t outlog_backlog(const struct outlog_reader *r)
{
    return r->log->end - r->place.at;
}

uint64_t outlog_reader_tag(const struct outlog_reader *r)
{
    return at_rest(r) ? anchor_of(r)->place.tag : r->place.tag;
}

uint64_t outlog_cut(struct outlog_reader *r)
{
    struct outlog *log = r->log;
    struct outlog_place end = {.at = log->end, .frames = log->frames, .tag = log->tag};
    uint64_t bytes = outlog_backlog(r);
    if (!outlog_was_cut(r)) {
        r->cut_at = r->place.at;
        r->cut_first = outlog_reader_tag(r) + 1;
    }
    drop_exceptions(r);
    move_to(r, &end, log->tail);
    return bytes;
}

bool outlog_was_cut(const struct outlog_reader *r)
{
    return r->cut_at != UINT64_MAX;
}

bool outlog_take_cut(struct outlog_reader *r, struct outlog_cut *cut)
{
    if (!outlog_was_cut(r)) {
        return false;
    }
    *cut =
        (struct outlog_cut){.at = r->cut_at, .first = r->cut_first, .last = outlog_reader_tag(r)};
    r->cut_at = UINT64_MAX;
    return true;
}
