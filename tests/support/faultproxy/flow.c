/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "relay.h"

/*
 * Bytes read at a time, which arrive together: what a limited link carries in a sixteenth
 * of the round trip, within these bounds.
 */
#define QUANTUM_MIN      (16 << 10)
#define QUANTUM_MAX      BLOCK_SIZE
#define QUANTUM_TIME_MIN NS_PER_MS
#define QUANTUM_TIME_MAX (4 * NS_PER_MS)

/* Splicing costs more than it saves for less. */
#define BLIND_MIN (64 << 10)

/* A head is read into memory; no more than this, so that a body can be spliced. */
#define HEAD_READ (64 << 10)

/* Reading pauses when so much waits for a receiver, or is under way in all. */
#define BACKLOG_MAX   (4 << 20)
#define UNDER_WAY_MAX (64 << 20)

static bool is_up(const struct flow *flow)
{
	return flow == &flow->conn->up;
}

static bool is_gated(const struct flow *flow)
{
	return flow->conn->proxy->faults.stalled || flow->halted;
}

static bool is_arrived(const struct flow *flow)
{
	return line_due(&flow->line) <= flow->conn->proxy->loop.now;
}
/* Delivery */

static void finish(struct flow *flow)
{
	struct conn *conn = flow->conn;

	flow->finished = true;
	shutdown(flow->to->source.fd, SHUT_WR);
	if (conn->up.finished && conn->down.finished)
		conn_close(conn);
}

static void obey(struct flow *flow, enum mark mark)
{
	line_drop_mark(&flow->line);
	if (mark == MARK_FINISH)
		finish(flow);
	else if (mark == MARK_HALT)
		flow->halted = true;
	else if (mark == MARK_CLOSE)
		conn_linger(flow->conn);
	else
		conn_reset(flow->conn);
}

/* The server may have answered before it stopped listening: its answer still passes. */
static void receiver_failed(struct flow *flow)
{
	if (!is_up(flow)) {
		conn_reset(flow->conn);
		return;
	}
	flow->deaf = flow->finished = true;
	line_finish(&flow->line, &flow->conn->proxy->pool);
	if (flow->conn->down.finished)
		conn_close(flow->conn);
}

/* How much may be sent now; a trickle lets a hundredth of a second's bytes go at a time.
 */
static size_t send_limit(struct flow *flow)
{
	struct proxy *proxy = flow->conn->proxy;
	uint64_t rate = proxy->faults.trickle;

	if (!rate || is_up(flow))
		return SIZE_MAX;
	if (proxy->loop.now < flow->trickle_at)
		return 0;
	return rate < 100 ? 1 : (size_t)(rate / 100);
}

static void sent(struct flow *flow, size_t n)
{
	struct proxy *proxy = flow->conn->proxy;

	*flow->delivered += n;
	if (proxy->faults.trickle && !is_up(flow))
		flow->trickle_at =
			proxy->loop.now + transfer_time(proxy->faults.trickle, n);
}

static void deliver(struct flow *flow)
{
	struct proxy *proxy = flow->conn->proxy;

	while (!flow->conn->dead && !flow->finished && !is_gated(flow) &&
		is_arrived(flow)) {
		enum mark mark = line_mark(&flow->line, proxy->loop.now);
		ssize_t n;

		if (mark != MARK_NONE && mark != MARK_FINISH) {
			obey(flow, mark);
			continue;
		}
		if (!flow->to->writable) /* not connected yet, or full */
			return;
		if (mark == MARK_FINISH) {
			obey(flow, mark);
			return;
		}
		n = line_send(&flow->line, &proxy->pool, flow->to->source.fd,
			send_limit(flow), proxy->loop.now);
		if (n > 0)
			sent(flow, (size_t)n);
		else if (n == 0)
			return;
		else if (n == -EAGAIN)
			flow->to->writable = false;
		else
			receiver_failed(flow);
	}
}

/* Reading */

static bool is_backed_up(const struct flow *flow)
{
	uint64_t bytes = flow->line.bytes;

	return bytes >= UNDER_WAY_MAX || (bytes >= BACKLOG_MAX && is_arrived(flow));
}

static bool may_read(const struct flow *flow)
{
	return flow->from->readable && !flow->from->ended && !is_backed_up(flow);
}

static size_t quantum(const struct flow *flow)
{
	const struct proxy *proxy = flow->conn->proxy;
	uint64_t total = flow->total->rate, rate = proxy->conn_rate;
	uint64_t time = proxy->rtt / 16, bytes;

	if (!rate || (total && total < rate))
		rate = total;
	if (!rate || rate > NS_PER_S)
		return QUANTUM_MAX;
	if (time < QUANTUM_TIME_MIN)
		time = QUANTUM_TIME_MIN;
	if (time > QUANTUM_TIME_MAX)
		time = QUANTUM_TIME_MAX;
	bytes = rate * time / NS_PER_S;
	if (bytes > QUANTUM_MAX)
		return QUANTUM_MAX;
	return bytes < QUANTUM_MIN ? QUANTUM_MIN : (size_t)bytes;
}

/* When bytes that are read now would be through the links, had they no length. */
static uint64_t entered_at(const struct flow *flow)
{
	const struct conn *conn = flow->conn;
	uint64_t rtt = conn->proxy->rtt, now = conn->proxy->loop.now;
	uint64_t open = conn->opened + (is_up(flow) ? rtt : rtt / 2);

	return now > open ? now : open;
}

/* Takes n bytes through the links and says when they arrive. */
static void pass_links(struct flow *flow, size_t n)
{
	const struct proxy *proxy = flow->conn->proxy;
	uint64_t at = entered_at(flow), passed;

	if (flow->free_at > at)
		at = flow->free_at;
	at += transfer_time(proxy->conn_rate, n);
	flow->free_at = at;
	passed = link_pass(flow->total, n);
	flow->due = (passed > at ? passed : at) + proxy->rtt / 2;
}

static void sender_ended(struct flow *flow, enum mark mark)
{
	struct conn *conn = flow->conn;

	flow->from->ended = true;
	if (conn->lingering) {
		conn_close(conn);
		return;
	}
	/* nobody is left to see the end of a stall */
	if (is_up(flow) && (is_gated(flow) || conn->down.halted)) {
		conn_reset(conn);
		return;
	}
	pass_links(flow, 0);
	exchange_end(flow);
	if (flow->deaf)
		return;
	line_append_mark(&flow->line, mark, flow->due);
}

static void sender_failed(struct flow *flow, int error)
{
	if (error == -EAGAIN) {
		flow->from->readable = false;
	} else if (is_up(flow)) {
		flow->from->ended = true;
		conn_reset(flow->conn);
	} else {
		sender_ended(flow, MARK_RESET);
	}
}

/* What reading gave: bytes, the end at 0, or -errno. True for bytes. */
static bool took(struct flow *flow, ssize_t n)
{
	if (n < 0) {
		sender_failed(flow, (int)n);
	} else if (n == 0) {
		sender_ended(flow, MARK_FINISH);
	} else {
		pass_links(flow, (size_t)n);
		if (!is_up(flow))
			flow->conn->proxy->stats.read_down += (uint64_t)n;
	}
	return n > 0;
}

/* Splices what need not be looked at; false where reading into memory is the way. */
static bool read_blind(struct flow *flow, size_t limit)
{
	uint64_t blind = exchange_blind(flow);
	ssize_t n;

	if (blind < BLIND_MIN || flow->conn->lingering)
		return false;
	if (limit > blind)
		limit = (size_t)blind;
	n = line_fill_pipe(&flow->line, flow->from->source.fd, limit);
	if (n == -ENOBUFS || (n == -EAGAIN && flow->line.piped))
		return false;
	if (!took(flow, n))
		return true;
	line_append_piped(&flow->line, (size_t)n, flow->due);
	exchange_passed(flow, (uint64_t)n);
	return true;
}

static void handle(struct flow *flow, struct block *block, size_t n)
{
	struct pool *pool = &flow->conn->proxy->pool;
	size_t offset = block->used;

	block->used += n;
	block->refs++; /* the exchange may ask the pool for another */
	if (is_up(flow))
		exchange_up(flow, block, offset, n);
	else
		exchange_down(flow, block, offset, n);
	pool_unref(pool, block);
}

static void read_memory(struct flow *flow, size_t limit)
{
	struct block *block = pool_block(&flow->conn->proxy->pool, QUANTUM_MIN);
	ssize_t n;

	if (http_between(&flow->http) && limit > HEAD_READ)
		limit = HEAD_READ;
	if (limit > BLOCK_SIZE - block->used)
		limit = BLOCK_SIZE - block->used;
	n = recv(flow->from->source.fd, block->bytes + block->used, limit, MSG_DONTWAIT);
	if (!took(flow, n < 0 ? -errno : n))
		return;
	if ((size_t)n < limit && !flow->from->hung_up)
		flow->from->readable = false; /* the rest will be told by a new edge */
	handle(flow, block, (size_t)n);
}

static void read_quantum(struct flow *flow)
{
	size_t limit = quantum(flow);

	if (!read_blind(flow, limit))
		read_memory(flow, limit);
}

static bool own_link_open(const struct flow *flow)
{
	const struct proxy *proxy = flow->conn->proxy;

	return !proxy->conn_rate || flow->free_at <= proxy->loop.now + LINK_AHEAD;
}

/* One turn: deliver what has arrived, read a quantum, and see what comes next */

static void flow_plan(struct flow *flow)
{
	struct loop *loop = &flow->conn->proxy->loop;
	uint64_t due = line_due(&flow->line), next = NEVER;
	bool gated = is_gated(flow) || flow->finished;

	if (!gated && due > loop->now)
		next = due;
	else if (!gated && flow->to->writable && due != NEVER)
		next = flow->trickle_at;
	if (may_read(flow)) {
		if (own_link_open(flow) && list_empty(&flow->turn.node))
			task_queue(loop, &flow->task);
		else if (!own_link_open(flow) && link_look_at(flow->free_at) < next)
			next = link_look_at(flow->free_at);
	}
	timer_set(loop, &flow->timer, next);
}

static void flow_read(struct flow *flow)
{
	read_quantum(flow);
	if (!flow->conn->dead)
		deliver(flow);
	if (!flow->conn->dead)
		flow_plan(flow);
}

static void flow_on_turn(struct link_user *turn)
{
	struct flow *flow = container_of(turn, struct flow, turn);

	if (may_read(flow) && own_link_open(flow))
		flow_read(flow);
}

static void flow_run(struct task *task)
{
	struct flow *flow = container_of(task, struct flow, task);

	deliver(flow);
	if (flow->conn->dead)
		return;
	if (may_read(flow) && own_link_open(flow) && link_enter(flow->total, &flow->turn))
		flow_read(flow);
	else
		flow_plan(flow);
}

static void flow_on_time(struct timer *timer)
{
	flow_run(&container_of(timer, struct flow, timer)->task);
}
void flow_init(struct flow *flow, struct conn *conn, bool up)
{
	struct proxy *proxy = conn->proxy;

	flow->conn = conn;
	flow->from = up ? &conn->client : &conn->server;
	flow->to = up ? &conn->server : &conn->client;
	flow->total = up ? &proxy->total_up : &proxy->total_down;
	flow->delivered = up ? &proxy->stats.bytes_up : &proxy->stats.bytes_down;
	flow->turn.on_turn = flow_on_turn;
	flow->task.run = flow_run;
	flow->timer.on_time = flow_on_time;
	list_init(&flow->turn.node);
	list_init(&flow->task.node);
	line_init(&flow->line);
	http_init(&flow->http, !up);
}
void flow_stop(struct flow *flow)
{
	struct proxy *proxy = flow->conn->proxy;

	list_remove(&flow->task.node);
	link_leave(&flow->turn);
	timer_set(&proxy->loop, &flow->timer, NEVER);
	line_finish(&flow->line, &proxy->pool);
	http_finish(&flow->http);
}
