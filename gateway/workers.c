/* SPDX-License-Identifier: MIT */
#include "gateway/workers.h"

#include "common/alloc.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/config.h"
#include "gateway/edge/bind.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "/proc/self/exe"
/* A worker that lived so long ended for a new reason: its successor starts soon. */
#define SETTLED_MS 10000
#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 10000
#define NAME_MAX_BYTES 64  /* of server.gateway_name */
#define NUMBER_MAX_BYTES 5 /* "-1024" */

/* What a worker is told in place of the parent's own settings. */
static const char *const own_settings[] = {
    "--server.listen=", "--server.workers=", "--server.gateway_name=", "--admin.listen="};

struct worker {
    pid_t pid;         /* 0: it does not run */
    uint64_t start_ms; /* it was started, or is to be */
    bool settled;      /* some incarnation of it lived for a while */
    struct backoff backoff;
    int fds[CONFIG_LIST_MAX]; /* owned, where they are not shared */
    char **argv;              /* owned, with all that it holds; NULL at the end */
    size_t argc;
};

struct workers {
    const struct config *config; /* borrowed */
    struct worker *list;         /* owned */
    unsigned count;
    size_t listen_count;
    bool stopping;
    int code; /* the process's exit code */
};

unsigned workers_count(const struct config *config)
{
    long processors = config->server.workers == 0 ? sysconf(_SC_NPROCESSORS_ONLN) : 0;
    return processors > 0 ? (unsigned)processors : config->server.workers;
}

static bool is_tcp(const char *address)
{
    return strncmp(address, "unix:", 5) != 0 && strncmp(address, "fd:", 3) != 0;
}

/* Worker 0's socket serves all where the kernel does not spread connections over several. */
static bool open_sockets(struct workers *w, char *err, size_t err_size)
{
    struct bind_options how = {
        .setting = "server.listen", .backlog = w->config->server.backlog, .shared = true};
    for (size_t i = 0; i < w->config->server.listen.count; i++) {
        const char *address = w->config->server.listen.items[i];
        for (unsigned n = 0; n < w->count; n++) {
            bool own = n == 0 || is_tcp(address);
            w->list[n].fds[i] = own ? bind_listen(&how, address, err, err_size) : w->list[0].fds[i];
            if (w->list[n].fds[i] < 0) {
                return false;
            }
        }
        w->listen_count++;
    }
    return true;
}

static void close_sockets(struct workers *w)
{
    while (w->listen_count > 0) {
        const char *address = w->config->server.listen.items[--w->listen_count];
        const char *file = bind_socket_file(address);
        for (unsigned n = 0; n < (is_tcp(address) ? w->count : 1); n++) {
            close(w->list[n].fds[w->listen_count]);
        }
        if (file != NULL) {
            (void)unlink(file);
        }
    }
}

static bool is_own_setting(const char *argument)
{
    for (size_t i = 0; i < ARRAY_LEN(own_settings); i++) {
        if (strncmp(argument, own_settings[i], strlen(own_settings[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Appends one argument; the list ends with NULL. */
PRINTF_LIKE(2, 3) static void add_argument(struct worker *worker, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    assert(len >= 0);
    char *text = xmalloc((size_t)len + 1);
    (void)vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    worker->argv = xrealloc((void *)worker->argv, (worker->argc + 2) * sizeof(*worker->argv));
    worker->argv[worker->argc++] = text;
    worker->argv[worker->argc] = NULL;
}

/* admin.listen of the n-th worker: the next port, or the next name. */
static void add_admin_address(struct worker *worker, const char *address, unsigned n)
{
    if (!is_tcp(address)) {
        add_argument(worker, "--admin.listen=%s.%u", address, n + 1);
        return;
    }
    const char *colon = strrchr(address, ':');
    unsigned long port = strtoul(colon + 1, NULL, 10) + n;
    add_argument(worker, "--admin.listen=%.*s:%lu", (int)(colon - address), address, port);
}

/* The parent's command line, but for what each worker has for itself. */
static void build_argv(struct workers *w, unsigned n, const char *file, char **settings, int count)
{
    const struct config *c = w->config;
    struct worker *worker = &w->list[n];
    add_argument(worker, "parley");
    add_argument(worker, "serve");
    if (file != NULL) {
        add_argument(worker, "--config=%s", file);
    }
    for (int i = 0; i < count; i++) {
        if (!is_own_setting(settings[i])) {
            add_argument(worker, "%s", settings[i]);
        }
    }
    add_argument(worker, "--server.workers=1");
    add_argument(worker, "--server.gateway_name=%.*s-%u", NAME_MAX_BYTES - NUMBER_MAX_BYTES,
                 c->server.gateway_name, n + 1);
    for (size_t i = 0; i < w->listen_count; i++) {
        add_argument(worker, "--server.listen=fd:%d", worker->fds[i]);
    }
    for (size_t i = 0; i < c->admin.listen.count; i++) {
        add_admin_address(worker, c->admin.listen.items[i], n);
    }
    if (c->admin.listen.count == 0) {
        add_argument(worker, "--admin.listen=");
    }
}

/* In the new process, before it is a gateway. A group of its own: what the terminal sends, the
 * parent passes on once. */
_Noreturn static void become_worker(const struct workers *w, const struct worker *worker,
                                    pid_t parent)
{
    sigset_t none;
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(EX_UNAVAILABLE);
    }
    for (size_t i = 0; i < w->listen_count; i++) {
        (void)fcntl(worker->fds[i], F_SETFD, 0);
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    execv(PROGRAM, worker->argv);
    fprintf(stderr, "parley: %s: %s\n", PROGRAM, strerror(errno));
    _exit(EX_UNAVAILABLE);
}

static void start_worker(struct workers *w, unsigned n)
{
    struct worker *worker = &w->list[n];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(w, worker, parent);
    }
    worker->start_ms = clock_now_ms();
    if (pid < 0) {
        LOG(ERROR, WORKER, F_NUM("worker", n + 1), F_TEXT("state", "not started"),
            F_TEXT("reason", strerror(errno)));
        worker->start_ms += backoff_next_ms(&worker->backoff, random_u64());
        return;
    }
    worker->pid = pid;
    LOG(INFO, WORKER, F_NUM("worker", n + 1), F_TEXT("state", "started"), F_NUM("pid", pid));
}

static void pass_on(struct workers *w, int signo)
{
    for (unsigned n = 0; n < w->count; n++) {
        if (w->list[n].pid > 0) {
            (void)kill(w->list[n].pid, signo);
        }
    }
}

/* Nobody is started any more. The workers still have their sockets, as long as they want them. */
static void stop(struct workers *w, int signo)
{
    w->stopping = true;
    close_sockets(w);
    pass_on(w, signo);
}

/* Whoever cannot even start will not do so a second time: the settings or the machine are wrong. */
static bool cannot_start(const struct worker *worker, int status)
{
    return !worker->settled && WIFEXITED(status) &&
           (WEXITSTATUS(status) == EX_CONFIG || WEXITSTATUS(status) == EX_UNAVAILABLE);
}

static void on_worker_end(struct workers *w, unsigned n, int status)
{
    struct worker *worker = &w->list[n];
    uint64_t now = clock_now_ms();
    worker->pid = 0;
    if (w->stopping) {
        bool clean = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
        w->code = clean || w->code != EXIT_SUCCESS ? w->code : EXIT_FAILURE;
        return;
    }
    if (now - worker->start_ms >= SETTLED_MS) {
        worker->settled = true;
        backoff_reset(&worker->backoff);
    }
    LOG(ERROR, WORKER, F_NUM("worker", n + 1), F_TEXT("state", "died"),
        F_NUM("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
        F_NUM("code", WIFEXITED(status) ? WEXITSTATUS(status) : 0));
    if (cannot_start(worker, status)) {
        w->code = WEXITSTATUS(status);
        stop(w, SIGINT);
        return;
    }
    worker->start_ms = now + backoff_next_ms(&worker->backoff, random_u64());
}

static void reap(struct workers *w)
{
    int status;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        for (unsigned n = 0; n < w->count; n++) {
            if (w->list[n].pid == pid) {
                on_worker_end(w, n, status);
            }
        }
    }
}

static bool any_runs(const struct workers *w)
{
    for (unsigned n = 0; n < w->count; n++) {
        if (w->list[n].pid > 0) {
            return true;
        }
    }
    return false;
}

/* Starts who is due; the result is the time until the next one is. */
static uint64_t start_due(struct workers *w)
{
    uint64_t now = clock_now_ms(), wait = RESTART_MAX_MS;
    for (unsigned n = 0; n < w->count && !w->stopping; n++) {
        struct worker *worker = &w->list[n];
        if (worker->pid == 0 && worker->start_ms <= now) {
            start_worker(w, n);
        }
        if (worker->pid == 0 && worker->start_ms > now && worker->start_ms - now < wait) {
            wait = worker->start_ms - now;
        }
    }
    return wait;
}

static void supervise(struct workers *w, const sigset_t *signals)
{
    while (!w->stopping || any_runs(w)) {
        uint64_t wait = start_due(w);
        struct timespec time = {(time_t)(wait / 1000), (long)(wait % 1000) * 1000000};
        int signo = sigtimedwait(signals, NULL, &time);
        if (signo == SIGTERM || signo == SIGINT) {
            stop(w, signo);
        } else if (signo == SIGHUP) {
            pass_on(w, signo);
        }
        reap(w);
    }
}

static void free_all(struct workers *w)
{
    close_sockets(w);
    for (unsigned n = 0; n < w->count; n++) {
        while (w->list[n].argc > 0) {
            free(w->list[n].argv[--w->list[n].argc]);
        }
        free((void *)w->list[n].argv);
    }
    free(w->list);
}

int workers_run(const struct config *config, const char *file, char **settings, int setting_count)
{
    struct workers w = {.config = config, .count = workers_count(config)};
    sigset_t signals;
    char err[256] = "";
    log_setup(str_from(config->server.gateway_name), config->log.level, config->log.format,
              config->log.rate_limit, STDERR_FILENO);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    w.list = xcalloc(w.count, sizeof(*w.list));
    if (!open_sockets(&w, err, sizeof(err))) {
        fprintf(stderr, "parley: %s\n", err);
        free_all(&w);
        return EX_UNAVAILABLE;
    }
    for (unsigned n = 0; n < w.count; n++) {
        w.list[n].backoff = (struct backoff){RESTART_MIN_MS, RESTART_MAX_MS, 0};
        build_argv(&w, n, file, settings, setting_count);
    }
    supervise(&w, &signals);
    free_all(&w);
    return w.code;
}
