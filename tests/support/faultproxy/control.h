/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that change what the proxy does while it runs: a line each, answered by one
 * line, "ok", "error SENTENCE" or, for stats, a JSON object. "help" lists them.
 *
 * They come over a unix socket, from any number of clients, or over standard input. A
 * line may have CONTROL_LINE_MAX bytes; who sends more is dropped.
 */
#ifndef FAULTPROXY_CONTROL_H
#define FAULTPROXY_CONTROL_H

#include "loop.h"

#define CONTROL_LINE_MAX 4096

struct proxy;

struct control {
	struct source source; /* the listening socket */
	struct proxy *proxy;  /* Borrowed */
	struct list clients;
	const char *path; /* Borrowed; NULL for none */
};

/* Listens at path, replacing a socket that stands there; "-" is standard input. 0 or
 * -errno. */
int control_init(struct control *control, struct proxy *proxy, const char *path);
void control_finish(struct control *control);

#endif
