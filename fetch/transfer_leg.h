/*
 * One try at a task: a curl easy handle and what its callbacks keep; part of
 * fetch/transfer.
 *
 * Usually a task has one leg. With hedge_after it may get a second; the first whose final
 * header ends well wins, the other is dropped before any byte of its body is used.
 *
 * A leg belongs to the transfer thread; no locks. It is kept and used again for other
 * tasks, because a fresh easy handle costs its options and its buffers again.
 */
#ifndef LARDER_FETCH_TRANSFER_LEG_H
#define LARDER_FETCH_TRANSFER_LEG_H

#include <curl/curl.h>

#include "fetch/stall.h"
#include "fetch/transfer.h"
#include "fetch/transfer_task.h"
#include "fetch/warm_pool.h"

struct transfer_leg {
	struct transfer_leg *next, *prev; /* among the running, or the idle */
	CURL *easy;                       /* owned */
	struct warm_pool *warm;           /* borrowed */
	char curl_words[CURL_ERROR_SIZE];

	struct transfer_task *task;  /* a reference; NULL while idle */
	struct transfer_leg *rival;  /* the task's other leg, while both run */
	bool is_hedge;               /* the second one */
	uint64_t began_ns;           /* of the task's first leg */
	struct stall_meter stall;

	uint64_t sent;           /* bytes of body given to libcurl */
	int unsent;              /* bytes in the kernel's send queue, last looked at */
	size_t header_bytes;     /* all lines */
	bool in_header;          /* of the final answer or an interim one */
	bool into_sink;
	uint64_t stored;         /* bytes of body in the sink */
	bool enough;             /* the body was cut off on purpose: that is a success */
	bool lost;               /* nobody wants this leg any more */
	struct error failure;    /* found by a callback; code 0: none */
	struct http_response response; /* being made; body owned */
};

/* What is the same for every task. */
struct leg_options {
	uint64_t connect_timeout_ns;
	uint64_t stall_timeout_ns;
	const char *ca_bundle;  /* borrowed during leg_new() */
	bool no_proxy;
	CURLSH *share;          /* borrowed */
	struct warm_pool *warm; /* borrowed */
};

struct transfer_leg *leg_new(const struct leg_options *o); /* NULL: out of memory */
void leg_free(struct transfer_leg *leg);

/* Makes an idle leg ready to be added to the multi handle; takes a reference on the task.
 * rival: the leg that runs already, or NULL. 0 or -ENOMEM, -EINVAL. */
int leg_begin(struct transfer_leg *leg, const struct leg_options *o,
	struct transfer_task *task, struct transfer_leg *rival, uint64_t now_ns);

/* Completes the task as libcurl's result and the callbacks have it, unless a rival still
 * runs and this leg has nothing to offer. */
void leg_finish(struct transfer_leg *leg, CURLcode code, uint64_t now_ns);

/* Has it moved too little? To be asked when stall_next() is past. */
bool leg_is_stalled(struct transfer_leg *leg, uint64_t now_ns);

/* Completes the task as stalled, under the same condition. */
void leg_finish_stalled(struct transfer_leg *leg);

/* Lets go of the task and of what was collected; the leg is idle. */
void leg_reset(struct transfer_leg *leg);

#endif
