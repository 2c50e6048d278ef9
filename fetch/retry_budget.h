/*
 * How much retrying one store may be asked to bear: a bucket of tokens that all callers
 * share.
 *
 * A retry costs tokens. A try that succeeds gives some back: what its own last retry cost,
 * or one token where none was needed. When the bucket is empty, failures are final at
 * once, so that a store in trouble is not met with a multiple of the usual load. It fills
 * slowly by itself as well, so it recovers also where nobody succeeds for a while.
 *
 * The bucket is generous, because the transfer's concurrency bounds the load already: a
 * hundred readers of a store that hangs may all use their three retries.
 *
 * Plain data under its owner's lock; pure: the time is passed in.
 */
#ifndef LARDER_FETCH_RETRY_BUDGET_H
#define LARDER_FETCH_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_FULL    2000 /* tokens */
#define BUDGET_RETRY   5    /* what one costs, and a retry that succeeds gives back */
#define BUDGET_SUCCESS 1    /* given back by a first try that succeeds */
#define BUDGET_PER_S   20   /* tokens that come by themselves */

struct retry_budget {
	uint64_t tokens;
	uint64_t filled_ns; /* until when what comes by itself has been added */
};

void retry_budget_init(struct retry_budget *b, uint64_t now_ns);

/* Takes BUDGET_RETRY tokens; false, and takes none, when there are fewer. */
bool retry_budget_take(struct retry_budget *b, uint64_t now_ns);

/* Gives tokens back. */
void retry_budget_give(struct retry_budget *b, unsigned tokens);

#endif
