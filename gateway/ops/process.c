/* SPDX-License-Identifier: MIT */
#include "gateway/ops/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads a file of /proc as text, as far as it fits. */
static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The n-th (from 3) field of /proc/self/stat (proc(5)); the name, field 2, may hold spaces and
 * brackets. */
static uint64_t stat_field(const char *text, unsigned n)
{
    const char *at = strrchr(text, ')');
    for (unsigned field = 2; at != NULL && field < n; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

/* When the machine was started, in Unix time. */
static double boot_seconds(void)
{
    char text[65536]; /* a line for each processor and one for all interrupts come first */
    const char *line =
        read_text("/proc/stat", text, sizeof(text)) ? strstr(text, "\nbtime ") : NULL;
    return line == NULL ? 0 : strtod(line + sizeof("\nbtime ") - 1, NULL);
}

static uint64_t count_fds(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count - 1; /* the folder itself was open */
}

void process_measure(struct process_figures *out)
{
    char text[1024];
    struct rlimit files;
    memset(out, 0, sizeof(*out));
    if (read_text("/proc/self/stat", text, sizeof(text))) {
        double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
        out->cpu_seconds = (double)(stat_field(text, 14) + stat_field(text, 15)) * tick;
        out->start_seconds = boot_seconds() + (double)stat_field(text, 22) * tick;
        out->resident_bytes = stat_field(text, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        out->max_fds = files.rlim_cur;
    }
    out->open_fds = count_fds();
}
