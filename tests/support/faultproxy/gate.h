/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket: open, or shut in one of two ways. It keeps its port meanwhile.
 */
#ifndef FAULTPROXY_GATE_H
#define FAULTPROXY_GATE_H

#include <sys/socket.h>

#include "loop.h"

#define GATE_FILLERS 8

enum gate_state {
	GATE_OPEN,
	GATE_BLACKHOLE, /* connect() hangs: the kernel drops every SYN */
	GATE_REFUSING,  /* connect() fails with ECONNREFUSED */
};

struct gate {
	struct source source;
	struct loop *loop; /* Borrowed */
	enum gate_state state;
	struct sockaddr_storage address;
	socklen_t length;
	int fillers[GATE_FILLERS]; /* Owned: connections of our own that fill the queue */
	size_t n_fillers;
	struct timer again; /* after running out of descriptors */
	void (*on_accept)(struct gate *gate, int fd);
};

/* Listens on a loopback address, port 0 for any; 0 or -errno. on_accept owns the fd. */
int gate_init(struct gate *gate, struct loop *loop, const struct sockaddr *address,
	socklen_t length, void (*on_accept)(struct gate *gate, int fd));
void gate_finish(struct gate *gate);

/* 0 or -errno. */
int gate_set(struct gate *gate, enum gate_state state);

#endif
