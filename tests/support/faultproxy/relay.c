/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* After closing, a client may take so long to close as well. */
#define LINGER (5 * NS_PER_S)
/* The end of a connection */

static void endpoint_close(struct endpoint *end)
{
	int fd = end->source.fd;

	loop_unwatch(&end->conn->proxy->loop, &end->source);
	if (fd >= 0)
		close(fd);
	end->readable = end->writable = false;
}
/* Events and tasks of this round may still know the connection, so it dies in the next.
 */
static void conn_bury(struct task *task)
{
	free(container_of(task, struct conn, bury));
}

void conn_close(struct conn *conn)
{
	struct proxy *proxy = conn->proxy;

	if (conn->dead)
		return;
	conn->dead = true;
	endpoint_close(&conn->client);
	endpoint_close(&conn->server);
	flow_stop(&conn->up);
	flow_stop(&conn->down);
	timer_set(&proxy->loop, &conn->linger, NEVER);
	list_remove(&conn->node);
	proxy->stats.open--;
	task_queue(&proxy->loop, &conn->bury);
}

static void set_to_reset(const struct endpoint *end)
{
	struct linger linger = {.l_onoff = 1};

	if (end->source.fd >= 0)
		setsockopt(
			end->source.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void conn_reset(struct conn *conn)
{
	set_to_reset(&conn->client);
	set_to_reset(&conn->server);
	conn_close(conn);
}

static void linger_on_time(struct timer *timer)
{
	conn_close(container_of(timer, struct conn, linger));
}

/*
 * Closes as a server does. Closing a socket with unread bytes would send RST, which can
 * destroy what the client has yet to read; so its bytes are read until it closes, too.
 */
void conn_linger(struct conn *conn)
{
	struct proxy *proxy = conn->proxy;

	conn->lingering = true;
	flow_stop(&conn->up);
	conn->up.deaf = true;
	endpoint_close(&conn->server);
	shutdown(conn->client.source.fd, SHUT_WR);
	conn->down.finished = true;
	timer_set(&proxy->loop, &conn->linger, proxy->loop.now + LINGER);
	task_queue(&proxy->loop, &conn->up.task);
}
/* The beginning of a connection */

static void endpoint_on_ready(struct source *source, uint32_t events)
{
	struct endpoint *end = container_of(source, struct endpoint, source);
	struct conn *conn = end->conn;
	struct loop *loop = &conn->proxy->loop;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->hung_up = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		end->writable = true;
	task_queue(loop, &conn->up.task);
	task_queue(loop, &conn->down.task);
}
static int endpoint_open(struct endpoint *end, struct conn *conn, int fd)
{
	int one = 1;

	end->conn = conn;
	end->source.on_ready = endpoint_on_ready;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return loop_watch(
		&conn->proxy->loop, &end->source, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

static int connect_upstream(struct conn *conn)
{
	const struct proxy *proxy = conn->proxy;
	const struct sockaddr *address = (const struct sockaddr *)&proxy->upstream;
	int fd =
		socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	if (connect(fd, address, proxy->upstream_length) < 0 && errno != EINPROGRESS)
		error = -errno;
	else
		error = endpoint_open(&conn->server, conn, fd);
	if (error)
		close(fd);
	return error;
}

static struct conn *conn_new(struct proxy *proxy)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->proxy = proxy;
	conn->opened = proxy->loop.now;
	conn->id = ++proxy->stats.connections;
	conn->client.conn = conn->server.conn = conn;
	conn->client.source.fd = conn->server.source.fd = -1;
	conn->linger.on_time = linger_on_time;
	conn->bury.run = conn_bury;
	list_init(&conn->bury.node);
	list_append(&proxy->conns, &conn->node);
	proxy->stats.open++;
	flow_init(&conn->up, conn, true);
	flow_init(&conn->down, conn, false);
	exchange_init(&conn->exchange);
	return conn;
}

void relay_accept(struct proxy *proxy, int fd)
{
	struct conn *conn = conn_new(proxy);

	if (!conn || endpoint_open(&conn->client, conn, fd) < 0) {
		close(fd);
		if (conn)
			conn_close(conn);
		return;
	}
	if (connect_upstream(conn) < 0)
		conn_reset(conn);
}

/* All connections */

void relay_init(struct proxy *proxy)
{
	pool_init(&proxy->pool);
	list_init(&proxy->conns);
	link_init(&proxy->total_up, &proxy->loop);
	link_init(&proxy->total_down, &proxy->loop);
	faults_clear(&proxy->faults);
	stats_init(&proxy->stats, proxy->loop.now);
}

#define for_each_conn(proxy, conn)                                                       \
	for (struct list *node_ = (proxy)->conns.next, *next_ = node_->next;             \
		node_ != &(proxy)->conns &&                                              \
		(conn = container_of(node_, struct conn, node), true);                   \
		node_ = next_, next_ = node_->next)

void relay_wake(struct proxy *proxy)
{
	struct conn *conn;

	for_each_conn(proxy, conn)
	{
		uint64_t now = proxy->loop.now;

		conn->up.free_at = conn->up.free_at > now ? now : conn->up.free_at;
		conn->down.free_at = conn->down.free_at > now ? now : conn->down.free_at;
		conn->down.trickle_at = 0;
		task_queue(&proxy->loop, &conn->up.task);
		task_queue(&proxy->loop, &conn->down.task);
	}
}

void relay_count_anew(struct proxy *proxy)
{
	struct conn *conn;

	for_each_conn(proxy, conn) conn->exchange.counted = 0;
}

void relay_resume(struct proxy *proxy)
{
	struct conn *conn;

	for_each_conn(proxy, conn)
	{
		conn->down.halted = false;
		line_forget(&conn->down.line, MARK_HALT);
	}
	relay_wake(proxy);
}

void relay_forgive(struct proxy *proxy)
{
	struct conn *conn;

	for_each_conn(proxy, conn) exchange_forgive(&conn->exchange);
}

void relay_reset(struct proxy *proxy)
{
	struct conn *conn;

	for_each_conn(proxy, conn) conn_reset(conn);
}

void relay_finish(struct proxy *proxy)
{
	struct list *node;

	relay_reset(proxy);
	while ((node = list_pop(&proxy->loop.tasks))) {
		struct task *task = container_of(node, struct task, node);

		if (task->run == conn_bury)
			task->run(task);
	}
	pool_finish(&proxy->pool);
	stats_finish(&proxy->stats);
}
