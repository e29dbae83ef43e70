/* SPDX-License-Identifier: MIT */
/* requests: what a client may say, one handler each (common/PROTOCOL.md, "Requests"). */
#ifndef GATEWAY_CHAT_REQUESTS_H
#define GATEWAY_CHAT_REQUESTS_H

#include "common/base.h"

struct session;

/* Handles one text message of the session's client: answers it, or asks the bus and answers later.
 */
void request_handle(struct session *s, struct str text);

#endif
