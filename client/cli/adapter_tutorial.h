/* SPDX-License-Identifier: MIT */
/* adapter_tutorial: the JSON of common/PROTOCOL.md: a gateway of ours, and servers that speak only
 * the tutorial's part of it. A part of adapter. */
#ifndef CLIENT_CLI_ADAPTER_TUTORIAL_H
#define CLIENT_CLI_ADAPTER_TUTORIAL_H

#include "client/cli/adapter.h"

extern const struct adapter adapter_parley, adapter_ws;

#endif
