/* SPDX-License-Identifier: MIT */
/* static: the web client's files, read once at start and served from memory: `/` is web/index.html
 * of the folder, `/client/…` any file below it of a known kind. With ETag, CSP and nosniff. */
#ifndef GATEWAY_EDGE_STATIC_H
#define GATEWAY_EDGE_STATIC_H

#include "common/base.h"
#include "gateway/edge/http.h"

struct static_site;

/* dir "" serves nothing. A folder that cannot be read is an error line in err and NULL; files past
 * 1 MiB, or more than 500 files, are left out with a warning in the log. */
struct static_site *static_site_new(const char *dir, char *err, size_t err_size);
void static_site_free(struct static_site *s);
/* Borrowed from s. */
const struct http_site *static_site_http(const struct static_site *s);

#endif
