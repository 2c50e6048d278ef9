/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections. Each has two flows, one a direction, and an exchange that knows what
 * the bytes mean.
 *
 *   client ---- up:   own link, total link, rtt/2, exchange_up() ----> server
 *          <--- down: own link, total link, rtt/2, exchange_down() ---
 *
 * The client's connect() was answered by the kernel at once, so the round trip that a TCP
 * handshake takes is added to the first bytes' way instead.
 */
#ifndef FAULTPROXY_RELAY_H
#define FAULTPROXY_RELAY_H

#include <sys/socket.h>

#include "exchange.h"
#include "faults.h"
#include "flow.h"
#include "gate.h"
#include "link.h"
#include "loop.h"
#include "stats.h"

struct conn {
	struct list node; /* in proxy->conns */
	struct proxy *proxy;
	uint64_t id, opened;
	struct endpoint client, server;
	struct flow up, down;
	struct exchange exchange;
	bool dead, lingering;
	struct timer linger;
	struct task bury;
};

struct proxy {
	struct loop loop;
	struct gate gate;
	struct pool pool;
	struct sockaddr_storage upstream;
	socklen_t upstream_length;
	uint64_t rtt;       /* nanoseconds */
	uint64_t conn_rate; /* bytes a second each way; 0 for no limit */
	struct link total_up, total_down;
	struct faults faults;
	struct stats stats;
	struct list conns;
};

void relay_init(struct proxy *proxy);
void relay_finish(struct proxy *proxy);

/*
 * Closes both ends at once: in order, by RST, or as a server does that has said all, who
 * waits a little for the client to close as well. A closed connection must not be used
 * any more but to see that it is dead; it is freed when the tasks now queued have run.
 */
void conn_close(struct conn *conn);
void conn_reset(struct conn *conn);
void conn_linger(struct conn *conn);

/* Takes over a client's connection and connects to the server for it. Owns fd. */
void relay_accept(struct proxy *proxy, int fd);

/* Has every connection look again at what it may do, after settings changed. */
void relay_wake(struct proxy *proxy);

/* The response bytes that "cut-after" counts start from here. */
void relay_count_anew(struct proxy *proxy);

/* Halted connections go on. */
void relay_resume(struct proxy *proxy);

/* Faults that were drawn for requests under way do not strike any more. */
void relay_forgive(struct proxy *proxy);

/* Resets every connection. */
void relay_reset(struct proxy *proxy);

#endif
