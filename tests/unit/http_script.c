#include "tests/unit/http_script.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fetch/base/lock.h"

#define HEAD_MAX        (64u << 10)
#define CONNECTIONS_MAX 1024
#define STATIC_BUFFERS  8

struct script_connection {
	struct http_script *server;
	pthread_t thread;
	int fd; /* closed and set to -1 under the server's lock */
	unsigned number;
	char *data; /* what was read and not yet used */
	size_t len;
	size_t size; /* allocated */
};

struct http_script {
	http_script_fn *fn;
	void *arg;
	int listener;
	int stop_fd; /* readable once the server stops */
	char origin[64];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	unsigned requests;
	unsigned connections;
	unsigned closed;
	struct script_connection *all[CONNECTIONS_MAX];
};

static char *static_buffer(void)
{
	static _Thread_local char buffers[STATIC_BUFFERS][4096];
	static _Thread_local unsigned next;
	return buffers[next++ % STATIC_BUFFERS];
}

/* --- counting ------------------------------------------------------------------------
 */

static unsigned count_up(struct http_script *s, unsigned *counter)
{
	LOCK_SCOPE(&s->lock);
	pthread_cond_broadcast(&s->changed);
	return ++*counter;
}

static unsigned read_count(struct http_script *s, const unsigned *counter)
{
	LOCK_SCOPE(&s->lock);
	return *counter;
}

static void wait_count(struct http_script *s, const unsigned *counter, unsigned n)
{
	LOCK_SCOPE(&s->lock);
	while (*counter < n)
		pthread_cond_wait(&s->changed, &s->lock);
}

unsigned http_script_requests(struct http_script *s)
{
	return read_count(s, &s->requests);
}

unsigned http_script_connections(struct http_script *s)
{
	return read_count(s, &s->connections);
}

void http_script_wait_requests(struct http_script *s, unsigned n)
{
	wait_count(s, &s->requests, n);
}

void http_script_wait_connections(struct http_script *s, unsigned n)
{
	wait_count(s, &s->connections, n);
}

void http_script_wait_closed(struct http_script *s, unsigned n)
{
	wait_count(s, &s->closed, n);
}

/* --- sending -------------------------------------------------------------------------
 */

/* True when fd is ready for `events`; false when the server stops. */
static bool ready(struct script_connection *c, short events)
{
	struct pollfd fds[2] = {
		{.fd = c->fd, .events = events},
		{.fd = c->server->stop_fd, .events = POLLIN},
	};
	while (poll(fds, 2, -1) < 0)
		;
	return !fds[1].revents;
}

bool script_send(struct script_connection *c, const void *data, size_t len)
{
	const char *p = data;
	while (len) {
		if (!ready(c, POLLOUT))
			return false;
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool script_say(struct script_connection *c, const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, format);
	int len = vasprintf(&text, format, ap);
	va_end(ap);
	assert(len >= 0);
	bool sent = script_send(c, text, (size_t)len);
	free(text);
	return sent;
}

bool script_answer(struct script_connection *c, const char *status, const char *fields,
	const void *body, size_t len)
{
	return script_say(c, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status,
		       fields, len) &&
	       script_send(c, body, len);
}

bool script_hold(struct script_connection *c)
{
	char bytes[4096];
	while (ready(c, POLLIN))
		if (recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			break;
	return false;
}

bool script_reset(struct script_connection *c)
{
	struct linger now = {.l_onoff = 1};
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return false;
}

/* --- receiving -----------------------------------------------------------------------
 */

static bool read_more(struct script_connection *c)
{
	if (!ready(c, POLLIN))
		return false;
	size_t least = c->len + HEAD_MAX + 1;
	if (c->size < least) {
		c->size = 2 * least;
		c->data = realloc(c->data, c->size);
	}
	ssize_t n = recv(c->fd, c->data + c->len, HEAD_MAX, MSG_DONTWAIT);
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->data[c->len] = '\0';
	return true;
}

static bool read_head(struct script_connection *c, size_t *ret_len)
{
	char *end = NULL;
	while (!c->len || !(end = memmem(c->data, c->len, "\r\n\r\n", 4)))
		if (!read_more(c))
			return false;
	*ret_len = (size_t)(end - c->data) + 4;
	return true;
}

const char *script_field(const struct script_request *request, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = strstr(request->head, "\r\n"); line && line[2];
		line = strstr(line + 2, "\r\n")) {
		const char *field = line + 2;
		if (strncasecmp(field, name, len) != 0 || field[len] != ':')
			continue;
		field += len + 1 + strspn(field + len + 1, " ");
		char *value = static_buffer();
		snprintf(value, 4096, "%.*s", (int)strcspn(field, "\r"), field);
		return value;
	}
	return NULL;
}

static bool serve_body(
	struct script_connection *c, struct script_request *request, size_t head_len)
{
	const char *length = script_field(request, "Content-Length");
	request->body_len = length ? strtoul(length, NULL, 10) : 0;
	while (c->len < head_len + request->body_len)
		if (!read_more(c))
			return false;
	char *body = c->data + head_len;
	char *copy = malloc(request->body_len + 1);
	memcpy(copy, body, request->body_len);
	copy[request->body_len] = '\0';
	request->body = copy;
	c->len -= head_len + request->body_len;
	memmove(c->data, body + request->body_len, c->len);
	request->number = count_up(c->server, &c->server->requests);
	bool goes_on = c->server->fn(c, request, c->server->arg);
	free(copy);
	return goes_on;
}

static bool serve_one(struct script_connection *c)
{
	size_t head_len;
	if (!read_head(c, &head_len))
		return false;
	char *head = strndup(c->data, head_len);
	char method[32] = "", target[4096] = "";
	sscanf(head, "%31s %4095s", method, target);
	struct script_request request = {
		.connection = c->number,
		.method = method,
		.target = target,
		.head = head,
	};
	bool goes_on = serve_body(c, &request, head_len);
	free(head);
	return goes_on;
}

static void *serve(void *arg)
{
	struct script_connection *c = arg;
	struct http_script *s = c->server;
	while (serve_one(c))
		;
	free(c->data);
	LOCK_SCOPE(&s->lock);
	close(c->fd);
	c->fd = -1;
	s->closed++;
	pthread_cond_broadcast(&s->changed);
	return NULL;
}

/* --- the server ----------------------------------------------------------------------
 */

static void accept_one(struct http_script *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct script_connection *c = calloc(1, sizeof(*c));
	*c = (struct script_connection){.server = s, .fd = fd};
	LOCK_SCOPE(&s->lock);
	assert(s->connections < CONNECTIONS_MAX);
	s->all[s->connections++] = c;
	c->number = s->connections;
	pthread_cond_broadcast(&s->changed);
	if (pthread_create(&c->thread, NULL, serve, c) != 0)
		abort();
}

static void *accept_all(void *arg)
{
	struct http_script *s = arg;
	struct pollfd fds[2] = {
		{.fd = s->listener, .events = POLLIN},
		{.fd = s->stop_fd, .events = POLLIN},
	};
	for (;;) {
		poll(fds, 2, -1);
		if (fds[1].revents)
			return NULL;
		if (fds[0].revents)
			accept_one(s);
	}
}

struct http_script *http_script_start(http_script_fn *fn, void *arg)
{
	struct http_script *s = calloc(1, sizeof(*s));
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	s->fn = fn;
	s->arg = arg;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->listener, (struct sockaddr *)&address, len) < 0 ||
		listen(s->listener, CONNECTIONS_MAX) < 0 ||
		getsockname(s->listener, (struct sockaddr *)&address, &len) < 0 ||
		pthread_create(&s->thread, NULL, accept_all, s) != 0)
		abort();
	snprintf(s->origin, sizeof(s->origin), "http://127.0.0.1:%u",
		ntohs(address.sin_port));
	return s;
}

void http_script_stop(struct http_script *s)
{
	if (!s)
		return;
	uint64_t one = 1;
	if (write(s->stop_fd, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(s->thread, NULL);
	for (unsigned i = 0; i < s->connections; i++) {
		pthread_join(s->all[i]->thread, NULL);
		free(s->all[i]);
	}
	close(s->listener);
	close(s->stop_fd);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void http_script_hang_up(struct http_script *s)
{
	LOCK_SCOPE(&s->lock);
	for (unsigned i = 0; i < s->connections; i++)
		if (s->all[i]->fd >= 0)
			shutdown(s->all[i]->fd, SHUT_RDWR);
}

const char *http_script_origin(const struct http_script *s)
{
	return s->origin;
}

const char *http_script_url(const struct http_script *s, const char *path)
{
	char *url = static_buffer();
	snprintf(url, 4096, "%s%s", s->origin, path);
	return url;
}

/* --- gates ---------------------------------------------------------------------------
 */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool open;
};

struct gate *gate_new(void)
{
	struct gate *g = calloc(1, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->opened, NULL);
	return g;
}

void gate_free(struct gate *g)
{
	pthread_cond_destroy(&g->opened);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void gate_open(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->opened);
}

void gate_wait(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	while (!g->open)
		pthread_cond_wait(&g->opened, &g->lock);
}
