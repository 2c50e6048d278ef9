/*
 * TCP connections made before they are needed; part of fetch/transfer.
 *
 * libcurl opens a connection only for a request, and no request may be sent just to have
 * one. So the pool connects sockets itself, without blocking, and libcurl is given one
 * when it opens a socket to the same address. Names are not looked up here: the address
 * is the one libcurl opened its last socket to for that origin; until there is one, the
 * wish waits.
 *
 * A socket nobody wanted is closed after WARM_MAX_AGE, before servers tire of it.
 * Belongs to the transfer thread; no locks.
 */
#ifndef LARDER_FETCH_WARM_POOL_H
#define LARDER_FETCH_WARM_POOL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define WARM_MAX         64
#define WARM_MAX_AGE_NS  (UINT64_C(15) * 1000000000)
#define WARM_ORIGIN_SIZE 300 /* bytes of "scheme://host:port", the NUL included */

struct warm_socket {
	int fd; /* owned, connecting or connected */
	uint64_t since_ns;
};

struct warm_pool {
	char origin[WARM_ORIGIN_SIZE]; /* whose address is known, "" for none */
	struct sockaddr_storage address;
	socklen_t address_len;
	char wanted_origin[WARM_ORIGIN_SIZE];
	unsigned wanted;   /* connections in all, not granted yet */
	unsigned in_use;   /* sockets libcurl has now */
	int handed_out;    /* the last warm socket given to libcurl; -1: the last was cold */
	unsigned count;
	struct warm_socket sockets[WARM_MAX]; /* oldest first */
};

void warm_pool_init(struct warm_pool *p);
void warm_pool_finish(struct warm_pool *p);

/* Copies the part of url before its path. False when it is too long for the pool. */
bool warm_origin(const char *url, char ret[static WARM_ORIGIN_SIZE]);

/* Wants n connections to be there, those in use included. */
void warm_pool_wish(struct warm_pool *p, const char *origin, unsigned n, uint64_t now_ns);

/* For libcurl's callbacks: a socket for this address, warm or new; -1 with errno. */
int warm_pool_open(struct warm_pool *p, const char *url,
	const struct curl_sockaddr *address, uint64_t now_ns);
bool warm_pool_is_connected(const struct warm_pool *p, int fd);
void warm_pool_close(struct warm_pool *p, int fd);

/* Closes what is too old; returns when to call again, UINT64_MAX: never. */
uint64_t warm_pool_expire(struct warm_pool *p, uint64_t now_ns);

#endif
