/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's HTTP: which response belongs to which request, and the faults that
 * strike within them. Takes the bytes that were read and puts on the lines what shall
 * arrive.
 *
 * Where the bytes are not HTTP/1.1 both ways are opaque: of the faults only those that
 * count the connection's bytes remain.
 */
#ifndef FAULTPROXY_EXCHANGE_H
#define FAULTPROXY_EXCHANGE_H

#include "faults.h"
#include "line.h"
#include "stats.h"

/* Requests sent ahead of their responses; with more the connection turns opaque. */
#define PIPELINED_MAX 64

struct conn;
struct flow;

/* A request that awaits its response. */
struct request {
	bool head, get;
	bool matches; /* the filter of "only" */
	bool closes;
	struct plan plan;
	struct log_ref log;
};

struct exchange {
	struct request waiting[PIPELINED_MAX]; /* a ring */
	unsigned first, count;
	bool swallowing; /* the request is not passed on but answered here */
	struct request swallowed;
	struct request current; /* whose response is passing */
	bool responding;
	uint64_t sent, content; /* of that response, so far */
	uint64_t strike_at;     /* byte of the response where a mark is set */
	enum mark strike;
	uint64_t corrupt_at; /* byte of its content that is changed */
	uint64_t counted;    /* response bytes since "cut-after" was given */
};

void exchange_init(struct exchange *exchange);

/* Takes back the faults that have not struck yet. */
void exchange_forgive(struct exchange *exchange);

/* Handles n bytes that were read into the block at offset; they arrive at flow->due. */
void exchange_up(struct flow *flow, struct block *block, size_t offset, size_t n);
void exchange_down(struct flow *flow, struct block *block, size_t offset, size_t n);

/* The sender has ended: what is held of an incomplete head is passed on. */
void exchange_end(struct flow *flow);

/* How many of the next bytes may pass without being looked at; 0 if none may. */
uint64_t exchange_blind(const struct flow *flow);

/* n <= exchange_blind() bytes passed so. */
void exchange_passed(struct flow *flow, uint64_t n);

#endif
