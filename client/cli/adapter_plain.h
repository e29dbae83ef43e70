/* SPDX-License-Identifier: MIT */
/* adapter_plain: servers whose messages have no envelope, and whose path names the room. A part of
 * adapter. */
#ifndef CLIENT_CLI_ADAPTER_PLAIN_H
#define CLIENT_CLI_ADAPTER_PLAIN_H

#include "client/cli/adapter.h"

extern const struct adapter adapter_nchan, adapter_floor;

#endif
