/* SPDX-License-Identifier: MIT */
#include "gateway/edge/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_MAX 256

/* What to do: stands around the name of the setting. */
static const struct {
    int error;
    const char *before, *after;
} advices[] = {
    {EADDRINUSE, "; choose another with --", "=ADDRESS:PORT, or stop what listens there"},
    {EACCES, "; choose another with --", "=ADDRESS (ports below 1024 need CAP_NET_BIND_SERVICE)"},
    {EADDRNOTAVAIL, "; this machine has no such address (every IPv4 address: --", "=0.0.0.0:PORT)"},
};

/* "server.listen=0.0.0.0:8080: address already in use; choose another with …" */
static void explain(const struct bind_options *o, const char *address, const char *why, int error,
                    char *err, size_t err_size)
{
    char advice[128] = "";
    for (size_t i = 0; i < ARRAY_LEN(advices); i++) {
        if (advices[i].error == error) {
            (void)snprintf(advice, sizeof(advice), "%s%s%s", advices[i].before, o->setting,
                           advices[i].after);
        }
    }
    (void)snprintf(err, err_size, "%s=%s: %s%s", o->setting, address, why, advice);
}

static int bind_and_listen(const struct bind_options *o, int fd, const struct sockaddr *address,
                           socklen_t size)
{
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (o->shared && address->sa_family != AF_UNIX &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) {
        return errno;
    }
    return bind(fd, address, size) == 0 && listen(fd, (int)o->backlog) == 0 ? 0 : errno;
}

/* getaddrinfo would take a port modulo 65536. */
static bool is_port(const char *text)
{
    char *end = NULL;
    unsigned long port = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port >= 1 && port <= 65535;
}

/* The functions below give a listening descriptor, or -1 and an errno in *error (0: *why says it).
 */

static int open_tcp(const struct bind_options *o, const char *address, int *error, const char **why)
{
    char host[HOST_MAX];
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    if (len == 0 || len >= sizeof(host) || !is_port(colon + 1)) {
        *why = "not an address; it looks like 0.0.0.0:8080, [::]:8080, unix:/path or fd:3";
        return -1;
    }
    bool brackets = address[0] == '[' && address[len - 1] == ']' && len > 2;
    memcpy(host, address + (brackets ? 1 : 0), len - (brackets ? 2 : 0));
    host[len - (brackets ? 2 : 0)] = '\0';

    struct addrinfo hints = {.ai_family = brackets ? AF_INET6 : AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, colon + 1, &hints, &found);
    if (failed != 0) {
        *why = gai_strerror(failed);
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *error = fd < 0 ? errno : bind_and_listen(o, fd, found->ai_addr, found->ai_addrlen);
    if (*error != 0 && fd >= 0) {
        close(fd);
    }
    freeaddrinfo(found);
    return *error == 0 ? fd : -1;
}

/* True when the socket file is left over from a process that is gone. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int open_unix(const struct bind_options *o, const char *path, int *error, const char **why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(address.sun_path)) {
        *why = "the path of a unix socket has 1 to 107 bytes";
        return -1;
    }
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *error = errno;
        return -1;
    }
    *error = bind_and_listen(o, fd, (struct sockaddr *)&address, sizeof(address));
    if (*error == EADDRINUSE && is_stale(&address)) {
        (void)unlink(path);
        *error = bind_and_listen(o, fd, (struct sockaddr *)&address, sizeof(address));
    }
    /* Whoever may connect is believed about client addresses: the owner and its group, nobody else.
     */
    if (*error == 0 && chmod(path, 0660) != 0) {
        *error = errno;
    }
    if (*error != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A socket that was opened by whoever started us (systemd's socket activation begins at 3). */
static int open_inherited(const char *number, const char **why)
{
    char *end = NULL;
    long fd = strtol(number, &end, 10);
    int listening = 0;
    socklen_t size = sizeof(listening);
    if (end == number || *end != '\0' || fd < 3 || fd > 65535 ||
        getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening) {
        *why = "that descriptor is not a listening socket; it is opened by whoever starts parley";
        return -1;
    }
    int flags = fcntl((int)fd, F_GETFL);
    (void)fcntl((int)fd, F_SETFL, flags | O_NONBLOCK);
    (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return (int)fd;
}

const char *bind_socket_file(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

int bind_listen(const struct bind_options *options, const char *address, char *err, size_t err_size)
{
    int error = 0;
    const char *why = NULL;
    const char *path = bind_socket_file(address);
    int fd = -1;
    if (path != NULL) {
        fd = open_unix(options, path, &error, &why);
    } else if (strncmp(address, "fd:", 3) == 0) {
        fd = open_inherited(address + 3, &why);
    } else {
        fd = open_tcp(options, address, &error, &why);
    }
    if (fd < 0) {
        explain(options, address, why != NULL ? why : strerror(error), error, err, err_size);
    }
    return fd;
}
