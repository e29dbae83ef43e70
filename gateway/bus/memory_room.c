/* SPDX-License-Identifier: MIT */
/* The jobs of a room: opens, publishes, signals, reads, in the order in which they were asked for.
 */
#include "gateway/bus/memory.h"

#include "common/alloc.h"

#include <stdlib.h>

struct str memory_room_name(const void *item)
{
    const struct bus_room *r = item;
    return (struct str){r->name, r->name_len};
}

struct topic_limits memory_room_limits(const struct bus_room *r)
{
    return (struct topic_limits){r->policy.history_size, r->policy.history_ttl_ms};
}

struct job *memory_job_new(struct bus_room *r, enum job_kind kind, size_t text_len,
                           struct bus_call *call)
{
    struct job *j = xcalloc(1, sizeof(*j) + text_len);
    j->kind = kind;
    j->call = call;
    j->generation = r->generation;
    list_push(&r->jobs, &j->link);
    if (list_empty(&r->in_dirty)) {
        list_push(&r->memory->dirty, &r->in_dirty);
    }
    loop_task_soon(r->memory->work);
    return j;
}

static bool listens(const struct bus_room *r, const struct job *j)
{
    return r->open && r->alive && r->generation == j->generation;
}

static void tell_state(struct bus_room *r, struct job *j)
{
    struct memory *m = r->memory;
    struct bus_register reg = {str_from(m->base.id), r->topic.version, r->topic.count};
    struct bus_room_state state = {r->topic.position, &reg, r->topic.version == 0 ? 0 : 1};
    if (j->kind == JOB_OPEN) {
        if (!r->open || r->generation != j->generation) {
            bus_done_err(j->call, BUS_UNAVAILABLE);
            return;
        }
        r->alive = true;
        bus_done(j->call,
                 &(struct bus_result){.err = BUS_OK, .position = state.position, .state = &state});
    } else if (listens(r, j)) {
        m->base.events.on_synced(r->ctx, &state);
    }
}

/* One message of a batch: where it stands in the log, and whether it is there for the first time.
 */
struct placed {
    struct job *job;
    struct bus_position position;
};

/* The next job of the queue, taken off, if it is a publish too. */
static struct job *next_publish(struct list *jobs)
{
    if (list_empty(jobs) || container_of(jobs->next, struct job, link)->kind != JOB_PUBLISH) {
        return NULL;
    }
    return container_of(list_pop(jobs), struct job, link);
}

/* A run of publishes, j and those that follow it in the queue, goes into the log: at most
 * BUS_BATCH_MAX. The texts of the new ones go to m->text, their lengths to line_len. Returns how
 * many the run holds. */
static size_t append_run(struct bus_room *r, struct job *j, struct list *jobs, struct placed *run,
                         size_t *line_len)
{
    struct memory *m = r->memory;
    const struct topic_limits limits = memory_room_limits(r);
    uint64_t now_ms = loop_now_ms(m->base.loop);
    size_t count = 0;
    size_t fresh = 0;
    buf_clear(&m->text);
    for (; j != NULL; j = count < BUS_BATCH_MAX ? next_publish(jobs) : NULL) {
        struct dedupe_name name = {memory_room_name(r), j->message.user, j->message.key};
        const struct bus_position *earlier = dedupe_find(&r->seen, &name, now_ms);
        if (earlier == NULL) {
            size_t start = m->text.len;
            topic_append(&r->topic, &limits, j->message.data, now_ms, &m->text);
            line_len[fresh++] = m->text.len - start;
            dedupe_add(&r->seen, &name, &r->topic.position, now_ms);
            earlier = &r->topic.position;
        }
        run[count++] = (struct placed){j, *earlier};
    }
    return count;
}

static void publish_run(struct bus_room *r, struct job *first, struct list *jobs)
{
    struct memory *m = r->memory;
    struct placed run[BUS_BATCH_MAX];
    size_t line_len[BUS_BATCH_MAX] = {0};
    struct str lines[BUS_BATCH_MAX];
    uint64_t before = r->topic.position.offset;
    size_t count = append_run(r, first, jobs, run, line_len);
    size_t fresh = (size_t)(r->topic.position.offset - before);
    const char *at = m->text.ptr;
    for (size_t i = 0; i < fresh; i++) {
        lines[i] = (struct str){at, line_len[i]};
        at += line_len[i];
    }
    m->base.stats->published += fresh;
    struct bus_position last = r->topic.position;
    if (fresh > 0 && r->open && r->alive) {
        m->base.events.on_log(r->ctx, &last, before + 1, lines, fresh);
    }
    for (size_t i = 0; i < count; i++) {
        bus_done(run[i].job->call,
                 &(struct bus_result){.err = BUS_OK, .position = run[i].position});
        free(run[i].job);
    }
}

static void read_log(struct bus_room *r, const struct job *j)
{
    struct str lines[BUS_READ_MAX];
    struct bus_result result = {.err = BUS_OK,
                                .lines = lines,
                                .other_epoch =
                                    !str_equal(j->range.epoch, bus_epoch(&r->topic.position))};
    const struct topic_limits limits = memory_room_limits(r);
    topic_expire(&r->topic, &limits, loop_now_ms(r->memory->base.loop));
    result.line_count = topic_read(&r->topic, &j->range, lines, &result.first);
    bus_done(j->call, &result);
}

/* jobs: those that follow j. */
static void run_job(struct bus_room *r, struct job *j, struct list *jobs)
{
    switch (j->kind) {
    case JOB_PUBLISH:
        publish_run(r, j, jobs); /* frees the jobs of the run */
        return;
    case JOB_OPEN:
    case JOB_SYNC:
        tell_state(r, j);
        break;
    case JOB_SIGNAL:
        if (r->open && r->alive) {
            r->memory->base.events.on_signal(r->ctx, true, j->connection, j->line);
        }
        bus_done_err(j->call, BUS_OK);
        break;
    case JOB_PRESENCE: /* was done when it was asked for; only its answer waits */
        bus_done_err(j->call, BUS_OK);
        break;
    case JOB_READ:
        read_log(r, j);
        break;
    }
    free(j);
}

void memory_room_work(struct bus_room *r)
{
    struct list jobs;
    list_init(&jobs);
    list_splice(&jobs, &r->jobs);
    struct list *it;
    while ((it = list_pop(&jobs)) != NULL) {
        run_job(r, container_of(it, struct job, link), &jobs);
    }
}

void memory_room_drop(struct bus_room *r)
{
    struct list *it;
    while ((it = list_pop(&r->jobs)) != NULL) {
        struct job *j = container_of(it, struct job, link);
        bus_settle(&r->memory->base, j->call, BUS_UNAVAILABLE);
        free(j);
    }
}
