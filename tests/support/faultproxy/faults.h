/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What shall go wrong, as the control commands set it, and what goes wrong with the next
 * request. No I/O and no clock here.
 */
#ifndef FAULTPROXY_FAULTS_H
#define FAULTPROXY_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULES_MAX  32
#define FILTER_MAX 256
#define UNLIMITED  UINT64_MAX

enum fault {
	FAULT_NONE,
	FAULT_DELAY,   /* the request reaches the server late */
	FAULT_STATUS,  /* the proxy answers itself */
	FAULT_CUT,     /* the connection closes within the response */
	FAULT_RESET,   /* the same by RST */
	FAULT_STALL,   /* the response stops within */
	FAULT_CORRUPT, /* one bit of the content is flipped */
	FAULT_KINDS,
};

extern const char *const fault_names[FAULT_KINDS];

/* What happens to one request and its response. */
struct plan {
	enum fault fault;
	int status;      /* FAULT_STATUS */
	int retry_after; /* seconds; negative for none */
	uint64_t delay;  /* nanoseconds, besides the fault */
	uint32_t where;  /* the place in the response, in 2^-32 of its length */
};

/* A kind of fault and its probability for each request. */
struct rule {
	enum fault fault;
	unsigned permille;
	int status;
	uint64_t delay; /* FAULT_DELAY: the longest */
};

struct faults {
	bool stalled; /* nothing moves */
	bool stall_after_head;
	uint64_t trickle;   /* response bytes a second; 0 for no limit */
	uint64_t cut_after; /* response bytes; UNLIMITED for no cut */
	bool cut_resets;
	uint64_t corrupt_every; /* content bytes; 0 for never */
	uint64_t corrupt_left;  /* until the next bit is flipped */
	struct plan answer;
	uint64_t answers; /* how many requests get it */
	struct rule rules[RULES_MAX];
	size_t n_rules;
	uint64_t random; /* the generator's state */
	char methods[FILTER_MAX], text[FILTER_MAX];
};

/* Nothing goes wrong. */
void faults_clear(struct faults *faults);

/* Whether the faults of requests are meant for this one; see the command "only". */
bool faults_match(const struct faults *faults, const char *method, const char *target);

/* Draws what happens to a request that matches. */
void faults_draw(struct faults *faults, struct plan *ret_plan);

/* The place in length bytes that the plan means, 0 to length - 1; 0 for length 0. */
uint64_t plan_place(const struct plan *plan, uint64_t length);

/*
 * Writes the proxy's own answer, in the manner of an S3 store, into text, without content
 * for HEAD. Returns its length; FAULT_ANSWER_MAX is always enough.
 */
#define FAULT_ANSWER_MAX 1024
size_t faults_answer(const struct plan *plan, bool head, bool closes, char *text);

#endif
