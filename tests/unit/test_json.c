/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdlib.h>

#define SUITE "tests/data/JSONTestSuite"

/* Those of a client's message by default, and some that only our own rules can meet. */
static const struct json_limits limits = {.depth = 8, .nodes = 256};
static const struct json_limits wide = {.depth = 64, .nodes = 1000};

/* A copy in memory of exactly its size: a sanitizer sees any read past the end. */
static struct str alone(struct str text)
{
    char *copy = xmalloc(text.len);
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    return (struct str){copy, text.len};
}

static void release(struct str copy)
{
    char *owned = (char *)(uintptr_t)copy.ptr;
    free(owned);
}

static struct str compact(struct buf *b, struct str text)
{
    buf_clear(b);
    json_add_compact(b, text);
    return buf_str(b);
}

/* What must hold of any text whatever, valid or not. The answer is that of json_check. */
static enum json_err check_all(struct str original, const struct json_limits *l)
{
    struct str text = alone(original);
    size_t at = SIZE_MAX, parse_at = SIZE_MAX;
    struct json *root = NULL;
    enum json_err err = json_check(text, l, &at);
    ck_assert_int_eq(json_check(text, l, NULL), err);
    ck_assert_int_eq(json_parse(text, l, &root, &parse_at), err); /* cJSON takes all that passes */
    ck_assert_uint_eq(at, parse_at);
    ck_assert_int_eq(root != NULL, err == JSON_OK);
    if (err != JSON_OK) {
        ck_assert_uint_le(at, text.len);
    } else {
        struct buf first = {NULL, 0, 0}, again = {NULL, 0, 0};
        struct str whole = json_raw(text, NULL, 0);
        ck_assert(whole.len > 0);
        ck_assert_int_eq(json_check(compact(&first, text), l, NULL), JSON_OK);
        ck_assert_ptr_null(memchr(first.ptr, '\n', first.len));
        ck_assert_str_is(compact(&again, whole), buf_str(&first));
        ck_assert_str_is(compact(&again, buf_str(&first)), buf_str(&first));
        buf_fini(&first);
        buf_fini(&again);
    }
    json_free(root);
    release(text);
    return err;
}

struct row {
    struct str text;
    enum json_err err;
};

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum json_err err = check_all(rows[i].text, &limits);
        ck_assert_msg(err == rows[i].err, "%.*s: %s", STR_ARG(rows[i].text), json_err_str(err));
    }
}

START_TEST(what_is_no_json_is_refused_with_its_reason)
{
    static const struct row rows[] = {
        /* nothing, words, comments, commas, quotes */
        {TEXT(""), JSON_SYNTAX},
        {{NULL, 0}, JSON_SYNTAX},
        {TEXT("   \n\t\r"), JSON_SYNTAX},
        {TEXT("nul"), JSON_SYNTAX},
        {TEXT("True"), JSON_SYNTAX},
        {TEXT("{'type':'ping'}"), JSON_SYNTAX},
        {TEXT("{\"type\":\"ping\",}"), JSON_SYNTAX},
        {TEXT("[1,]"), JSON_SYNTAX},
        {TEXT("[,1]"), JSON_SYNTAX},
        {TEXT("{\"type\" \"ping\"}"), JSON_SYNTAX},
        {TEXT("{\"type\":}"), JSON_SYNTAX},
        {TEXT("{type:1}"), JSON_SYNTAX},
        {TEXT("{\"type\":\"ping\"/* why */}"), JSON_SYNTAX},
        {TEXT("// c\n{}"), JSON_SYNTAX},
        {TEXT("{\"a\":1]"), JSON_SYNTAX},
        {TEXT("[1}"), JSON_SYNTAX},
        {TEXT("[\f1]"), JSON_SYNTAX},
        {TEXT("\xC2\xA0{}"), JSON_SYNTAX},
        /* behind the end */
        {TEXT("{}{}"), JSON_TRAILING},
        {TEXT("{} x"), JSON_TRAILING},
        {TEXT("{}\0"), JSON_TRAILING},
        {TEXT("1 2"), JSON_TRAILING},
        {TEXT("nullnull"), JSON_TRAILING},
        {TEXT("{}]"), JSON_TRAILING},
        /* a byte order mark, NUL */
        {TEXT("\xEF\xBB\xBF{}"), JSON_SYNTAX},
        {TEXT("{\"a\0b\":1}"), JSON_NUL},
        {TEXT("{\"a\":\"\0\"}"), JSON_NUL},
        {TEXT("\0"), JSON_SYNTAX},
        {TEXT("[\0]"), JSON_SYNTAX},
        {TEXT("{\"user\":\"admin\\u0000x\"}"), JSON_NUL},
        {TEXT("{\"us\\u0000er\":1}"), JSON_NUL},
        /* escapes, surrogates */
        {TEXT("\"\\u12G4\""), JSON_ESCAPE},
        {TEXT("\"\\u12\""), JSON_ESCAPE},
        {TEXT("\"\\x41\""), JSON_ESCAPE},
        {TEXT("\"\\'\""), JSON_ESCAPE},
        {TEXT("\"\\\n\""), JSON_ESCAPE},
        {TEXT("\"\\\0\""), JSON_ESCAPE},
        {TEXT("\"\\U0041\""), JSON_ESCAPE},
        {TEXT("\"\\uD800\""), JSON_ESCAPE},
        {TEXT("\"\\uDC00\""), JSON_ESCAPE},
        {TEXT("\"\\uD800\\uD800\""), JSON_ESCAPE},
        {TEXT("\"\\uD800x\""), JSON_ESCAPE},
        {TEXT("\"\\uD83D\\u0041\""), JSON_ESCAPE},
        {TEXT("\"\\uDE00\\uD83D\""), JSON_ESCAPE},
        /* control characters, UTF-8 */
        {TEXT("\"a\nb\""), JSON_CONTROL},
        {TEXT("\"\t\""), JSON_CONTROL},
        {TEXT("\"\x1F\""), JSON_CONTROL},
        {TEXT("\"12345678\x01\""), JSON_CONTROL},
        {TEXT("\"\xFF\""), JSON_UTF8},
        {TEXT("\"\xC0\xAF\""), JSON_UTF8},
        {TEXT("\"\xED\xA0\x80\""), JSON_UTF8},
        {TEXT("\"\xF4\x90\x80\x80\""), JSON_UTF8},
        {TEXT("\"\xE2\x82\""), JSON_UTF8},
        {TEXT("\"abcdefgh\xE2\x82"), JSON_UTF8},
        /* numbers */
        {TEXT("01"), JSON_NUMBER},
        {TEXT("-01"), JSON_NUMBER},
        {TEXT("1."), JSON_NUMBER},
        {TEXT("1.e5"), JSON_NUMBER},
        {TEXT("1e"), JSON_NUMBER},
        {TEXT("1e+"), JSON_NUMBER},
        {TEXT("-"), JSON_NUMBER},
        {TEXT("-x"), JSON_NUMBER},
        {TEXT("[1.2.3]"), JSON_SYNTAX},
        {TEXT("+1"), JSON_SYNTAX},
        {TEXT(".5"), JSON_SYNTAX},
        {TEXT("0x10"), JSON_TRAILING},
        {TEXT("NaN"), JSON_SYNTAX},
        {TEXT("Infinity"), JSON_SYNTAX},
        {TEXT("-Infinity"), JSON_NUMBER},
    };
    assert_rows(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(what_is_json_passes)
{
    static const struct row rows[] = {
        {TEXT("[]"), JSON_OK},
        {TEXT("\"x\""), JSON_OK},
        {TEXT("1"), JSON_OK},
        {TEXT("null"), JSON_OK},
        {TEXT(" \r\n\t{ } \n"), JSON_OK},
        {TEXT("{\"\":{\"\":[[],{}]}}"), JSON_OK},
        {TEXT("{\"type\":\"ping\"}"), JSON_OK},
        {TEXT("{\"TYPE\":1,\"Type\":2,\"type\":3}"), JSON_OK},
        {TEXT("[true,false,null,0,-0,1e999,-1E-999,1.50e+3]"), JSON_OK},
        {TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\""), JSON_OK},
        {TEXT("\"\x7F \xE2\x80\xA8 \xEF\xBF\xBF \xF4\x8F\xBF\xBF\""), JSON_OK},
        {TEXT("{\"a.b\":1,\"__proto__\":{\"x\":1},\"constructor\":2}"), JSON_OK},
        {TEXT("{\"a\":{\"k\":1},\"b\":{\"k\":1},\"k\":1}"), JSON_OK},
    };
    assert_rows(rows, ARRAY_LEN(rows));
}
END_TEST

/* Strings are read eight bytes at a time; where in the eight a byte stands must not matter. */
START_TEST(every_byte_is_seen_wherever_it_stands_in_a_string)
{
    for (unsigned byte = 0; byte <= 0xFF; byte++) {
        enum json_err expected = byte == 0      ? JSON_NUL
                                 : byte < 0x20  ? JSON_CONTROL
                                 : byte == '"'  ? JSON_TRAILING
                                 : byte == '\\' ? JSON_ESCAPE
                                 : byte >= 0x80 ? JSON_UTF8
                                                : JSON_OK;
        for (size_t at = 1; at <= 24; at++) {
            char text[26];
            memset(text, '~', sizeof(text));
            text[0] = text[25] = '"';
            text[at] = (char)byte;
            if (at == 24 && (byte == '"' || byte == '\\')) {
                continue; /* next to the closing quote they mean something else */
            }
            size_t where = 0;
            ck_assert_int_eq(json_check((struct str){text, 26}, &limits, &where), expected);
            ck_assert(expected == JSON_OK || where == at + (byte == '"' || byte == '\\'));
        }
    }
}
END_TEST

START_TEST(a_key_stands_once_in_an_object_however_it_is_written)
{
    static const struct row rows[] = {
        {TEXT("{\"type\":\"ping\",\"type\":\"chat\"}"), JSON_DUPLICATE},
        {TEXT("{\"type\":\"ping\",\"ty\\u0070e\":\"chat\"}"), JSON_DUPLICATE},
        {TEXT("{\"ty\\u0070e\":1,\"\\u0074ype\":2}"), JSON_DUPLICATE},
        {TEXT("{\"a/b\":1,\"a\\/b\":2}"), JSON_DUPLICATE},
        {TEXT("{\"\\n\":1,\"\\u000A\":2}"), JSON_DUPLICATE},
        {TEXT("{\"\\\"\\\\\\b\\f\\r\\t\":1,\"\\u0022\\u005c\\u0008\\u000c\\u000d\\u0009\":2}"),
         JSON_DUPLICATE},
        {TEXT("{\"\xC3\xA9\":1,\"\\u00E9\":2}"), JSON_DUPLICATE},
        {TEXT("{\"\xF0\x9F\x98\x80\":1,\"\\ud83d\\ude00\":2}"), JSON_DUPLICATE},
        {TEXT("{\"\":1,\"\":2}"), JSON_DUPLICATE},
        {TEXT("[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]"), JSON_DUPLICATE},
        {TEXT("{\"a\":{\"b\":1},\"c\":[{}],\"a\":3}"), JSON_DUPLICATE},
        {TEXT("{\"a\":1,\"aa\":2,\"a\\u0061a\":3}"), JSON_OK},
        {TEXT("{\"a\":1,\"a\\u0020\":2}"), JSON_OK},
        {TEXT("{\"\xC3\xA9\":1,\"e\\u0301\":2}"), JSON_OK}, /* looks alike, is another text */
        {TEXT("{\"\\\\u0061\":1,\"a\":2}"), JSON_OK},
    };
    assert_rows(rows, ARRAY_LEN(rows));
}
END_TEST

/* Objects of n keys: below, at and above the size from which keys are sorted. */
START_TEST(a_repeated_key_is_found_among_many)
{
    const struct json_limits many = {.depth = 2, .nodes = 20000};
    static const unsigned counts[] = {2, 15, 16, 17, 18, 33, 64, 65, 1000, 10000};
    struct buf b = {NULL, 0, 0};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        unsigned n = counts[i];
        for (unsigned twin = 0; twin <= n; twin += n < 100 ? 1 : n / 7) {
            buf_clear(&b);
            BUF_LIT(&b, "{");
            for (unsigned k = 0; k < n; k++) {
                buf_addf(&b, k % 3 == 0 ? "\"\\u006b%u\":%u," : "\"k%u\":%u,", k * 7919 % 65537, k);
            }
            size_t where = b.len;
            /* The last key repeats the one of number twin, or (twin == n) none. */
            buf_addf(&b, "\"k%u\":0}", twin * 7919 % 65537);
            size_t at = 0;
            enum json_err err = json_check(buf_str(&b), &many, &at);
            ck_assert_int_eq(err, twin < n ? JSON_DUPLICATE : JSON_OK);
            ck_assert(err == JSON_OK || at == where + 1);
        }
    }
    buf_fini(&b);
}
END_TEST

static void add_nested(struct buf *b, const char *open, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        buf_add(b, str_from(open));
    }
}

START_TEST(nesting_is_refused_from_the_limit_on_and_costs_no_stack)
{
    static const struct {
        unsigned limit;
        size_t depth;
        enum json_err err;
    } rows[] = {
        {8, 1, JSON_OK},      {8, 8, JSON_OK},        {8, 9, JSON_DEPTH},
        {8, 999, JSON_DEPTH}, {8, 1001, JSON_DEPTH},  {64, 64, JSON_OK},
        {64, 65, JSON_DEPTH}, {1000, 64, JSON_OK},    {1000, 65, JSON_DEPTH},
        {0, 1, JSON_DEPTH},   {8, 65536, JSON_DEPTH}, {UINT32_MAX, 1000000, JSON_DEPTH},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json_limits l = {.depth = rows[i].limit, .nodes = UINT32_MAX};
        struct buf b = {NULL, 0, 0};
        add_nested(&b, "[", rows[i].depth);
        add_nested(&b, "]", rows[i].depth);
        ck_assert_int_eq(check_all(buf_str(&b), &l), rows[i].err);
        buf_clear(&b);
        add_nested(&b, "{\"a\":", rows[i].depth);
        BUF_LIT(&b, "1");
        add_nested(&b, "}", rows[i].depth);
        ck_assert_int_eq(check_all(buf_str(&b), &l), rows[i].err);
        buf_clear(&b);
        add_nested(&b, "[", rows[i].depth); /* never closed */
        size_t at = 0;
        enum json_err err = json_check(buf_str(&b), &l, &at);
        ck_assert_int_eq(err, rows[i].err == JSON_OK ? JSON_SYNTAX : JSON_DEPTH);
        ck_assert_uint_le(at, 64);
        buf_fini(&b);
    }
    const struct json_limits flat = {.depth = 0, .nodes = 1};
    ck_assert_int_eq(check_all(STR("\"a scalar has depth 0\""), &flat), JSON_OK);
}
END_TEST

START_TEST(values_are_counted_before_anything_is_built)
{
    struct buf b = {NULL, 0, 0};
    for (unsigned values = 254; values <= 257; values++) {
        buf_clear(&b);
        BUF_LIT(&b, "[1");
        for (unsigned i = 2; i < values; i++) { /* the array is the first of them */
            BUF_LIT(&b, ",1");
        }
        BUF_LIT(&b, "]");
        ck_assert_int_eq(check_all(buf_str(&b), &limits), values <= 256 ? JSON_OK : JSON_NODES);
    }
    buf_clear(&b);
    for (size_t i = 0; i < 32767; i++) {
        buf_add(&b, i == 0 ? STR("[1") : STR(",1"));
    }
    BUF_LIT(&b, "]");
    size_t at = 0;
    ck_assert_int_eq(json_check(buf_str(&b), &limits, &at), JSON_NODES);
    ck_assert_uint_lt(at, 520);
    buf_clear(&b);
    for (unsigned i = 0; i < 10000; i++) {
        buf_addf(&b, i == 0 ? "{\"k%u\":1" : ",\"k%u\":1", i);
    }
    BUF_LIT(&b, "}");
    ck_assert_int_eq(json_check(buf_str(&b), &limits, &at), JSON_NODES);
    ck_assert_uint_lt(at, 256 * 9);
    const struct json_limits none = {.depth = 8, .nodes = 0};
    ck_assert_int_eq(check_all(STR("1"), &none), JSON_NODES);
    buf_fini(&b);
}
END_TEST

START_TEST(an_error_names_its_byte)
{
    static const struct {
        struct str text;
        size_t at;
    } rows[] = {
        {TEXT("{\"a\":1,}"), 7},
        {TEXT("{} x"), 3},
        {TEXT("[1,2"), 4},
        {TEXT("[01]"), 2},
        {TEXT("\"ab\x01\""), 3},
        {TEXT("\"abc\xFF\""), 4},
        {TEXT("{\"a\":1,\"a\":2}"), 8},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t at = 999;
        ck_assert_int_ne(json_check(rows[i].text, &limits, &at), JSON_OK);
        ck_assert_msg(at == rows[i].at, "%.*s: %zu", STR_ARG(rows[i].text), at);
    }
}
END_TEST

START_TEST(every_reason_has_its_own_text)
{
    for (int i = JSON_OK; i <= JSON_TRAILING; i++) {
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(json_err_str((enum json_err)i), json_err_str((enum json_err)j));
        }
    }
    ck_assert_str_eq(json_err_str(JSON_DUPLICATE), "duplicate key in an object");
}
END_TEST

static const char message[] =
    "{\"type\":\"chat\",\"id\":\"7\",\"data\":{\"room\":\"lobby\",\"text\":\"h\\u00e9 "
    "\\ud83d\\ude00 "
    "\xF0\x9F\x98\x80\\n\",\"key\":\"k1\",\"meta\":{\"a\":[1,-2.5e+3,true,null,{}],\"b\":false}}}";

START_TEST(a_message_cut_anywhere_is_refused)
{
    struct str text = str_from(message);
    ck_assert_int_eq(check_all(text, &limits), JSON_OK);
    for (size_t len = 0; len < text.len; len++) {
        ck_assert_int_ne(check_all((struct str){message, len}, &limits), JSON_OK);
    }
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A byte changed, put in, taken out, or a piece said twice; often one that means something to JSON.
 */
static size_t mutate(char *text, size_t len, size_t cap, uint64_t *random)
{
    static const char likely[] = "{}[]\",:\\u0123456789eE+-.tfn \n\0\x80\xC3\xED\xF0\xFF";
    size_t at = next_random(random) % len;
    uint64_t draw = next_random(random);
    char byte = draw % 4 == 0 ? (char)(draw >> 8) : likely[(draw >> 8) % (sizeof(likely) - 1)];
    switch (next_random(random) % 4) {
    case 0:
        text[at] = byte;
        return len;
    case 1:
        if (len == cap) {
            return len;
        }
        memmove(text + at + 1, text + at, len - at);
        text[at] = byte;
        return len + 1;
    case 2:
        memmove(text + at, text + at + 1, len - at - 1);
        return len == 1 ? 1 : len - 1;
    default: {
        size_t piece = 1 + (draw >> 40) % 20;
        if (len + piece > cap || at + piece > len) {
            return len;
        }
        memmove(text + at + piece, text + at, len - at);
        return len + piece;
    }
    }
}

START_TEST(random_changes_never_crash_and_never_pass_what_cjson_refuses)
{
    uint64_t random = 2463534242u;
    unsigned passed = 0;
    for (unsigned round = 0; round < 40000; round++) {
        char text[400];
        size_t len = sizeof(message) - 1;
        memcpy(text, message, len);
        for (uint64_t changes = 1 + next_random(&random) % 4; changes > 0; changes--) {
            len = mutate(text, len, sizeof(text), &random);
        }
        passed += check_all((struct str){text, len}, &limits) == JSON_OK;
    }
    ck_assert_uint_gt(passed, 1000); /* else the changes would test one branch only */
}
END_TEST

static struct str read_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), SUITE "/%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    struct buf b = {NULL, 0, 0};
    size_t got;
    do {
        buf_reserve(&b, 65536);
        got = fread(b.ptr + b.len, 1, 65536, file);
        b.len += got;
    } while (got > 0);
    fclose(file);
    return buf_str(&b);
}

/* Calls visit for each file of the suite whose name begins with kind; how many there were. */
static size_t each_file(char kind, void (*visit)(const char *name, struct str text))
{
    DIR *dir = opendir(SUITE);
    ck_assert_msg(dir != NULL, "run in the project's root");
    size_t files = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == kind && entry->d_name[1] == '_') {
            struct str text = read_file(entry->d_name);
            visit(entry->d_name, text);
            release(text);
            files++;
        }
    }
    closedir(dir);
    return files;
}

/* Well-formed by RFC 8259, and refused by a rule of ours that the RFC leaves open. */
static const struct {
    const char *name;
    enum json_err err;
} refused_by_us[] = {
    {"y_object_duplicated_key.json", JSON_DUPLICATE}, /* two readers may pick different ones */
    {"y_object_duplicated_key_and_value.json", JSON_DUPLICATE},
    {"y_object_escaped_null_in_key.json", JSON_NUL}, /* cJSON would cut the text there */
    {"y_string_null_escape.json", JSON_NUL},
};

static void expect_accepted(const char *name, struct str text)
{
    enum json_err expected = JSON_OK;
    for (size_t i = 0; i < ARRAY_LEN(refused_by_us); i++) {
        if (strcmp(refused_by_us[i].name, name) == 0) {
            expected = refused_by_us[i].err;
        }
    }
    enum json_err err = check_all(text, &wide);
    ck_assert_msg(err == expected, "%s: %s", name, json_err_str(err));
}

static void expect_refused(const char *name, struct str text)
{
    ck_assert_msg(check_all(text, &wide) != JSON_OK, "%s passed", name);
}

/* The suite leaves these open. Numbers that a double cannot hold are well formed; lone surrogates,
 * what is not UTF-8, a byte order mark, and 500 levels are not for us. */
static void expect_as_documented(const char *name, struct str text)
{
    bool number = strncmp(name, "i_number_", 9) == 0;
    enum json_err err = check_all(text, &wide);
    ck_assert_msg((err == JSON_OK) == number, "%s: %s", name, json_err_str(err));
}

START_TEST(the_json_test_suite_is_answered_as_it_says)
{
    ck_assert_uint_eq(each_file('y', expect_accepted), 95);
    ck_assert_uint_eq(each_file('n', expect_refused), 188);
    ck_assert_uint_eq(each_file('i', expect_as_documented), 35);
}
END_TEST

static struct json *parsed(struct str text)
{
    struct json *root = NULL;
    ck_assert_int_eq(json_parse(text, &limits, &root, NULL), JSON_OK);
    return root;
}

START_TEST(members_are_found_by_their_exact_key)
{
    struct json *root =
        parsed(STR("{\"Type\":\"A\",\"ty\\u0070e\":\"b\",\"n\":null,\"o\":{\"x\":7}}"));
    ck_assert(json_is_object(root));
    ck_assert_str_is(json_string(json_member(root, "type")), STR("b"));
    ck_assert_str_is(json_string(json_member(root, "Type")), STR("A"));
    ck_assert_ptr_null(json_member(root, "TYPE"));
    ck_assert_ptr_null(json_member(root, "x"));
    ck_assert(json_is_null(json_member(root, "n")));
    ck_assert(!json_is_null(json_member(root, "absent")));
    ck_assert(!json_is_object(json_member(root, "n")));
    ck_assert(json_is_object(json_member(root, "o")));
    ck_assert_ptr_null(json_string(json_member(root, "o")).ptr);
    ck_assert_ptr_null(json_member(json_member(root, "type"), "x"));
    ck_assert_ptr_null(json_member(NULL, "x"));
    ck_assert_ptr_null(json_string(NULL).ptr);
    ck_assert(!json_is_object(NULL) && !json_is_null(NULL));
    json_free(root);
    root = parsed(STR("[{\"a\":1}]"));
    ck_assert_ptr_null(json_member(root, "a"));
    json_free(root);
    json_free(NULL);
}
END_TEST

START_TEST(strings_come_out_decoded)
{
    struct json *root =
        parsed(STR("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\",\"b\":\"\","
                   "\"c\":\"e\\u0301 \xD7\xA9 \xE2\x80\x8D<b>\"}"));
    ck_assert_str_is(json_string(json_member(root, "a")),
                     STR("\"\\/\b\f\n\r\t\xC3\xA9\xF0\x9F\x98\x80"));
    ck_assert_str_is(json_string(json_member(root, "b")), STR(""));
    ck_assert_ptr_nonnull(json_string(json_member(root, "b")).ptr);
    ck_assert_str_is(json_string(json_member(root, "c")),
                     STR("e\xCC\x81 \xD7\xA9 \xE2\x80\x8D<b>"));
    json_free(root);
}
END_TEST

#define DIGITS_70 "1234567890123456789012345678901234567890123456789012345678901234567890"
#define ZEROES_70 "0000000000000000000000000000000000000000000000000000000000000000000000"

START_TEST(whole_numbers_are_told_from_all_others)
{
    static const struct {
        struct str text;
        bool whole;
        uint64_t number;
    } rows[] = {
        {TEXT("0"), true, 0},
        {TEXT("-0"), true, 0},
        {TEXT("7"), true, 7},
        {TEXT("1e3"), true, 1000},
        {TEXT("25.0"), true, 25},
        {TEXT("9007199254740991"), true, 9007199254740991},
        {TEXT("9007199254740992"), false, 0},
        {TEXT("9007199254740993"), false, 0},
        {TEXT("18446744073709551616"), false, 0},
        {TEXT("-1"), false, 0},
        {TEXT("0.5"), false, 0},
        {TEXT("1e999"), false, 0},
        {TEXT("-1e999"), false, 0},
        {TEXT("1e-999"), true, 0},
        {TEXT("\"7\""), false, 0},
        {TEXT("true"), false, 0},
        {TEXT("null"), false, 0},
        {TEXT("[7]"), false, 0},
        /* longer than cJSON can read */
        {TEXT(DIGITS_70), false, 0},
        {TEXT("-" DIGITS_70), false, 0},
        {TEXT("5." ZEROES_70), true, 5},
        {TEXT("5." ZEROES_70 "e2"), true, 500},
        {TEXT("0." ZEROES_70 "1"), false, 0},
        {TEXT("1" ZEROES_70 "e" DIGITS_70), false, 0},
        {TEXT("-1" ZEROES_70 "e" DIGITS_70), false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = {NULL, 0, 0};
        BUF_LIT(&b, "{\"before\":\"- 1\",\"n\":");
        buf_add(&b, rows[i].text);
        BUF_LIT(&b, " ,\"after\":2}");
        struct json *root = parsed(buf_str(&b));
        uint64_t number = 77;
        ck_assert_msg(json_whole(json_member(root, "n"), &number) == rows[i].whole, "row %zu", i);
        ck_assert_uint_eq(number, rows[i].whole ? rows[i].number : 77);
        ck_assert(json_whole(json_member(root, "after"), &number) && number == 2);
        ck_assert_str_is(json_string(json_member(root, "before")), STR("- 1"));
        json_free(root);
        buf_fini(&b);
    }
    uint64_t number;
    ck_assert(!json_whole(NULL, &number));
}
END_TEST

START_TEST(raw_text_is_what_the_client_wrote)
{
    static const struct {
        struct str text;
        const char *path[3];
        size_t depth;
        struct str raw;
    } rows[] = {
        {TEXT(" {\"a\":1} "), {NULL}, 0, TEXT("{\"a\":1}")},
        {TEXT(" \"x\\\"]\" "), {NULL}, 0, TEXT("\"x\\\"]\"")},
        {TEXT("12"), {NULL}, 0, TEXT("12")},
        {TEXT("{\"a\" : 1.50e+3 }"), {"a"}, 1, TEXT("1.50e+3")},
        {TEXT("{\"a\":1,\"b\":true}"), {"b"}, 1, TEXT("true")},
        {TEXT("{\"a\":1,\"b\":null,\"c\":2}"), {"b"}, 1, TEXT("null")},
        {TEXT("{\"x\":\"}\",\"data\":{\"y\":[\"]\",{}],\"meta\":{ \"n\": 1e999 }}}"),
         {"data", "meta"},
         2,
         TEXT("{ \"n\": 1e999 }")},
        {TEXT("{\"x\":\"\\\\\",\"d\\u0061ta\":{\"meta\":\"\\u00e9\\\"\"}}"),
         {"data", "meta"},
         2,
         TEXT("\"\\u00e9\\\"\"")},
        {TEXT("{\"a\":{\"b\":{\"c\":[[1,2],[3]]}},\"b\":0}"),
         {"a", "b", "c"},
         3,
         TEXT("[[1,2],[3]]")},
        {TEXT("{\"a\":{\"meta\":1},\"data\":{}}"), {"data", "meta"}, 2, {NULL, 0}},
        {TEXT("{\"dat\":1,\"data2\":2}"), {"data"}, 1, {NULL, 0}},
        {TEXT("{\"data\":[{\"meta\":1}]}"), {"data", "meta"}, 2, {NULL, 0}},
        {TEXT("{\"data\":\"meta\"}"), {"data", "meta"}, 2, {NULL, 0}},
        {TEXT("[]"), {"data"}, 1, {NULL, 0}},
        {TEXT("{ }"), {"data"}, 1, {NULL, 0}},
        {TEXT("{\"a\\\\u0062\":1}"), {"ab"}, 1, {NULL, 0}},
        {TEXT("{\"a\\\\b\":1}"), {"a\\b"}, 1, TEXT("1")},
        {TEXT("{\"\":{\"\":7}}"), {"", ""}, 2, TEXT("7")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(check_all(rows[i].text, &limits), JSON_OK);
        struct str text = alone(rows[i].text);
        struct str raw = json_raw(text, rows[i].path, rows[i].depth);
        ck_assert_msg(str_equal(raw, rows[i].raw), "row %zu: %.*s", i, STR_ARG(raw));
        ck_assert((raw.ptr == NULL) == (rows[i].raw.ptr == NULL));
        release(text);
    }
}
END_TEST

START_TEST(compact_text_has_no_white_space_between_tokens)
{
    static const struct {
        struct str text, compact;
    } rows[] = {
        {TEXT(" { \"a b\" :\n[ 1 ,\t\" x \\\" y \" , { } ] }\r\n"),
         TEXT("{\"a b\":[1,\" x \\\" y \",{}]}")},
        {TEXT("[\n]"), TEXT("[]")},
        {TEXT(" 1e+5 "), TEXT("1e+5")},
        {TEXT("\"\\\\\" "), TEXT("\"\\\\\"")},
        {TEXT("{}"), TEXT("{}")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = {NULL, 0, 0};
        ck_assert_str_is(compact(&b, rows[i].text), rows[i].compact);
        buf_fini(&b);
    }
}
END_TEST

START_TEST(a_string_is_written_with_the_escapes_it_needs_and_no_others)
{
    static const struct {
        struct str text, json;
    } rows[] = {
        {TEXT(""), TEXT("\"\"")},
        {{NULL, 0}, TEXT("\"\"")},
        {TEXT("plain"), TEXT("\"plain\"")},
        {TEXT("\"q\\"), TEXT("\"\\\"q\\\\\"")},
        {TEXT("\b\t\n\v\f\r"), TEXT("\"\\b\\t\\n\\u000b\\f\\r\"")},
        {TEXT("a\x01\x1F\0z"), TEXT("\"a\\u0001\\u001f\\u0000z\"")},
        {TEXT("</script>/\x7F"), TEXT("\"</script>/\x7F\"")},
        {TEXT("\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80"),
         TEXT("\"\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80\"")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = {NULL, 0, 0};
        json_add_string(&b, rows[i].text);
        ck_assert_str_is(buf_str(&b), rows[i].json);
        buf_fini(&b);
    }
}
END_TEST

START_TEST(every_character_comes_back_as_it_was_written)
{
    struct buf text = {NULL, 0, 0}, json = {NULL, 0, 0};
    for (unsigned c = 1; c < 0x80; c++) {
        buf_add_char(&text, (char)c);
    }
    BUF_LIT(&text,
            "\xC2\x80\xDF\xBF\xE0\xA0\x80\xE2\x80\xA8\xE2\x80\xA9\xEF\xBF\xBF\xF0\x90\x80\x80"
            "\xF4\x8F\xBF\xBF");
    json_add_string(&json, buf_str(&text));
    ck_assert_ptr_null(memchr(json.ptr, '\n', json.len));
    ck_assert_ptr_null(memchr(json.ptr, '\r', json.len));
    struct json *root = parsed(buf_str(&json));
    ck_assert_str_is(json_string(root), buf_str(&text));
    json_free(root);
    buf_fini(&text);
    buf_fini(&json);
}
END_TEST

UNIT_MAIN("json", what_is_no_json_is_refused_with_its_reason, what_is_json_passes,
          every_byte_is_seen_wherever_it_stands_in_a_string,
          a_key_stands_once_in_an_object_however_it_is_written, a_repeated_key_is_found_among_many,
          nesting_is_refused_from_the_limit_on_and_costs_no_stack,
          values_are_counted_before_anything_is_built, an_error_names_its_byte,
          every_reason_has_its_own_text, a_message_cut_anywhere_is_refused,
          random_changes_never_crash_and_never_pass_what_cjson_refuses,
          the_json_test_suite_is_answered_as_it_says, members_are_found_by_their_exact_key,
          strings_come_out_decoded, whole_numbers_are_told_from_all_others,
          raw_text_is_what_the_client_wrote, compact_text_has_no_white_space_between_tokens,
          a_string_is_written_with_the_escapes_it_needs_and_no_others,
          every_character_comes_back_as_it_was_written)
