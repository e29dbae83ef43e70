/* SPDX-License-Identifier: MIT */
/* workers: several gateways on one machine without a balancer (server.workers). A small parent owns
 * the listening sockets, starts the gateways as processes of their own, and starts a new one where
 * one dies.
 *
 * Each worker has a socket of its own on every TCP address; the kernel spreads the connections
 * (SO_REUSEPORT). The parent keeps them all open: what waits in the queue of a worker that died is
 * served by its successor. A unix socket or an inherited one is shared by all.
 *
 * Worker 1, 2 … is named <server.gateway_name>-1, -2 …; its health and metrics are at
 * admin.listen's port + 0, + 1 … (a unix path gets .1, .2 …).
 *
 * SIGTERM, SIGINT and SIGHUP are passed on; the parent ends when all workers have. When the parent
 * is killed, the workers drain. */
#ifndef GATEWAY_WORKERS_H
#define GATEWAY_WORKERS_H

struct config;

/* How many gateways config asks for: server.workers, or one a processor where that is 0. */
unsigned workers_count(const struct config *config);

/* file (NULL: none) and settings ("--section.key=value") are what config was made from: the workers
 * read them again. The result is the process's exit code. */
int workers_run(const struct config *config, const char *file, char **settings, int setting_count);

#endif
