/* SPDX-License-Identifier: MIT */
/* url: where Redis is: redis://[user:pass@]host[:port][/db] or unix:///path[?db=N]. User and
 * password may be percent-encoded. */
#ifndef GATEWAY_BUS_URL_H
#define GATEWAY_BUS_URL_H

#include "common/base.h"

struct url {
    char *host; /* owned; NULL: a unix socket */
    char *path; /* owned; NULL: TCP */
    int port;
    char *user, *password; /* owned; NULL: none */
    unsigned db;
};

/* False: err says why, in one line without the password; *u is empty. */
bool url_parse(struct url *u, const char *text, char *err, size_t err_size) MUST_CHECK;
void url_free(struct url *u);

#endif
