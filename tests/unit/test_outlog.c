/* SPDX-License-Identifier: MIT */
/* The outgoing log: cases by hand, then random histories beside a model that keeps every frame. */
#include "gateway/edge/outlog.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

#define TEXT_MAX 70000
#define FRAME_EXTRA 10

static uint64_t held_bytes;
static char text_bytes[TEXT_MAX + 26];

static struct str text_of(size_t len)
{
    return (struct str){text_bytes, len};
}

static void append(struct outlog *log, const char *text, uint64_t tag)
{
    outlog_append(log, str_from(text), tag, NULL);
}

/* Everything that r can read now, as the texts of its frames (all shorter than 126 bytes), each
 * followed by a bar. */
static struct str read_texts(struct outlog_reader *r)
{
    static struct buf out;
    buf_clear(&out);
    for (struct str run = outlog_peek(r); run.len > 0; run = outlog_peek(r)) {
        uint64_t frames = 0;
        for (size_t at = 0; at < run.len; frames++) {
            size_t len = (unsigned char)run.ptr[at + 1];
            ck_assert_uint_eq((unsigned char)run.ptr[at], 0x81);
            buf_add(&out, (struct str){run.ptr + at + 2, len});
            BUF_LIT(&out, "|");
            at += 2 + len;
        }
        ck_assert_uint_eq(outlog_advance(r), frames);
    }
    return buf_str(&out);
}

/* A whole pass in which every reader that is not held reads all. */
static void pass(struct outlog *log)
{
    outlog_pass_begin(log);
    for (struct outlog_reader *r = outlog_pass_next(log); r != NULL; r = outlog_pass_next(log)) {
        if (!r->held) {
            (void)read_texts(r);
        }
        outlog_keep(r);
    }
}

START_TEST(a_frame_is_one_text_frame_with_the_shortest_length)
{
    static const struct {
        size_t len, header_len;
        unsigned char header[10];
    } cases[] = {
        {0, 2, {0x81, 0}},
        {1, 2, {0x81, 1}},
        {125, 2, {0x81, 125}},
        {126, 4, {0x81, 126, 0, 126}},
        {65535, 4, {0x81, 126, 0xff, 0xff}},
        {65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
        {TEXT_MAX, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70}},
    };
    static unsigned char out[TEXT_MAX + FRAME_EXTRA];
    memset(text_bytes, 'x', sizeof(text_bytes));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = outlog_frame(out, text_of(cases[i].len));
        ck_assert_uint_eq(len, cases[i].header_len + cases[i].len);
        ck_assert_mem_eq(out, cases[i].header, cases[i].header_len);
        ck_assert_int_eq(memcmp(out + cases[i].header_len, text_bytes, cases[i].len), 0);
    }
}
END_TEST

START_TEST(a_reader_gets_what_was_appended_after_it_attached)
{
    struct outlog log;
    struct outlog_reader early = {0}, late = {0};
    outlog_init(&log, &held_bytes);
    append(&log, "before", 1);
    outlog_attach(&log, &early);
    append(&log, "one", 2);
    outlog_attach(&log, &late);
    append(&log, "two", 3);
    ck_assert_uint_eq(outlog_reader_tag(&early), 1);
    ck_assert_uint_eq(outlog_reader_tag(&late), 2);
    ck_assert_uint_eq(outlog_backlog(&early), 10);
    ck_assert_str_is(read_texts(&early), STR("one|two|"));
    ck_assert_str_is(read_texts(&late), STR("two|"));
    ck_assert_uint_eq(outlog_reader_tag(&early), 3);
    ck_assert_uint_eq(outlog_backlog(&early), 0);
    outlog_detach(&early);
    outlog_detach(&late);
    outlog_detach(&late);
    outlog_fini(&log);
    ck_assert_uint_eq(held_bytes, 0);
}
END_TEST

START_TEST(a_log_that_everybody_has_read_holds_no_chunk)
{
    struct outlog log;
    static struct outlog_reader r[3];
    outlog_init(&log, &held_bytes);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        outlog_attach(&log, &r[i]);
    }
    ck_assert(!outlog_has_news(&log));
    for (unsigned round = 0; round < 3; round++) {
        append(&log, "x", OUTLOG_NO_TAG);
        ck_assert(outlog_has_news(&log));
        ck_assert_uint_gt(held_bytes, 0);
        pass(&log);
        ck_assert(!outlog_has_news(&log));
        ck_assert_uint_eq(held_bytes, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        outlog_detach(&r[i]);
    }
    outlog_fini(&log);
}
END_TEST

START_TEST(a_reader_that_joins_when_a_pass_has_visited_all_holds_no_chunk_after_it)
{
    struct outlog log;
    struct outlog_reader first = {0}, late = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &first);
    append(&log, "x", OUTLOG_NO_TAG);
    outlog_pass_begin(&log);
    ck_assert_ptr_eq(outlog_pass_next(&log), &first);
    ck_assert_str_is(read_texts(&first), STR("x|"));
    outlog_keep(&first);
    outlog_attach(&log, &late); /* nobody is left to visit, but the pass is not over */
    ck_assert_ptr_null(outlog_pass_next(&log));
    ck_assert_uint_eq(held_bytes, 0);
    append(&log, "y", OUTLOG_NO_TAG);
    ck_assert_str_is(read_texts(&late), STR("y|"));
    ck_assert_str_is(read_texts(&first), STR("y|"));
    outlog_detach(&first);
    outlog_detach(&late);
    outlog_fini(&log);
}
END_TEST

START_TEST(a_held_reader_that_joined_before_news_holds_no_chunk_once_they_are_told)
{
    struct outlog log;
    struct outlog_reader first = {0}, late = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &first);
    append(&log, "x", 1);
    outlog_attach(&log, &late); /* behind x: it has nothing to read */
    late.held = 1;
    pass(&log);
    ck_assert_uint_eq(outlog_backlog(&late), 0);
    ck_assert_uint_eq(held_bytes, 0);
    append(&log, "y", 2);
    pass(&log);
    late.held = 0;
    ck_assert_str_is(read_texts(&late), STR("y|"));
    ck_assert_uint_eq(held_bytes, 0);
    outlog_detach(&first);
    outlog_detach(&late);
    outlog_fini(&log);
}
END_TEST

/* Visits up to `visits` readers as the flush does; what each of the array's reads is added to its
 * text. */
static void visit(struct outlog *log, struct outlog_reader *first, struct buf *texts, size_t visits)
{
    for (size_t i = 0; i < visits && outlog_has_news(log); i++) {
        outlog_pass_begin(log);
        struct outlog_reader *r = outlog_pass_next(log);
        if (r != NULL) {
            buf_add(&texts[r - first], read_texts(r));
            outlog_keep(r);
        }
    }
}

START_TEST(what_is_appended_during_a_pass_is_read_by_all_in_the_end)
{
    struct outlog log;
    static struct outlog_reader r[3];
    static struct buf texts[3];
    outlog_init(&log, &held_bytes);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        outlog_attach(&log, &r[i]);
    }
    append(&log, "one", 1);
    visit(&log, r, texts, 1);
    append(&log, "two", 2);
    visit(&log, r, texts, 1);
    append(&log, "three", 3);
    visit(&log, r, texts, 1);
    append(&log, "four", 4);
    visit(&log, r, texts, 12);
    ck_assert(!outlog_has_news(&log));
    ck_assert_uint_eq(held_bytes, 0);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        ck_assert_str_is(buf_str(&texts[i]), STR("one|two|three|four|"));
        buf_fini(&texts[i]);
        outlog_detach(&r[i]);
    }
    outlog_fini(&log);
}
END_TEST

START_TEST(a_log_that_never_stops_growing_serves_its_readers_in_turn)
{
    struct outlog log;
    static struct outlog_reader r[5];
    static struct buf texts[5];
    outlog_init(&log, &held_bytes);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        outlog_attach(&log, &r[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        append(&log, "x", i);
        visit(&log, r, texts, 1);
        for (size_t k = 0; k < ARRAY_LEN(r); k++) {
            ck_assert_uint_le(outlog_backlog(&r[k]), 2 * 5 * 3); /* two rounds of frames */
        }
    }
    visit(&log, r, texts, 15);
    ck_assert_uint_eq(held_bytes, 0);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        ck_assert_uint_eq(texts[i].len, 200);
        buf_fini(&texts[i]);
        outlog_detach(&r[i]);
    }
    outlog_fini(&log);
}
END_TEST

/* Who visits readers in batches writes after the last one was visited, while more comes in. */
START_TEST(what_a_pass_has_for_a_reader_ends_with_the_pass_also_when_all_were_visited)
{
    struct outlog log;
    static struct outlog_reader r[2];
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &r[0]);
    outlog_attach(&log, &r[1]);
    append(&log, "x", 1);
    outlog_pass_begin(&log);
    ck_assert_ptr_eq(outlog_pass_next(&log), &r[0]);
    ck_assert_ptr_eq(outlog_pass_next(&log), &r[1]);
    ck_assert_ptr_null(outlog_pass_next(&log));
    append(&log, "later", 2);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        ck_assert(outlog_in_pass(&r[i]));
        ck_assert_uint_eq(outlog_peek(&r[i]).len, 3); /* x and its head */
        ck_assert_uint_eq(outlog_advance(&r[i]), 1);
        ck_assert(!outlog_in_pass(&r[i]));
        outlog_keep(&r[i]);
    }
    pass(&log);
    ck_assert_uint_eq(held_bytes, 0);
    outlog_detach(&r[0]);
    outlog_detach(&r[1]);
    outlog_fini(&log);
}
END_TEST

START_TEST(the_next_reader_of_a_pass_may_leave)
{
    struct outlog log;
    static struct outlog_reader r[3];
    outlog_init(&log, &held_bytes);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        outlog_attach(&log, &r[i]);
    }
    append(&log, "x", 1);
    outlog_pass_begin(&log);
    ck_assert_ptr_eq(outlog_pass_next(&log), &r[0]);
    outlog_keep(&r[0]); /* takes nothing */
    outlog_detach(&r[1]);
    ck_assert_ptr_eq(outlog_pass_next(&log), &r[2]);
    ck_assert_str_is(read_texts(&r[2]), STR("x|"));
    outlog_keep(&r[2]);
    outlog_detach(&r[2]);
    ck_assert_ptr_null(outlog_pass_next(&log));
    ck_assert_uint_gt(held_bytes, 0); /* for r[0] */
    outlog_detach(&r[0]);
    ck_assert_uint_eq(held_bytes, 0);
    outlog_fini(&log);
}
END_TEST

START_TEST(a_slow_reader_keeps_only_the_tail_that_it_has_not_read)
{
    struct outlog log;
    struct outlog_reader quick = {0}, slow = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &quick);
    outlog_attach(&log, &slow);
    slow.held = true;
    for (unsigned i = 0; i < 1000; i++) {
        append(&log, "a message of some forty bytes, more or less", i + 1);
        pass(&log);
    }
    uint64_t all = held_bytes;
    ck_assert_uint_ge(all, outlog_backlog(&slow));
    while (outlog_backlog(&slow) > 1000) {
        ck_assert_uint_gt(outlog_peek(&slow).len, 0);
        outlog_advance(&slow);
        ck_assert_uint_le(held_bytes, 2 * outlog_backlog(&slow) + OUTLOG_CHUNK_MAX);
    }
    ck_assert_uint_lt(held_bytes, all);
    (void)read_texts(&slow);
    ck_assert_uint_eq(held_bytes, 0);
    outlog_detach(&quick);
    outlog_detach(&slow);
    outlog_fini(&log);
}
END_TEST

START_TEST(a_cut_tells_which_tags_were_left_out)
{
    struct outlog log;
    struct outlog_reader r = {0};
    struct outlog_cut cut;
    outlog_init(&log, &held_bytes);
    outlog_set_tag(&log, 40);
    outlog_attach(&log, &r);
    ck_assert(!outlog_take_cut(&r, &cut));
    ck_assert_uint_eq(outlog_reader_tag(&r), 40);
    append(&log, "presence", OUTLOG_NO_TAG);
    ck_assert_uint_eq(outlog_cut(&r), 10); /* only what has no tag */
    ck_assert(outlog_take_cut(&r, &cut));
    ck_assert_uint_gt(cut.first, cut.last);
    append(&log, "a", 41);
    append(&log, "b", 42);
    ck_assert_uint_eq(outlog_cut(&r), 6);
    append(&log, "c", 43);
    append(&log, "presence", OUTLOG_NO_TAG);
    ck_assert_uint_eq(outlog_cut(&r), 13);
    ck_assert(outlog_take_cut(&r, &cut)); /* both are one */
    ck_assert_uint_eq(cut.first, 41);
    ck_assert_uint_eq(cut.last, 43);
    ck_assert_uint_eq(cut.at, 10); /* behind the first presence */
    ck_assert(!outlog_take_cut(&r, &cut));
    append(&log, "d", 44);
    ck_assert_str_is(read_texts(&r), STR("d|"));
    ck_assert_uint_eq(outlog_reader_tag(&r), 44);
    ck_assert_uint_eq(outlog_cut(&r), 0);
    outlog_detach(&r); /* with a cut that nobody asked about */
    outlog_attach(&log, &r);
    ck_assert(!outlog_take_cut(&r, &cut));
    outlog_detach(&r);
    outlog_fini(&log);
    ck_assert_uint_eq(held_bytes, 0);
}
END_TEST

START_TEST(a_cut_in_the_middle_of_a_pass_reads_on_behind_its_end)
{
    struct outlog log;
    static struct outlog_reader r[3];
    static struct buf texts[3];
    struct outlog_cut cut;
    outlog_init(&log, &held_bytes);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        outlog_attach(&log, &r[i]);
    }
    append(&log, "one", 1);
    outlog_pass_begin(&log);
    append(&log, "two", 2);
    ck_assert_ptr_eq(outlog_pass_next(&log), &r[0]);
    ck_assert_uint_eq(outlog_cut(&r[0]), 10); /* past the pass's end */
    outlog_keep(&r[0]);
    ck_assert(outlog_take_cut(&r[0], &cut));
    ck_assert_uint_eq(cut.first, 1);
    ck_assert_uint_eq(cut.last, 2);
    ck_assert_str_is(read_texts(&r[0]), STR(""));
    append(&log, "three", 3);
    visit(&log, r, texts, 9);
    ck_assert_str_is(buf_str(&texts[0]), STR("three|"));
    ck_assert_str_is(buf_str(&texts[1]), STR("one|two|three|"));
    ck_assert_str_is(buf_str(&texts[2]), STR("one|two|three|"));
    ck_assert_uint_eq(held_bytes, 0);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        buf_fini(&texts[i]);
        outlog_detach(&r[i]);
    }
    outlog_fini(&log);
}
END_TEST

START_TEST(a_frame_is_kept_from_the_one_reader_it_is_not_for)
{
    struct outlog log;
    struct outlog_reader a = {0}, b = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &a);
    outlog_attach(&log, &b);
    outlog_append(&log, STR("from a"), OUTLOG_NO_TAG, &a);
    outlog_append(&log, STR("from a too"), OUTLOG_NO_TAG, &a);
    outlog_append(&log, STR("chat"), 7, NULL);
    outlog_append(&log, STR("from b"), OUTLOG_NO_TAG, &b);
    outlog_append(&log, STR("from a again"), OUTLOG_NO_TAG, &a);
    ck_assert_str_is(read_texts(&a), STR("chat|from b|"));
    ck_assert_str_is(read_texts(&b), STR("from a|from a too|chat|from a again|"));
    ck_assert_uint_eq(outlog_reader_tag(&a), 7);
    pass(&log);
    ck_assert_uint_eq(held_bytes, 0);
    outlog_append(&log, STR("unread"), OUTLOG_NO_TAG, &a);
    outlog_detach(&a); /* with a frame still ahead that it must not get */
    outlog_detach(&b);
    outlog_fini(&log);
    ck_assert_uint_eq(held_bytes, 0);
}
END_TEST

START_TEST(a_log_that_only_its_excepted_reader_follows_comes_to_rest)
{
    struct outlog log;
    struct outlog_reader a = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &a);
    for (unsigned i = 0; i < 3; i++) {
        outlog_append(&log, STR("from a"), OUTLOG_NO_TAG, &a);
        pass(&log);
        ck_assert_uint_eq(outlog_backlog(&a), 0);
        ck_assert(!outlog_has_news(&log));
        ck_assert_uint_eq(held_bytes, 0);
    }
    outlog_detach(&a);
    outlog_fini(&log);
}
END_TEST

START_TEST(the_256th_frame_that_a_reader_must_not_get_reaches_it)
{
    struct outlog log;
    struct outlog_reader a = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &a);
    for (unsigned i = 0; i < 256; i++) {
        outlog_append(&log, STR("s"), OUTLOG_NO_TAG, &a);
    }
    ck_assert_str_is(read_texts(&a), STR("s|"));
    outlog_append(&log, STR("s"), OUTLOG_NO_TAG, &a);
    ck_assert_str_is(read_texts(&a), STR(""));
    outlog_detach(&a);
    outlog_fini(&log);
    ck_assert_uint_eq(held_bytes, 0);
}
END_TEST

START_TEST(a_frame_longer_than_a_chunk_passes_whole)
{
    struct outlog log;
    struct outlog_reader r = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &r);
    append(&log, "small", 1);
    outlog_append(&log, text_of(TEXT_MAX), 2, NULL);
    append(&log, "small", 3);
    ck_assert_uint_eq(outlog_peek(&r).len, 7);
    ck_assert_uint_eq(outlog_advance(&r), 1);
    ck_assert_uint_eq(outlog_peek(&r).len, TEXT_MAX + 10);
    ck_assert_uint_eq(outlog_advance(&r), 1);
    ck_assert_str_is(read_texts(&r), STR("small|"));
    outlog_detach(&r);
    outlog_fini(&log);
    ck_assert_uint_eq(held_bytes, 0);
}
END_TEST

START_TEST(ten_thousand_chunks_held_by_one_reader_are_freed_without_recursion)
{
    struct outlog log;
    struct outlog_reader r = {0};
    outlog_init(&log, &held_bytes);
    outlog_attach(&log, &r);
    r.held = true;
    for (unsigned i = 0; i < 10000; i++) {
        outlog_append(&log, text_of(5000), i + 1, NULL);
        pass(&log);
    }
    ck_assert_uint_ge(held_bytes, 50 * 1000 * 1000);
    outlog_detach(&r);
    ck_assert_uint_eq(held_bytes, 0);
    outlog_fini(&log);
}
END_TEST

/* Check writes a note at each of its own assertions: too slow for some millions. */
#define expect(fact)             \
    do {                         \
        if (!(fact)) {           \
            ck_abort_msg(#fact); \
        }                        \
    } while (0)

#define READERS 9
#define STEPS 700
#define SEEDS 400

struct frame {
    size_t at, len;    /* in model.bytes */
    uint64_t last_tag; /* of the log after it */
    int except;        /* the reader that must not get it; -1: none */
};

/* What a reader should know: which frame is its next one. */
struct model_reader {
    struct outlog_reader reader;
    bool attached, blocked;
    bool was_cut; /* and not told of it, from tag cut_first on */
    uint64_t cut_first;
    size_t next;       /* index into model.frames */
    unsigned excepted; /* of the frames from next on, how many are not for it */
};

struct model {
    struct outlog log;
    struct buf bytes; /* of every frame ever */
    struct frame *frames;
    size_t count;
    uint64_t first_tag, tag;
    size_t pass_end; /* frames before the first end of the pass under way, or of the last one */
    bool in_pass;
    struct model_reader readers[READERS];
    uint64_t random;
};

static uint64_t draw(struct model *m, uint64_t below)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (m->random >> 33) % below;
}

static size_t draw_length(struct model *m)
{
    static const size_t most[] = {20, 20, 120, 200, 200, 600, 600, 3000, 20000, TEXT_MAX};
    return 1 + draw(m, most[draw(m, ARRAY_LEN(most))]);
}

static size_t index_of(const struct model *m, const struct model_reader *r)
{
    return (size_t)(r - m->readers);
}

static void model_frame(struct model *m, struct str text, int except)
{
    unsigned char header[FRAME_EXTRA] = {0x81};
    size_t header_len = 2;
    if (text.len < 126) {
        header[1] = (unsigned char)text.len;
    } else if (text.len < 65536) {
        header[1] = 126;
        header[2] = (unsigned char)(text.len >> 8);
        header[3] = (unsigned char)text.len;
        header_len = 4;
    } else {
        header[1] = 127;
        header[7] = (unsigned char)(text.len >> 16);
        header[8] = (unsigned char)(text.len >> 8);
        header[9] = (unsigned char)text.len;
        header_len = 10;
    }
    m->frames[m->count++] = (struct frame){m->bytes.len, header_len + text.len, m->tag, except};
    buf_add(&m->bytes, (struct str){(const char *)header, header_len});
    buf_add(&m->bytes, text);
}

static void do_append(struct model *m)
{
    size_t len = draw_length(m);
    uint64_t tag = draw(m, 4) == 0 ? OUTLOG_NO_TAG : m->tag + 1;
    struct model_reader *except = &m->readers[draw(m, READERS)];
    if (tag != OUTLOG_NO_TAG || !except->attached || except->excepted == UINT8_MAX) {
        except = NULL;
    } else {
        except->excepted++;
    }
    struct str text = {text_bytes + m->count % 26, len}; /* neighbours differ in every byte */
    m->tag = tag != OUTLOG_NO_TAG ? tag : m->tag;
    model_frame(m, text, except != NULL ? (int)index_of(m, except) : -1);
    outlog_append(&m->log, text, tag, except != NULL ? &except->reader : NULL);
}

static uint64_t tag_before(const struct model *m, size_t frame)
{
    return frame > 0 ? m->frames[frame - 1].last_tag : m->first_tag;
}

static bool is_excepted(const struct model *m, const struct model_reader *r, size_t frame)
{
    return frame < m->count && m->frames[frame].except == (int)index_of(m, r);
}

/* The next frame that r should get, or the end. */
static size_t after_excepted(const struct model *m, const struct model_reader *r, size_t frame)
{
    while (is_excepted(m, r, frame)) {
        frame++;
    }
    return frame;
}

static void step_to(struct model *m, struct model_reader *r, size_t frame)
{
    for (; r->next < frame; r->next++) {
        r->excepted -= is_excepted(m, r, r->next);
    }
}

/* One run, or nothing: false at the end of what can be read. */
static bool read_run(struct model *m, struct model_reader *r)
{
    struct str run = outlog_peek(&r->reader);
    if (run.len == 0) {
        size_t end = after_excepted(m, r, r->next);
        size_t due = m->in_pass ? m->pass_end : m->count;
        expect(end >= due);
        return false;
    }
    step_to(m, r, after_excepted(m, r, r->next));
    expect(r->next < m->count);
    expect(memcmp(run.ptr, m->bytes.ptr + m->frames[r->next].at, run.len) == 0);
    size_t end = r->next;
    for (size_t len = 0; len < run.len; end++) {
        expect(!is_excepted(m, r, end));
        len += m->frames[end].len;
        expect(len <= run.len);
    }
    expect(outlog_advance(&r->reader) == end - r->next);
    step_to(m, r, end);
    return true;
}

/* A cut is told of now, or with a later one. */
static void do_cut(struct model *m, struct model_reader *r)
{
    struct outlog_cut cut;
    uint64_t backlog = outlog_backlog(&r->reader);
    expect(outlog_cut(&r->reader) == backlog);
    r->cut_first = r->was_cut ? r->cut_first : tag_before(m, r->next) + 1;
    r->was_cut = true;
    r->next = m->count;
    r->excepted = 0;
    if (draw(m, 2) == 0) {
        expect(outlog_take_cut(&r->reader, &cut));
        expect(cut.first == r->cut_first);
        expect(cut.last == m->tag);
        expect(!outlog_take_cut(&r->reader, &cut));
        r->was_cut = false;
    }
}

/* As the flush visits. */
static void do_visit(struct model *m)
{
    struct outlog_reader *reader = outlog_pass_next(&m->log);
    if (reader == NULL) {
        m->in_pass = false;
        return;
    }
    struct model_reader *r = container_of(reader, struct model_reader, reader);
    expect(r->attached);
    if (draw(m, 20) == 0) {
        do_cut(m, r);
        return;
    }
    while (!r->blocked && !reader->held && read_run(m, r)) {
        r->blocked = draw(m, 30) == 0;
    }
    outlog_keep(reader);
}

static void do_pass(struct model *m, uint64_t visits)
{
    if (outlog_has_news(&m->log)) {
        outlog_pass_begin(&m->log); /* or its end moves on */
        m->pass_end = m->in_pass ? m->pass_end : m->count;
        m->in_pass = true;
    }
    for (; m->in_pass && visits > 0; visits--) {
        do_visit(m);
    }
}

static void do_attach(struct model *m, struct model_reader *r)
{
    *r = (struct model_reader){.attached = true, .next = m->count};
    r->reader.held = draw(m, 4) == 0;
    outlog_attach(&m->log, &r->reader);
}

static void do_detach(struct model_reader *r)
{
    outlog_detach(&r->reader);
    r->attached = false;
    r->excepted = 0;
}

static void check_reader(const struct model *m, const struct model_reader *r)
{
    uint64_t at = r->next < m->count ? m->frames[r->next].at : m->bytes.len;
    size_t got = after_excepted(m, r, r->next);
    uint64_t got_at = got < m->count ? m->frames[got].at : m->bytes.len;
    expect(r->reader.exceptions <= r->excepted);
    expect(outlog_backlog(&r->reader) <= m->bytes.len - at);
    expect(outlog_backlog(&r->reader) >= m->bytes.len - got_at);
    expect(outlog_reader_tag(&r->reader) == tag_before(m, r->next));
    expect(outlog_has_news(&m->log) || r->reader.held || r->blocked || got == m->count);
}

/* What is held is what somebody has still to read, and at most as much again, and the last chunks.
 */
static void check_memory(const struct model *m)
{
    uint64_t most = m->pass_end < m->count ? m->bytes.len - m->frames[m->pass_end].at : 0;
    bool at_rest = !outlog_has_news(&m->log);
    for (size_t i = 0; i < READERS; i++) {
        const struct model_reader *r = &m->readers[i];
        if (r->attached) {
            uint64_t backlog = outlog_backlog(&r->reader);
            most = backlog > most ? backlog : most;
            at_rest = at_rest && backlog == 0;
        }
    }
    expect(held_bytes <= 2 * most + 3 * OUTLOG_CHUNK_MAX + TEXT_MAX);
    expect(!at_rest || held_bytes == 0);
}

static void step(struct model *m)
{
    struct model_reader *r = &m->readers[draw(m, READERS)];
    uint64_t what = draw(m, 100);
    if (what < 40) {
        do_append(m);
    } else if (what < 70) {
        do_pass(m, 1 + draw(m, 2 * READERS));
    } else if (what < 74) {
        do_pass(m, 1000);
    } else if (!r->attached) {
        do_attach(m, r);
    } else if (what < 79) {
        do_detach(r);
    } else if (what < 83) {
        r->blocked = true;
    } else if (what < 85) {
        do_cut(m, r);
    } else if (what < 87 || !r->reader.held) { /* released, or the socket takes bytes again */
        r->reader.held = false;
        r->blocked = false;
        while (!r->blocked && read_run(m, r)) {
            r->blocked = draw(m, 5) == 0;
        }
    }
}

static void finish(struct model *m)
{
    do_pass(m, 1000);
    do_pass(m, 1000); /* what was appended behind the end of the one under way */
    expect(!outlog_has_news(&m->log));
    for (size_t i = 0; i < READERS; i++) {
        struct model_reader *r = &m->readers[i];
        while (r->attached && read_run(m, r)) {
        }
        expect(!r->attached || after_excepted(m, r, r->next) == m->count);
    }
    expect(!outlog_has_news(&m->log));
    expect(held_bytes == 0);
    for (size_t i = 0; i < READERS; i++) {
        do_detach(&m->readers[i]);
    }
    outlog_fini(&m->log);
    expect(held_bytes == 0);
}

START_TEST(every_reader_gets_exactly_its_frames_in_any_history)
{
    static struct model m;
    for (size_t i = 0; i < sizeof(text_bytes); i++) {
        text_bytes[i] = (char)('a' + i % 26);
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        m = (struct model){.random = seed * 0x9e3779b97f4a7c15u, .first_tag = seed, .tag = seed};
        m.frames = xcalloc(STEPS, sizeof(*m.frames));
        outlog_init(&m.log, &held_bytes);
        outlog_set_tag(&m.log, seed);
        for (unsigned i = 0; i < STEPS; i++) {
            step(&m);
            for (size_t k = 0; k < READERS; k++) {
                if (m.readers[k].attached) {
                    check_reader(&m, &m.readers[k]);
                }
            }
            check_memory(&m);
        }
        finish(&m);
        buf_fini(&m.bytes);
        free(m.frames);
    }
}
END_TEST

UNIT_MAIN(
    "outlog", a_frame_is_one_text_frame_with_the_shortest_length,
    a_reader_gets_what_was_appended_after_it_attached, a_log_that_everybody_has_read_holds_no_chunk,
    a_reader_that_joins_when_a_pass_has_visited_all_holds_no_chunk_after_it,
    a_held_reader_that_joined_before_news_holds_no_chunk_once_they_are_told,
    what_is_appended_during_a_pass_is_read_by_all_in_the_end,
    a_log_that_never_stops_growing_serves_its_readers_in_turn,
    what_a_pass_has_for_a_reader_ends_with_the_pass_also_when_all_were_visited,
    the_next_reader_of_a_pass_may_leave, a_slow_reader_keeps_only_the_tail_that_it_has_not_read,
    a_cut_tells_which_tags_were_left_out, a_cut_in_the_middle_of_a_pass_reads_on_behind_its_end,
    a_frame_is_kept_from_the_one_reader_it_is_not_for,
    a_log_that_only_its_excepted_reader_follows_comes_to_rest,
    the_256th_frame_that_a_reader_must_not_get_reaches_it, a_frame_longer_than_a_chunk_passes_whole,
    ten_thousand_chunks_held_by_one_reader_are_freed_without_recursion,
    every_reader_gets_exactly_its_frames_in_any_history)
