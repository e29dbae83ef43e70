/* SPDX-License-Identifier: MIT */
/* outlog: a room's outgoing log: ready WebSocket frames, appended once, read by every member at its
 * own cursor. Pure: knows no socket.
 *
 * Frames stand in reference-counted chunks; a frame never crosses a chunk's end. Chunks form a
 * chain: a cursor holds one reference to its chunk, a chunk one to the next; so what nobody needs
 * frees itself, and one slow reader keeps only the tail that it has not read.
 *
 * Most readers have read everything. Such a reader is *at rest*: it holds no chunk, and its place
 * is one of the log's two *anchors*, each of which counts its readers. So a log with nothing to say
 * holds no chunk at all, and writing to 1,000 readers at rest touches no chunk's reference count.
 *
 * A *pass* visits every reader once and writes what lies before its end, the newest anchor, which
 * stays where the log ended when the pass began. It may be spread over several turns of the loop. A
 * reader that could not take everything leaves the pass with a cursor of its own. */
#ifndef GATEWAY_EDGE_OUTLOG_H
#define GATEWAY_EDGE_OUTLOG_H

#include "common/base.h"
#include "common/list.h"
#include "gateway/edge/pace.h"

#define OUTLOG_CHUNK_MIN 512u
#define OUTLOG_NO_TAG UINT64_MAX
#define OUTLOG_CHUNK_MAX 65536u /* a longer frame gets a chunk of its own */

struct outlog_chunk;

/* The end of the last pass, and that of the one under way. */
#define OUTLOG_ANCHORS 2

/* A frame boundary: how many bytes and frames were appended before it, and the last tag before it.
 */
struct outlog_place {
    struct outlog_chunk
        *chunk; /* ref; the chunk in which the place lies; a reader's is NULL at rest */
    uint64_t at;
    uint64_t frames;
    uint64_t tag;
};

struct outlog_anchor {
    struct outlog_place place; /* its chunk is NULL while nothing was appended behind it */
    uint32_t readers;          /* at rest here; the anchor is free when 0 and not the newest */
};

struct outlog {
    struct list readers;
    struct list dirty;         /* the flush's: on the list of logs with something to write */
    struct pace pace;          /* the flush's */
    struct list *next;         /* where the pass goes on */
    struct outlog_chunk *tail; /* ref; NULL while nobody needs a chunk */
    struct outlog_anchor anchors[OUTLOG_ANCHORS];
    uint32_t newest;             /* anchor */
    uint32_t round;              /* counts the ends that passes had */
    uint32_t reader_count, todo; /* todo: readers not visited in this round */
    uint32_t chunk_size;         /* of the next chunk: grows with the traffic */
    uint64_t end, frames, tag;   /* of everything appended */
    uint64_t *held_bytes;        /* borrowed: counts the bytes of chunks alive */
};

/* Embedded in the room's member. */
struct outlog_reader {
    struct list in_log;
    struct list in_conn; /* the connection's; managed by ws */
    struct outlog *log;  /* NULL: follows none */
    void *conn;          /* borrowed: whose cursor this is */
    struct outlog_place place;
    struct list excepted;       /* frames it must not get that are still ahead of it */
    uint64_t cut_at, cut_first; /* of the first cut not told of yet; cut_at UINT64_MAX: none */
    uint32_t round;             /* last visited in */
    uint32_t held;              /* skipped by passes while above 0 */
    uint8_t exceptions;         /* how many */
};

void outlog_init(struct outlog *log, uint64_t *held_bytes);
void outlog_fini(struct outlog *log); /* no reader is attached */

/* Appends one text frame (FIN, opcode 1, unmasked). tag: OUTLOG_NO_TAG for none. except (may be
 * NULL) does not get it; with 255 such frames still ahead of it, it does. */
void outlog_append(struct outlog *log, struct str text, uint64_t tag, struct outlog_reader *except);

/* The tag that the log stands at before its first append (a room's newest offset when it came
 * alive). */
void outlog_set_tag(struct outlog *log, uint64_t tag);

/* Writes one text frame to out, which has room for text.len + 10 bytes; the result is its length.
 */
size_t outlog_frame(unsigned char *out, struct str text);

/* Attaches at the end: what is appended from now on is read. */
void outlog_attach(struct outlog *log, struct outlog_reader *r);
void outlog_detach(struct outlog_reader *r); /* no-op when not attached */

/* True when a pass is under way, or something was appended behind the end of the last one. */
bool outlog_has_news(const struct outlog *log);
bool outlog_pass_under_way(const struct outlog *log);
/* Begins a pass. No-op when one is under way, or nothing was appended. */
void outlog_pass_begin(struct outlog *log);
/* The next reader to visit; NULL: every reader was. */
struct outlog_reader *outlog_pass_next(struct outlog *log);

/* r has not read up to the end of the newest pass. */
bool outlog_in_pass(const struct outlog_reader *r);
/* What r has to read next, as one run of bytes of whole frames, up to the newest pass's end; for
 * who is there, to the log's end, or nothing yet while a pass is under way. Empty: nothing. */
struct str outlog_peek(struct outlog_reader *r);
/* r has read the run that outlog_peek gave; the result is the number of frames in it. */
uint64_t outlog_advance(struct outlog_reader *r);
/* Makes r's cursor its own where it has not read up to the pass's end, so that the pass can go on
 * without it; puts r to rest where it has. Called for each reader that a pass visits. */
void outlog_keep(struct outlog_reader *r);

/* Bytes that r has not read, and the last tag that it has. */
uint64_t outlog_backlog(const struct outlog_reader *r);
uint64_t outlog_reader_tag(const struct outlog_reader *r);
/* Jumps to the log's end; the result is the number of bytes left out. */
uint64_t outlog_cut(struct outlog_reader *r);

/* What all cuts since the last call of outlog_take_cut left out: from the place `at` on, tags first
 * … last (first > last: none). */
struct outlog_cut {
    uint64_t at;
    uint64_t first, last;
};
bool outlog_was_cut(const struct outlog_reader *r);
/* False: r was not cut. */
bool outlog_take_cut(struct outlog_reader *r, struct outlog_cut *cut) MUST_CHECK;

#endif
