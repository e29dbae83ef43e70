/* SPDX-License-Identifier: MIT */
/* Preloaded into a gateway: one allocation fails. The file that FAILING_MALLOC names holds a
 * number, eight bytes, that whoever watches may set at any time: each allocation counts it down,
 * the one that brings it to 0 gets NULL. 0 and less: none fails. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);

static int64_t *countdown;

__attribute__((constructor)) static void open_countdown(void)
{
    const char *path = getenv("FAILING_MALLOC");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        _exit(126); /* a row that believes it injects must not pass */
    }
    void *page = mmap(NULL, sizeof(*countdown), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED) {
        _exit(126);
    }
    countdown = page;
}

static int fails(void)
{
    if (countdown == NULL || __atomic_load_n(countdown, __ATOMIC_RELAXED) <= 0) {
        return 0;
    }
    if (__atomic_sub_fetch(countdown, 1, __ATOMIC_RELAXED) != 0) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size)
{
    return fails() ? NULL : __libc_realloc(ptr, size);
}
