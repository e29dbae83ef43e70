/* SPDX-License-Identifier: MIT */
/* adapter_socketio: Socket.IO 4 (its protocol 5 in Engine.IO's protocol 4) over WebSocket alone,
 * one packet a frame, with connection state recovery. A part of adapter. */
#ifndef CLIENT_CLI_ADAPTER_SOCKETIO_H
#define CLIENT_CLI_ADAPTER_SOCKETIO_H

#include "client/cli/adapter.h"

extern const struct adapter adapter_socketio;

#endif
