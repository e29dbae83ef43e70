/* SPDX-License-Identifier: MIT */
#include "gateway/edge/static.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1024 * 1024)
#define FILES_MAX 500
#define DEPTH_MAX 8 /* also ends a loop of symbolic links */
#define URL_PREFIX "/client/"
#define INDEX_FILE "web/index.html"
#define ETAG_LEN 18 /* 16 hex digits in quotes */

static const char CSP[] = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'";

/* What is not here is not served: no editor's backups, no lists of what else lies in the folder. */
static const struct {
    const char *suffix, *type;
} kinds[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".d.ts", "text/plain; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
};

struct file {
    char *path; /* owned; relative to the folder: the key */
    const char *type;
    char *bytes; /* owned */
    size_t len;
    char etag[ETAG_LEN + 1];
};

struct static_site {
    struct map files; /* of struct file, owned */
    struct http_route routes[2];
    struct http_site site;
    bool full; /* the one warning about too many files was given */
};

static struct str key_of(const void *item)
{
    const struct file *f = item;
    return str_from(f->path);
}

static const char *type_of(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t suffix = strlen(kinds[i].suffix);
        if (len > suffix && strcmp(path + len - suffix, kinds[i].suffix) == 0) {
            return kinds[i].type;
        }
    }
    return NULL;
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits: a changed file must get another tag; nobody attacks it. */
static void make_etag(struct file *f)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < f->len; i++) {
        hash = (hash ^ (unsigned char)f->bytes[i]) * 0x100000001b3;
    }
    (void)snprintf(f->etag, sizeof(f->etag), "\"%016" PRIx64 "\"", hash);
}

static void leave_out(const char *path, const char *why)
{
    LOG(WARN, CONFIG, F_TEXT("setting", "server.static_dir"), F_TEXT("file", path),
        F_TEXT("msg", why));
}

/* False: the file changed while it was read, or cannot be read. */
static bool read_whole(int fd, char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read(fd, bytes + done, len - done);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static void add_file(struct static_site *s, int dir, const char *name, const char *path,
                     size_t size)
{
    if (s->files.count == FILES_MAX) {
        if (!s->full) {
            leave_out(path, "left out with all further ones: more than 500 files");
        }
        s->full = true;
        return;
    }
    if (size > FILE_MAX_BYTES) {
        leave_out(path, "left out: longer than 1 MiB");
        return;
    }
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *bytes = xmalloc(size + 1);
    if (fd < 0 || !read_whole(fd, bytes, size)) {
        leave_out(path, "left out: cannot be read");
        free(bytes);
    } else {
        struct file *f = xcalloc(1, sizeof(*f));
        f->path = str_dup(str_from(path));
        f->type = type_of(path);
        f->bytes = bytes;
        f->len = size;
        make_etag(f);
        map_put(&s->files, f);
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Reads the open folder dir (taken), whose files begin with prefix. */
static void add_folder(struct static_site *s, int dir, const char *prefix, unsigned depth)
{
    DIR *entries = fdopendir(dir);
    if (entries == NULL) {
        close(dir);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dir, entry->d_name, &st, 0) != 0) {
            continue;
        }
        struct buf path = {0};
        buf_addf(&path, "%s%s", prefix, entry->d_name);
        bool is_folder = S_ISDIR(st.st_mode) && depth < DEPTH_MAX;
        buf_add(&path, is_folder ? (struct str){"/", 2} : (struct str){"", 1}); /* with the NUL */
        if (is_folder) {
            int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (below >= 0) {
                add_folder(s, below, path.ptr, depth + 1);
            }
        } else if (S_ISREG(st.st_mode) && type_of(path.ptr) != NULL) {
            add_file(s, dir, entry->d_name, path.ptr, (size_t)st.st_size);
        }
        buf_fini(&path);
    }
    closedir(entries);
}

static void serve_file(const struct static_site *s, struct str path, struct http_answer *answer)
{
    const struct file *f = map_get(&s->files, path);
    if (f == NULL) {
        http_answer_error(answer, 404, "not_found", "there is no such page here");
        return;
    }
    answer->content_type = f->type;
    answer->etag = f->etag;
    answer->csp = CSP;
    answer->shared_body = (struct str){f->bytes, f->len};
}

static void serve_index(void *ctx, const struct http_request *request, struct http_answer *answer)
{
    (void)request;
    serve_file(ctx, STR(INDEX_FILE), answer);
}

static void serve_client(void *ctx, const struct http_request *request, struct http_answer *answer)
{
    size_t prefix = sizeof(URL_PREFIX) - 1;
    struct str path = {request->path.ptr + prefix, request->path.len - prefix};
    serve_file(ctx, path, answer);
}

struct static_site *static_site_new(const char *dir, char *err, size_t err_size)
{
    int fd = -1;
    if (dir[0] != '\0') {
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            (void)snprintf(err, err_size,
                           "server.static_dir=%s: %s; it is the folder that holds web/index.html "
                           "(empty: serve no files)",
                           dir, strerror(errno));
            return NULL;
        }
    }
    struct static_site *s = xcalloc(1, sizeof(*s));
    map_init(&s->files, key_of);
    s->routes[0] = (struct http_route){"/", serve_index};
    s->routes[1] = (struct http_route){URL_PREFIX "*", serve_client};
    s->site = (struct http_site){s->routes, ARRAY_LEN(s->routes), s};
    if (fd >= 0) {
        add_folder(s, fd, "", 0);
    }
    return s;
}

void static_site_free(struct static_site *s)
{
    if (s == NULL) {
        return;
    }
    size_t at = 0;
    struct file *f;
    while ((f = map_next(&s->files, &at)) != NULL) {
        free(f->path);
        free(f->bytes);
        free(f);
    }
    map_fini(&s->files);
    free(s);
}

const struct http_site *static_site_http(const struct static_site *s)
{
    return &s->site;
}
