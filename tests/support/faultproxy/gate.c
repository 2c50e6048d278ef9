/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BACKLOG     4096
#define AGAIN_AFTER (10 * NS_PER_MS)

static void accept_all(struct gate *gate)
{
	int fd;

	while (gate->state == GATE_OPEN) {
		fd = accept4(gate->source.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			gate->on_accept(gate, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
			timer_set(
				gate->loop, &gate->again, gate->loop->now + AGAIN_AFTER);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

static void gate_on_ready(struct source *source, uint32_t events)
{
	(void)events;
	accept_all(container_of(source, struct gate, source));
}

static void gate_on_time(struct timer *timer)
{
	accept_all(container_of(timer, struct gate, again));
}

static int bind_socket(const struct sockaddr *address, socklen_t length)
{
	int fd =
		socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, address, length))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/*
 * A socket keeps its port over a shutdown() only if it was bound to that very port. So
 * one socket finds a free port and another, while the first holds it, binds it by number.
 */
static int bind_for_good(
	struct gate *gate, const struct sockaddr *address, socklen_t length)
{
	int finder = bind_socket(address, length), fd;

	if (finder < 0)
		return finder;
	if (getsockname(finder, (struct sockaddr *)&gate->address, &gate->length) < 0)
		fd = -errno;
	else
		fd = bind_socket((struct sockaddr *)&gate->address, gate->length);
	close(finder);
	return fd;
}

int gate_init(struct gate *gate, struct loop *loop, const struct sockaddr *address,
	socklen_t length, void (*on_accept)(struct gate *gate, int fd))
{
	int fd, error;

	*gate = (struct gate){
		.source = {.fd = -1, .on_ready = gate_on_ready},
		.loop = loop,
		.again.on_time = gate_on_time,
		.length = sizeof(gate->address),
		.on_accept = on_accept,
	};
	fd = bind_for_good(gate, address, length);
	if (fd < 0)
		return fd;
	if (listen(fd, BACKLOG) < 0)
		error = -errno;
	else
		error = loop_watch(loop, &gate->source, fd, EPOLLIN);
	if (error)
		close(fd);
	return error;
}

static void drop_fillers(struct gate *gate)
{
	while (gate->n_fillers)
		close(gate->fillers[--gate->n_fillers]);
}

void gate_finish(struct gate *gate)
{
	int fd = gate->source.fd;

	drop_fillers(gate);
	loop_unwatch(gate->loop, &gate->source);
	timer_set(gate->loop, &gate->again, NEVER);
	if (fd >= 0)
		close(fd);
}

/* Closes whatever waits in the queue: our own fillers, and who came after them. */
static void drop_queue(struct gate *gate)
{
	int fd;

	while ((fd = accept4(gate->source.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

/*
 * With a backlog of 0 the kernel queues one connection and drops the SYNs of all others,
 * who go on trying. The fillers take that place.
 */
static int blackhole(struct gate *gate)
{
	if (listen(gate->source.fd, 0) < 0)
		return -errno;
	while (gate->n_fillers < GATE_FILLERS) {
		int fd = socket(gate->address.ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		gate->fillers[gate->n_fillers++] = fd;
		if (connect(fd, (struct sockaddr *)&gate->address, gate->length) < 0 &&
			errno == EINPROGRESS)
			return 0;
	}
	return 0;
}

/* Shutting a listening socket down makes it deaf without giving up its port. */
static int refuse(struct gate *gate)
{
	return shutdown(gate->source.fd, SHUT_RD) < 0 ? -errno : 0;
}

static int reopen(struct gate *gate)
{
	if (gate->state == GATE_BLACKHOLE) {
		drop_queue(gate);
		drop_fillers(gate);
	}
	if (listen(gate->source.fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

int gate_set(struct gate *gate, enum gate_state state)
{
	int error;

	if (state == gate->state)
		return 0;
	error = reopen(gate);
	gate->state = GATE_OPEN;
	accept_all(gate);
	if (error)
		return error;
	gate->state = state;
	if (state == GATE_BLACKHOLE)
		return blackhole(gate);
	return state == GATE_REFUSING ? refuse(gate) : 0;
}
