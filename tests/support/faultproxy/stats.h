/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passed through the proxy: counters, and a log of requests while it is on. The log
 * holds at most LOG_MAX requests; more are counted as dropped.
 */
#ifndef FAULTPROXY_STATS_H
#define FAULTPROXY_STATS_H

#include <stdio.h>

#include "faults.h"
#include "http.h"

#define LOG_MAX     1000000
#define METHODS_MAX 16
#define METHOD_MAX  24

struct log_entry {
	uint64_t at; /* nanoseconds since the proxy began */
	uint64_t connection;
	char *method, *target;                  /* Owned */
	char *range, *if_match, *if_none_match; /* Owned; NULL where not sent */
	int status;                             /* 0 until the response began */
	uint64_t content;                       /* bytes of it, so far */
	enum fault fault;
};

/* Names a log entry as long as the log is not emptied. */
struct log_ref {
	uint64_t era;
	size_t index;
};

struct stats {
	uint64_t begun;
	uint64_t connections, open, requests, responses;
	uint64_t bytes_up, bytes_down; /* delivered to the server, to the client */
	uint64_t read_down;            /* taken from the server */
	uint64_t faults[FAULT_KINDS];
	struct {
		char name[METHOD_MAX];
		uint64_t count;
	} methods[METHODS_MAX];
	bool log_on;
	struct log_entry *log; /* Owned */
	size_t logged, log_room;
	uint64_t log_dropped, log_era;
};

void stats_init(struct stats *stats, uint64_t now);
void stats_finish(struct stats *stats);

/* Counters to zero and the log empty; open connections stay counted as open. */
void stats_reset(struct stats *stats, uint64_t now);

/* Counts a request, and logs it if the log is on. */
struct log_ref stats_request(struct stats *stats, const struct http_message *request,
	uint64_t connection, uint64_t now);

/* The log entry, or NULL if there is none any more. */
struct log_entry *stats_entry(struct stats *stats, struct log_ref ref);

/* Counts a fault that took place, and notes it with the request. */
void stats_fault(struct stats *stats, struct log_ref ref, enum fault fault);

/* One line of JSON, without the newline. */
void stats_print(const struct stats *stats, FILE *out);

#endif
