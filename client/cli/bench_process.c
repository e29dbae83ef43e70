/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

bool process_parse(struct process *p, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        return false;
    }
    char *end;
    errno = 0;
    long pid = strtol(equals + 1, &end, 10);
    if (errno != 0 || end == equals + 1 || *end != '\0' || pid <= 0 || pid > INT_MAX) {
        return false;
    }
    *p = (struct process){.name = text, .name_len = (int)(equals - text), .pid = (int)pid};
    return true;
}

/* Reads a short file of /proc; false when it cannot be. */
static bool read_file(int pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t len = fread(text, 1, size - 1, file);
    fclose(file);
    text[len] = '\0';
    return len > 0;
}

/* The number in the field `index` (from 0) of fields that blanks part; 0 where there is none. */
static uint64_t field(const char *text, unsigned index)
{
    while (index-- > 0) {
        const char *blank = strchr(text, ' ');
        if (blank == NULL) {
            return 0;
        }
        text = blank + 1;
    }
    return strtoull(text, NULL, 10);
}

bool process_sample(int pid, struct process_sample *sample)
{
    /* proc(5): fields 14 and 15 are utime and stime. The second is the program's name, which may
     * hold anything, parentheses too; so counting starts at the third, which follows the last. */
    enum { STATE = 3, USER_TICKS = 14, SYSTEM_TICKS = 15, RESIDENT_PAGES = 1 };
    char text[1024];
    *sample = (struct process_sample){0, 0};
    if (!read_file(pid, "stat", text, sizeof(text))) {
        return false;
    }
    const char *after = strrchr(text, ')');
    if (after == NULL || after[1] != ' ') {
        return false;
    }
    uint64_t ticks = field(after + 2, USER_TICKS - STATE) + field(after + 2, SYSTEM_TICKS - STATE);
    sample->cpu_s = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    if (!read_file(pid, "statm", text, sizeof(text))) {
        return false;
    }
    sample->rss_bytes = field(text, RESIDENT_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

double process_own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
