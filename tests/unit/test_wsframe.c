/* SPDX-License-Identifier: MIT */
#include "client/cli/wsframe.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

#define MAX 100000

/* A server's frame: unmasked, each byte of the payload told by its place. */
static void add_server_frame(struct buf *b, unsigned first, size_t len)
{
    buf_add_char(b, (char)first);
    if (len < 126) {
        buf_add_char(b, (char)len);
    } else {
        size_t bytes = len <= UINT16_MAX ? 2 : 8;
        buf_add_char(b, bytes == 2 ? 126 : 127);
        for (size_t i = bytes; i-- > 0;) {
            buf_add_char(b, (char)((uint64_t)len >> 8 * i));
        }
    }
    for (size_t i = 0; i < len; i++) {
        buf_add_char(b, (char)(i * 7));
    }
}

static const size_t lengths[] = {0, 1, 124, 125, 126, 127, 128, 1000, 65535, 65536, 70000};

START_TEST(a_frame_of_any_length_is_read_where_it_lies)
{
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct buf b = {NULL, 0, 0};
        add_server_frame(&b, 0x81, lengths[i]);
        size_t whole = b.len;
        BUF_LIT(&b, "\x81\x01x");
        struct wsframe frame;
        ck_assert_int_eq(wsframe_read(buf_str(&b), MAX, &frame), WSFRAME_WHOLE);
        ck_assert_int_eq(frame.opcode, WSFRAME_TEXT);
        ck_assert_uint_eq(frame.size, whole);
        ck_assert_uint_eq(frame.payload.len, lengths[i]);
        ck_assert_ptr_eq(frame.payload.ptr + frame.payload.len, b.ptr + whole);
        buf_fini(&b);
    }
}
END_TEST

/* The text is copied to memory of its exact size, so that reading past it is seen. */
START_TEST(a_frame_that_is_split_at_any_byte_waits_for_the_rest)
{
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct buf b = {NULL, 0, 0};
        add_server_frame(&b, 0x81, lengths[i]);
        size_t step = b.len > 2000 ? 997 : 1;
        for (size_t cut = 0; cut < b.len; cut += cut < 12 ? 1 : step) {
            char *part = xmalloc(cut + 1);
            memcpy(part + 1, b.ptr, cut);
            struct wsframe frame;
            ck_assert_quiet(wsframe_read((struct str){part + 1, cut}, MAX, &frame) == WSFRAME_PART);
            free(part);
        }
        buf_fini(&b);
    }
}
END_TEST

START_TEST(what_no_server_here_may_send_is_bad)
{
    static const struct str rows[] = {
        TEXT("\x01\x01x"),     /* the beginning of a fragmented message */
        TEXT("\x80\x01x"),     /* its end */
        TEXT("\xc1\x01x"),     /* compressed, which nobody asked for */
        TEXT("\x81\x81mask!"), /* masked */
        TEXT("\x81\x7f\x00\x00\x00\x00\x00\x01\x86\xa1"), /* one byte over the maximum */
        TEXT("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wsframe frame;
        ck_assert_msg(wsframe_read(rows[i], MAX, &frame) == WSFRAME_BAD, "row %zu", i);
    }
}
END_TEST

START_TEST(control_frames_are_told_apart)
{
    static const struct {
        struct str bytes;
        enum wsframe_opcode opcode;
    } rows[] = {
        {TEXT("\x88\x02\x03\xe8"), WSFRAME_CLOSE},
        {TEXT("\x89\x00"), WSFRAME_PING},
        {TEXT("\x8a\x01p"), WSFRAME_PONG},
        {TEXT("\x82\x01?"), WSFRAME_BINARY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wsframe frame;
        ck_assert_int_eq(wsframe_read(rows[i].bytes, MAX, &frame), WSFRAME_WHOLE);
        ck_assert_int_eq(frame.opcode, rows[i].opcode);
    }
}
END_TEST

/* Read as RFC 6455, 5.2 and 5.3, by a reader that knows nothing of the writer. */
START_TEST(what_is_written_unmasks_to_what_was_said)
{
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct buf said = {NULL, 0, 0}, b = {NULL, 0, 0};
        for (size_t k = 0; k < lengths[i]; k++) {
            buf_add_char(&said, (char)(k * 31));
        }
        BUF_LIT(&b, "before");
        wsframe_add(&b, WSFRAME_TEXT, buf_str(&said), 0xa1b2c3d4);
        const unsigned char *p = (const unsigned char *)b.ptr + 6;
        ck_assert_uint_eq(p[0], 0x81);
        ck_assert_uint_eq(p[1] & 0x80, 0x80);
        size_t len = p[1] & 0x7f, extra = len == 126 ? 2 : len == 127 ? 8 : 0;
        for (size_t k = 0; k < extra; k++) {
            len = k == 0 ? p[2] : len << 8 | p[2 + k];
        }
        ck_assert_uint_eq(len, lengths[i]);
        const unsigned char *mask = p + 2 + extra, *payload = mask + 4;
        ck_assert_uint_eq(b.len, 6 + 2 + extra + 4 + len);
        for (size_t k = 0; k < len; k++) {
            ck_assert_quiet((unsigned char)(payload[k] ^ mask[k % 4]) ==
                            (unsigned char)said.ptr[k]);
        }
        buf_fini(&said);
        buf_fini(&b);
    }
}
END_TEST

UNIT_MAIN("wsframe", a_frame_of_any_length_is_read_where_it_lies,
          a_frame_that_is_split_at_any_byte_waits_for_the_rest, what_no_server_here_may_send_is_bad,
          control_frames_are_told_apart, what_is_written_unmasks_to_what_was_said)
