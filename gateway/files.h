/* SPDX-License-Identifier: MIT */
/* files: the limit of open files, and how many connections fit under it. */
#ifndef GATEWAY_FILES_H
#define GATEWAY_FILES_H

#include "common/base.h"

/* libwebsockets allocates tables for the whole limit; containers set it to a thousand millions. */
#define FILES_MAX 1048576

/* Listeners, Redis, the web client's files, the log, and refusals that must be answered. */
#define FILES_RESERVED 64

/* The limit after files_raise_limit: the hard one, at most FILES_MAX. Changes nothing. */
uint64_t files_limit(void);

/* Sets the soft limit to files_limit() and returns what is in force then. */
uint64_t files_raise_limit(void);

/* How many connections a limit of open files leaves room for; 0: too low to serve anybody. */
unsigned files_max_connections(uint64_t limit);

#endif
