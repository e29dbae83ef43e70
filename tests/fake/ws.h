/* SPDX-License-Identifier: MIT */
/* ws: instead of gateway/edge/ws, with the real outgoing logs: connections are opened, speak and
 * end when a test says so, and what each hears is kept as text. */
#ifndef TESTS_FAKE_WS_H
#define TESTS_FAKE_WS_H

#include "gateway/edge/ws.h"

struct ws_conn *fake_ws_open(struct ws *ws); /* ids count from 1 */
void fake_ws_say(struct ws_conn *c, const char *text);
/* Every message since the last look, its own and those of the logs it follows, each behind a
 * newline, "" for none. A connection that is told to close adds "close CODE". Borrowed until the
 * next look. */
const char *fake_ws_heard(struct ws_conn *c);
/* The slow reader: whatever it has not read of its logs is cut. */
void fake_ws_cut(struct ws_conn *c);
/* The socket has taken what was sent; somebody must wait for it. */
void fake_ws_drain(struct ws_conn *c);
void fake_ws_end(struct ws_conn *c, enum close_reason reason); /* c is gone after it */
void fake_ws_end_all(struct ws *ws);

#endif
