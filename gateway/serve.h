/* SPDX-License-Identifier: MIT */
/* serve: a gateway's whole life: builds the layers from the bottom up, wires them, runs the loop,
 * and takes them down in reverse.
 *
 *   starting -> ready -> (SIGTERM) draining: not ready for shutdown.grace, then a bye with a slot
 * for each connection over shutdown.drain -> stopping: presence and lease are taken back -> end
 *
 * SIGINT, or a second SIGTERM, skips to stopping with everybody's slot at once. SIGHUP reads the
 * settings again. */
#ifndef GATEWAY_SERVE_H
#define GATEWAY_SERVE_H

struct config;
struct config_sources;

/* Borrows both: config is what was read from sources, and owned by the gateway meanwhile (SIGHUP
 * reads them again). The result is the process's exit code. */
int serve(struct config *config, const struct config_sources *sources);

#endif
