/*
 * A scripted HTTP server that gives prepared answers in order, and an exchanger that
 * talks to it. The last answer is repeated; what was asked can be looked at.
 */
#ifndef LARDER_TESTS_UNIT_PLAY_H
#define LARDER_TESTS_UNIT_PLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/exchange.h"
#include "fetch/http_target.h"

#define PLAY_ANSWERS_MAX 64
#define PLAY_HEADS_MAX   64

/* Status, fields (each ended by \r\n), a '|' and the body, whose length is added. What
 * begins with "HTTP/" is said as it is, and the connection then closed. */
#define ANSWER(status, fields, body) status "\r\n" fields "|" body

/* No answer: until the client closes. */
#define PLAY_SILENCE ""

struct play;

/* answers: NULL-ended, borrowed. The exchanger retries `retries` times without pauses
 * worth speaking of (link with --wrap=getrandom). */
struct play *play_begin(unsigned retries, const char *const *answers);
void play_end(struct play *p);

#define ANSWERS(...)                                                                     \
	(const char *const[])                                                            \
	{                                                                                \
		__VA_ARGS__, NULL                                                        \
	}

/* The key "k" at the path "/b/k" of this server. Borrowed. */
const struct http_target *play_target(struct play *p);
struct exchanger *play_exchanger(struct play *p);
const char *play_origin(struct play *p);

unsigned play_requests(struct play *p);
void play_wait_requests(struct play *p, unsigned n); /* until there have been so many */

/* Request `number`, from 1: its head holds this text, in whatever case; its body does. */
bool play_asked(struct play *p, unsigned number, const char *text);
bool play_sent(struct play *p, unsigned number, const char *text);

#endif
