/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256

uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int loop_init(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	*loop = (struct loop){.armed = NEVER, .now = clock_now(), .alarm = -1};
	list_init(&loop->tasks);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	loop->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->alarm < 0 ||
		epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->alarm, &event) < 0) {
		int error = -errno;

		loop_finish(loop);
		return error;
	}
	return 0;
}

void loop_finish(struct loop *loop)
{
	if (loop->alarm >= 0)
		close(loop->alarm);
	close(loop->epoll);
	free(loop->heap);
}

int loop_watch(struct loop *loop, struct source *source, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = source};

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	source->fd = fd;
	return 0;
}

void loop_unwatch(struct loop *loop, struct source *source)
{
	if (source->fd >= 0)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->fd = -1;
}

void task_queue(struct loop *loop, struct task *task)
{
	if (list_empty(&task->node))
		list_append(&loop->tasks, &task->node);
}

/* The heap: each timer is no later than its two children, at 2i+1 and 2i+2. */

static void heap_put(struct loop *loop, size_t i, struct timer *timer)
{
	loop->heap[i] = timer;
	timer->slot = i + 1;
}

static void heap_settle(struct loop *loop, size_t i, struct timer *timer)
{
	while (i > 0 && loop->heap[(i - 1) / 2]->at > timer->at) {
		heap_put(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (size_t child; (child = 2 * i + 1) < loop->timers; i = child) {
		if (child + 1 < loop->timers &&
			loop->heap[child + 1]->at < loop->heap[child]->at)
			child++;
		if (loop->heap[child]->at >= timer->at)
			break;
		heap_put(loop, i, loop->heap[child]);
	}
	heap_put(loop, i, timer);
}

static void heap_remove(struct loop *loop, struct timer *timer)
{
	size_t i = timer->slot - 1;
	struct timer *last = loop->heap[--loop->timers];

	timer->slot = 0;
	if (last != timer)
		heap_settle(loop, i, last);
}

static void heap_grow(struct loop *loop)
{
	size_t room = loop->room ? 2 * loop->room : 64;
	struct timer **heap = reallocarray(loop->heap, room, sizeof(*heap));

	if (!heap) {
		fputs("faultproxy: out of memory\n", stderr);
		exit(1);
	}
	loop->heap = heap;
	loop->room = room;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t at)
{
	if (timer->slot && timer->at == at)
		return;
	if (at == NEVER) {
		if (timer->slot)
			heap_remove(loop, timer);
		return;
	}
	timer->at = at;
	if (!timer->slot) {
		if (loop->timers == loop->room)
			heap_grow(loop);
		timer->slot = ++loop->timers;
	}
	heap_settle(loop, timer->slot - 1, timer);
}

static void arm(struct loop *loop)
{
	uint64_t at = loop->timers ? loop->heap[0]->at : NEVER;
	struct itimerspec when = {0};

	if (at == loop->armed)
		return;
	loop->armed = at;
	if (at != NEVER) {
		when.it_value.tv_sec = (time_t)(at / NS_PER_S);
		when.it_value.tv_nsec = (long)(at % NS_PER_S);
	}
	timerfd_settime(loop->alarm, TFD_TIMER_ABSTIME, &when, NULL);
}

static void run_timers(struct loop *loop)
{
	while (loop->timers && loop->heap[0]->at <= loop->now) {
		struct timer *timer = loop->heap[0];

		heap_remove(loop, timer);
		timer->on_time(timer);
	}
}

static void run_tasks(struct loop *loop)
{
	struct list round, *node;

	if (list_empty(&loop->tasks))
		return;
	round = loop->tasks;
	round.next->prev = round.prev->next = &round;
	list_init(&loop->tasks);
	while ((node = list_pop(&round))) {
		struct task *task = container_of(node, struct task, node);

		task->run(task);
	}
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (!loop->stop) {
		int n;

		arm(loop);
		n = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE,
			list_empty(&loop->tasks) ? -1 : 0);
		if (n < 0 && errno != EINTR)
			return -errno;
		loop->now = clock_now();
		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			if (!source)
				loop->armed = NEVER; /* it rang; see arm() */
			else if (source->fd >= 0)
				source->on_ready(source, events[i].events);
		}
		run_timers(loop);
		run_tasks(loop);
	}
	return 0;
}
