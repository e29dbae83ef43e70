/* SPDX-License-Identifier: MIT */
#include "gateway/files.h"

#include <assert.h>
#include <sys/resource.h>

static struct rlimit read_limit(void)
{
    struct rlimit limit;
    int failed = getrlimit(RLIMIT_NOFILE, &limit);
    assert(failed == 0); /* it fails for unknown resources only */
    return limit;
}

uint64_t files_limit(void)
{
    struct rlimit limit = read_limit();
    return limit.rlim_max < FILES_MAX ? limit.rlim_max
                                      : FILES_MAX; /* RLIM_INFINITY is the largest */
}

uint64_t files_raise_limit(void)
{
    struct rlimit limit = read_limit();
    limit.rlim_cur = files_limit();
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        limit = read_limit(); /* a sandbox forbade it: what was in force stays */
    }
    return limit.rlim_cur < FILES_MAX ? limit.rlim_cur : FILES_MAX;
}

unsigned files_max_connections(uint64_t limit)
{
    return limit > FILES_RESERVED ? (unsigned)(limit - FILES_RESERVED) : 0;
}
