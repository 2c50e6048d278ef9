/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a connection: bytes are read from one end as fast as the links of that
 * direction allow, go through the exchange, travel for half a round trip on the line, and
 * are sent to the other end.
 */
#ifndef FAULTPROXY_FLOW_H
#define FAULTPROXY_FLOW_H

#include "http.h"
#include "line.h"
#include "link.h"
#include "loop.h"

struct conn;

struct endpoint {
	struct source source;
	struct conn *conn;
	bool readable, writable;
	bool hung_up; /* the peer will send no more */
	bool ended;   /* ... and all it sent has been read */
};

struct flow {
	struct conn *conn;
	struct endpoint *from, *to;
	struct link *total;
	struct link_user turn;
	uint64_t free_at; /* of the connection's own link */
	uint64_t due;     /* when the bytes being read will arrive */
	struct line line;
	struct http_stream http;
	uint64_t *delivered; /* the counter in the stats */
	uint64_t trickle_at; /* when the next trickling byte may go */
	bool halted;         /* nothing is delivered until resumed */
	bool deaf;           /* what is still read is thrown away */
	bool finished;       /* the end of the stream has been delivered */
	struct task task;
	struct timer timer;
};

void flow_init(struct flow *flow, struct conn *conn, bool up);

/* Drops what is under way. The flow may be run again, with nothing on its line. */
void flow_stop(struct flow *flow);

#endif
