/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_options.h"

#define ONE_ROOM .rooms = 1, .members = 1000, .publishers = 1
#define MANY_ROOMS .rooms = 100, .members = 10, .publishers = PUBLISHERS_ALL
#define CONNECTIONS .rooms = 1000, .members = 10, .publishers = 1, .window = 1
#define LOAD .kind = WORKLOAD_LOAD, .concurrency = 100, .seconds = 5

const struct workload workloads[] = {
    {.name = "A",
     LOAD,
     ONE_ROOM,
     .window = 32,
     .help = "1 room of 1,000, 1 publisher, 32 messages in flight"},
    {.name = "A64", LOAD, ONE_ROOM, .window = 64, .help = "the same with 64 in flight"},
    {.name = "A256", LOAD, ONE_ROOM, .window = 256, .help = "the same with 256 in flight"},
    {.name = "B", LOAD, ONE_ROOM, .window = 1, .help = "the same with 1 in flight"},
    {.name = "C",
     LOAD,
     MANY_ROOMS,
     .window = 1,
     .help = "100 rooms of 10, every member has 1 in flight"},
    {.name = "D",
     LOAD,
     ONE_ROOM,
     .window = 1,
     .rate = 20,
     .help = "1 room of 1,000, 20 messages a second"},
    {.name = "fanout", LOAD, ONE_ROOM, .window = 32, .help = "one room: A, to start from"},
    {.name = "rooms", LOAD, MANY_ROOMS, .window = 1, .help = "many small rooms: C, to start from"},
    {.name = "idle",
     .kind = WORKLOAD_IDLE,
     CONNECTIONS,
     .concurrency = 500,
     .seconds = 10,
     .help = "connections that say nothing: memory, heartbeats"},
    {.name = "setup",
     .kind = WORKLOAD_SETUP,
     CONNECTIONS,
     .concurrency = 100,
     .seconds = 5,
     .help = "connect, upgrade, join, welcome: how many a second"},
    {.name = "herd",
     .kind = WORKLOAD_SETUP,
     CONNECTIONS,
     .concurrency = CONCURRENCY_ALL,
     .seconds = 5,
     .help = "the same, all at once"},
    {.name = "drops",
     .kind = WORKLOAD_DROPS,
     .rooms = 10,
     .members = 100,
     .publishers = 1,
     .window = 1,
     .rate = 200,
     .concurrency = 100,
     .seconds = 30,
     .help = "every link but the publishers' is cut again and again"},
    {.name = "direct",
     .kind = WORKLOAD_DIRECT,
     ONE_ROOM,
     .window = 32,
     .concurrency = 100,
     .seconds = 5,
     .help = "direct messages, alone and beside a room that floods"},
};
const size_t workload_count = ARRAY_LEN(workloads);

const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < workload_count; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}
