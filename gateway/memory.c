/* SPDX-License-Identifier: MIT */
#include "gateway/memory.h"

#include "common/alloc.h"
#include "common/log.h"
#include "gateway/config.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Returning what is free to the kernel takes milliseconds where much is. */
#define TRIM_EVERY_MS 1000

struct memory {
    struct loop *loop; /* borrowed: outlives us, as the two below */
    const struct config *config;
    struct stats *stats;
    struct memory_events events;
    struct loop_timer *timer; /* owned */
    uint64_t trimmed_ms;
};

bool memory_judge(bool was, uint64_t resident, uint64_t max)
{
    return max > 0 && resident > (was ? max - max / 8 : max);
}

/* proc(5): the second number of statm is the resident size in pages. */
uint64_t memory_resident(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *second = strchr(text, ' ');
    return second == NULL ? 0 : strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What was freed stays resident until the allocator is told to return it; without that a process
 * that was over once would stay so. */
static void trim(struct memory *m)
{
    uint64_t now_ms = loop_now_ms(m->loop);
    if (now_ms - m->trimmed_ms >= TRIM_EVERY_MS) {
        m->trimmed_ms = now_ms;
#ifdef __GLIBC__
        (void)malloc_trim(0);
#endif
    }
}

static void tell(const struct memory *m, bool over, uint64_t resident)
{
    LOG(WARN, MEMORY, F_TEXT("state", over ? "over" : "ok"), F_NUM("resident", resident),
        F_NUM("memory_max", m->config->server.memory_max),
        F_NUM("connections", m->stats->connections));
}

static void look(void *ctx)
{
    struct memory *m = ctx;
    uint64_t max = m->config->server.memory_max;
    bool was = m->stats->memory_over != 0;
    uint64_t resident = max > 0 ? memory_resident() : 0;
    if (memory_judge(was, resident, max)) {
        m->stats->memory_given_up += m->events.on_over(m->events.ctx, resident - (max - max / 8));
        trim(m);
        resident = memory_resident();
    }
    bool over = memory_judge(was, resident, max);
    m->stats->memory_over = over;
    if (over != was) {
        tell(m, over, resident);
    }
    if (max > 0) {
        loop_timer_start(m->timer, MEMORY_LOOK_MS);
    }
}

struct memory *memory_new(struct loop *loop, const struct config *config, struct stats *stats,
                          const struct memory_events *events)
{
    struct memory *m = xcalloc(1, sizeof(*m));
    *m = (struct memory){.loop = loop, .config = config, .stats = stats, .events = *events};
    m->timer = loop_timer_new(loop, look, m);
    memory_reload(m);
    return m;
}

void memory_free(struct memory *m)
{
    if (m != NULL) {
        loop_timer_free(m->timer);
        free(m);
    }
}

void memory_reload(struct memory *m)
{
    loop_timer_start(m->timer, 0);
}
