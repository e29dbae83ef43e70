/* SPDX-License-Identifier: MIT */
#include "gateway/edge/sender.h"

#include "common/alloc.h"
#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* MSG_DONTWAIT also in the ring: a send that would have to wait is answered with EAGAIN instead of
 * being kept there, so that every answer is there when the call returns. */
#define FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)

struct sender {
    struct io_uring ring;
    bool has_ring;
};

static void log_without(int error)
{
    LOG(INFO, IO_URING, F_STR("reason", str_from(strerror(error))),
        F_STR("msg", STR("not used: each send is a system call of its own")));
}

struct sender *sender_new(bool wants_ring)
{
    struct sender *s = xcalloc(1, sizeof(*s));
    if (wants_ring) {
        /* One thread submits and collects, in the same call: the kernel then needs neither locks
         * nor interrupts to hand over the answers. */
        int result = io_uring_queue_init(SENDER_MOST, &s->ring,
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
        s->has_ring = result == 0;
        if (!s->has_ring) {
            log_without(-result);
        }
    }
    return s;
}

static void drop_ring(struct sender *s)
{
    io_uring_queue_exit(&s->ring);
    s->has_ring = false;
}

void sender_free(struct sender *s)
{
    if (s != NULL && s->has_ring) {
        drop_ring(s);
    }
    free(s);
}

bool sender_has_ring(const struct sender *s)
{
    return s->has_ring;
}

ssize_t sender_send_one(int fd, struct str bytes)
{
    ssize_t took;
    do {
        took = send(fd, bytes.ptr, bytes.len, FLAGS);
    } while (took < 0 && errno == EINTR);
    return took < 0 ? -errno : took;
}

static void collect(struct sender *s, struct send *sends, size_t count)
{
    struct io_uring_cqe *cqe;
    unsigned head, answers = 0;
    io_uring_for_each_cqe(&s->ring, head, cqe)
    {
        assert(cqe->user_data < count);
        sends[cqe->user_data].took = cqe->res;
        answers++;
    }
    io_uring_cq_advance(&s->ring, answers);
}

/* The number of sends that the kernel has worked off; fewer than count: it refused the others, and
 * the ring is given up. An answer that did not come counts as a broken socket. */
static size_t send_by_ring(struct sender *s, struct send *sends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
        assert(sqe != NULL); /* the ring is empty between calls, and holds SENDER_MOST */
        io_uring_prep_send(sqe, sends[i].fd, sends[i].bytes.ptr, sends[i].bytes.len, FLAGS);
        io_uring_sqe_set_data64(sqe, i);
        sends[i].took = -EIO;
    }
    int result = 0;
    while (io_uring_sq_ready(&s->ring) > 0 && (result >= 0 || result == -EINTR)) {
        result = io_uring_submit_and_wait(&s->ring, io_uring_sq_ready(&s->ring));
    }
    size_t done = count - io_uring_sq_ready(&s->ring);
    collect(s, sends, count);
    if (done < count) {
        drop_ring(s);
        log_without(-result);
    }
    return done;
}

void sender_send(struct sender *s, struct send *sends, size_t count)
{
    assert(count <= SENDER_MOST);
    size_t done = s->has_ring && count > 1 ? send_by_ring(s, sends, count) : 0;
    for (size_t i = done; i < count; i++) {
        sends[i].took = sender_send_one(sends[i].fd, sends[i].bytes);
    }
}
