/* SPDX-License-Identifier: MIT */
#include "common/protocol.h"

#include <assert.h>

static const struct str requests[] = {
#define X(id, name) [REQUEST_##id] = {name, sizeof(name) - 1},
    PROTOCOL_REQUESTS(X)
#undef X
};

static const struct {
    const char *code, *text;
} errors[] = {
#define X(id, code, text) [ERROR_##id] = {code, text},
    PROTOCOL_ERRORS(X)
#undef X
};

static const struct {
    unsigned code;
    const char *word;
} closes[] = {
#define X(id, code, word) [CLOSE_##id] = {code, word},
    CLOSE_REASONS(X)
#undef X
};

const char *protocol_error_code(enum protocol_error e)
{
    assert((size_t)e < ARRAY_LEN(errors));
    return errors[e].code;
}

const char *protocol_error_text(enum protocol_error e)
{
    assert((size_t)e < ARRAY_LEN(errors));
    return errors[e].text;
}

unsigned close_reason_code(enum close_reason r)
{
    assert((size_t)r < ARRAY_LEN(closes));
    return closes[r].code;
}

const char *close_reason_word(enum close_reason r)
{
    assert((size_t)r < ARRAY_LEN(closes));
    return closes[r].word;
}

bool request_from_name(struct str name, enum request_type *out)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        if (str_equal(name, requests[i])) {
            *out = (enum request_type)i;
            return true;
        }
    }
    return false;
}

const char *request_name(enum request_type t)
{
    assert((size_t)t < ARRAY_LEN(requests));
    return requests[t].ptr;
}
