#include "fetch/warm_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void warm_pool_init(struct warm_pool *p)
{
	*p = (struct warm_pool){.handed_out = -1};
}

void warm_pool_finish(struct warm_pool *p)
{
	for (unsigned i = 0; i < p->count; i++)
		close(p->sockets[i].fd);
	p->count = 0;
}

bool warm_origin(const char *url, char ret[static WARM_ORIGIN_SIZE])
{
	const char *host = strstr(url, "://");
	if (!host)
		return false;
	size_t len = (size_t)(host - url) + 3;
	len += strcspn(url + len, "/?#");
	if (len >= WARM_ORIGIN_SIZE)
		return false;
	memcpy(ret, url, len);
	ret[len] = '\0';
	return true;
}

static void forget(struct warm_pool *p, unsigned i)
{
	p->count--;
	memmove(&p->sockets[i], &p->sockets[i + 1],
		(p->count - i) * sizeof(p->sockets[0]));
}

/* Linux answers EINPROGRESS to a non-blocking connect(2) and lets a second one, once the
 * handshake is over, succeed. libcurl 7.88 makes that second call even where it was told
 * that the socket is connected, so a socket that would answer EISCONN is of no use. */
static bool connect_one(struct warm_pool *p, uint64_t now_ns)
{
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(p->address.ss_family, type, 0);
	if (fd < 0)
		return false;
	const struct sockaddr *address = (const struct sockaddr *)&p->address;
	if (connect(fd, address, p->address_len) == 0 || errno != EINPROGRESS) {
		close(fd);
		return false;
	}
	p->sockets[p->count++] = (struct warm_socket){.fd = fd, .since_ns = now_ns};
	return true;
}

static void grant(struct warm_pool *p, uint64_t now_ns)
{
	if (!p->wanted || strcmp(p->origin, p->wanted_origin) != 0)
		return;
	while (p->in_use + p->count < p->wanted && p->count < WARM_MAX)
		if (!connect_one(p, now_ns))
			return; /* the address may be a dead end; another may follow */
	p->wanted = 0;
}

void warm_pool_wish(struct warm_pool *p, const char *origin, unsigned n, uint64_t now_ns)
{
	strcpy(p->wanted_origin, origin);
	p->wanted = n;
	grant(p, now_ns);
}

enum readiness { CONNECTING, CONNECTED, DEAD };

static enum readiness look_at(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT};
	if (poll(&poll_fd, 1, 0) != 1)
		return CONNECTING;
	return poll_fd.revents == POLLOUT ? CONNECTED : DEAD;
}

static bool same_address(const struct warm_pool *p, const struct curl_sockaddr *address)
{
	return p->address_len == address->addrlen &&
	       !memcmp(&p->address, &address->addr, address->addrlen);
}

/* A socket that is still connecting stays: libcurl would take EALREADY for a failure. */
static int take(struct warm_pool *p)
{
	for (unsigned i = 0; i < p->count;) {
		int fd = p->sockets[i].fd;
		enum readiness state = look_at(fd);
		if (state == CONNECTING) {
			i++;
			continue;
		}
		forget(p, i);
		if (state == CONNECTED)
			return fd;
		close(fd);
	}
	return -1;
}

static void learn_address(
	struct warm_pool *p, const char *url, const struct curl_sockaddr *address)
{
	if (address->addrlen > sizeof(p->address) || !warm_origin(url, p->origin))
		return;
	if (!same_address(p, address))
		warm_pool_finish(p);
	memcpy(&p->address, &address->addr, address->addrlen);
	p->address_len = address->addrlen;
}

int warm_pool_open(struct warm_pool *p, const char *url,
	const struct curl_sockaddr *address, uint64_t now_ns)
{
	bool tcp = address->socktype == SOCK_STREAM &&
		   (address->family == AF_INET || address->family == AF_INET6);
	if (tcp)
		learn_address(p, url, address);
	p->handed_out = tcp ? take(p) : -1;
	int fd = p->handed_out;
	if (fd < 0)
		fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
			address->protocol);
	if (fd < 0)
		return -1;
	p->in_use++;
	if (tcp)
		grant(p, now_ns);
	return fd;
}

bool warm_pool_is_connected(const struct warm_pool *p, int fd)
{
	return fd >= 0 && fd == p->handed_out;
}

void warm_pool_close(struct warm_pool *p, int fd)
{
	if (p->in_use)
		p->in_use--;
	close(fd);
}

uint64_t warm_pool_expire(struct warm_pool *p, uint64_t now_ns)
{
	while (p->count && now_ns - p->sockets[0].since_ns >= WARM_MAX_AGE_NS) {
		close(p->sockets[0].fd);
		forget(p, 0);
	}
	return p->count ? p->sockets[0].since_ns + WARM_MAX_AGE_NS : UINT64_MAX;
}
