#include "tests/unit/play.h"

#include "tests/unit/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fetch/base/lock.h"
#include "tests/unit/http_script.h"

#define HEAD_SIZE 4096
#define BODY_SIZE 1024

struct play {
	const char *answers[PLAY_ANSWERS_MAX];
	unsigned count;
	struct settings settings;
	struct http_script *server;
	struct exchanger *exchanger;
	struct http_target target;
	pthread_mutex_t lock;
	char heads[PLAY_HEADS_MAX][HEAD_SIZE];  /* under lock */
	char bodies[PLAY_HEADS_MAX][BODY_SIZE]; /* under lock; their beginnings */
};

/* Pauses are of no length when random numbers are zero. */
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	memset(buf, 0, len);
	return (ssize_t)len;
}

static void note(struct play *p, const struct script_request *rq)
{
	LOCK_SCOPE(&p->lock);
	if (rq->number > PLAY_HEADS_MAX)
		return;
	snprintf(p->heads[rq->number - 1], HEAD_SIZE, "%s", rq->head);
	snprintf(p->bodies[rq->number - 1], BODY_SIZE, "%.*s", (int)rq->body_len,
		rq->body ? rq->body : "");
}

static bool act(struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct play *p = arg;
	note(p, rq);
	unsigned i = rq->number - 1;
	const char *answer = p->answers[i < p->count ? i : p->count - 1];
	const char *body = strchr(answer, '|');
	if (!*answer)
		return script_hold(c);
	if (!body)
		return script_send(c, answer, strlen(answer)) && false;
	bool head = !strcmp(rq->method, "HEAD");
	bool told = strcasestr(answer, "content-length:") != NULL;
	char length[64] = "";
	if (!told)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n",
			strlen(body + 1));
	return script_say(c, "HTTP/1.1 %.*s%s\r\n%s", (int)(body - answer), answer,
		length, head ? "" : body + 1);
}

struct play *play_begin(unsigned retries, const char *const *answers)
{
	struct play *p = calloc(1, sizeof(*p));
	assert_non_null(p);
	pthread_mutex_init(&p->lock, NULL);
	for (; answers[p->count]; p->count++)
		p->answers[p->count] = answers[p->count];
	settings_init(&p->settings);
	p->settings.concurrency = 4;
	p->settings.retries = retries;
	p->settings.stall_timeout_ns = 0;
	p->server = http_script_start(act, p);
	const struct exchanger_options o = {
		.scheme_host = http_script_origin(p->server),
		.settings = &p->settings,
	};
	assert_int_equal(exchanger_new(&o, &p->exchanger, NULL), 0);
	p->target = (struct http_target){.exchanger = p->exchanger,
		.path = "/b/k",
		.key = "k",
		.store = "the play"};
	return p;
}

void play_end(struct play *p)
{
	exchanger_free(p->exchanger);
	http_script_stop(p->server);
	settings_finish(&p->settings);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

const struct http_target *play_target(struct play *p)
{
	return &p->target;
}

struct exchanger *play_exchanger(struct play *p)
{
	return p->exchanger;
}

const char *play_origin(struct play *p)
{
	return http_script_origin(p->server);
}

unsigned play_requests(struct play *p)
{
	return http_script_requests(p->server);
}

void play_wait_requests(struct play *p, unsigned n)
{
	http_script_wait_requests(p->server, n);
}

bool play_asked(struct play *p, unsigned number, const char *text)
{
	LOCK_SCOPE(&p->lock);
	return strcasestr(p->heads[number - 1], text);
}

bool play_sent(struct play *p, unsigned number, const char *text)
{
	LOCK_SCOPE(&p->lock);
	return strstr(p->bodies[number - 1], text);
}
