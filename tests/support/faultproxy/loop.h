/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's only thread: file descriptors, timers and tasks.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC. Timers are exact to what a timerfd gives.
 * Sources are edge-triggered: who is told that a descriptor is ready goes on until
 * EAGAIN. Tasks run in the order in which they were queued, each once a round, with ready
 * descriptors and due timers looked at between the rounds; so one busy connection cannot
 * keep the others waiting.
 */
#ifndef FAULTPROXY_LOOP_H
#define FAULTPROXY_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL
#define NEVER     UINT64_MAX

struct source {
	int fd; /* Borrowed; -1 while it is not watched */
	void (*on_ready)(struct source *source, uint32_t events);
};

struct timer {
	uint64_t at;
	size_t slot; /* its place in the heap + 1; 0 while it is not set */
	void (*on_time)(struct timer *timer);
};

struct task {
	struct list node;
	void (*run)(struct task *task);
};

struct loop {
	int epoll, alarm;
	uint64_t now;
	uint64_t armed; /* what the timerfd is set to */
	struct timer **heap;
	size_t timers, room;
	struct list tasks;
	bool stop;
};

/* 0 or -errno. */
int loop_init(struct loop *loop);
void loop_finish(struct loop *loop);

/* Runs until loop->stop is set; 0 or -errno. */
int loop_run(struct loop *loop);

/* Watches fd for the epoll events given (EPOLLET is added); 0 or -errno. */
int loop_watch(struct loop *loop, struct source *source, int fd, uint32_t events);
void loop_unwatch(struct loop *loop, struct source *source);

/* Sets the timer anew; NEVER clears it. Ends the program when memory runs out. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t at);

/* Runs the task once, soon; queueing a queued task changes nothing. */
void task_queue(struct loop *loop, struct task *task);

uint64_t clock_now(void);

#endif
