/* Connects by name or address, with the C library's own resolver, and says what came of it.
 *
 *   connect wait              does nothing, until it is killed
 *   connect NAME PORT         tries once, for two seconds at most, each address in turn
 *
 * One line: WHAT MILLISECONDS, where WHAT is connected, refused, timeout, unresolved or the number of an error. In a pod
 * Kubernetes tells it too, once the container has ended. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT = 2000 };

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int attempt(const struct addrinfo *address) {
    int error = 0;
    socklen_t length = sizeof error;
    int fd = socket(address->ai_family, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        struct pollfd polled = {.fd = fd, .events = POLLOUT};
        error = errno;
        if (error == EINPROGRESS) {
            error = ETIMEDOUT;
            if (poll(&polled, 1, LIMIT) > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        }
    }
    close(fd);
    return error;
}

static void try(const char *name, const char *port) {
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    long begun = now();
    int error = ENOENT;
    if (getaddrinfo(name, port, &wanted, &found) == 0) {
        for (const struct addrinfo *address = found; address && error; address = address->ai_next) error = attempt(address);
        freeaddrinfo(found);
    }
    long took = now() - begun;
    FILE *places[] = {stdout, fopen("/dev/termination-log", "w")};
    for (unsigned at = 0; at < 2; at++) {
        if (places[at] == NULL) continue;
        switch (error) {
            case 0: fprintf(places[at], "connected %ld\n", took); break;
            case ECONNREFUSED: fprintf(places[at], "refused %ld\n", took); break;
            case ETIMEDOUT: fprintf(places[at], "timeout %ld\n", took); break;
            case ENOENT: fprintf(places[at], "unresolved %ld\n", took); break;
            default: fprintf(places[at], "%d %ld\n", error, took);
        }
        fflush(places[at]);
    }
}

int main(int count, char **words) {
    /* The first process of a container ignores signals that it does not handle. */
    signal(SIGTERM, _exit);
    if (count == 3) try(words[1], words[2]);
    else if (count == 2 && strcmp(words[1], "wait") == 0) for (;;) pause();
    else {
        fprintf(stderr, "usage: connect NAME PORT | connect wait\n");
        return 2;
    }
    return 0;
}
