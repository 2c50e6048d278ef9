/*
 * One exchange as the caller and the transfer thread share it; part of fetch/transfer.
 *
 * Reference counted: the caller holds one reference until it returns, the queue and then
 * the thread another. What the caller lends beyond its return (memory to send, memory to
 * fill) is touched only under `lock` while `gone` is not set; everything else was copied
 * when the task was made and does not change.
 */
#ifndef LARDER_FETCH_TRANSFER_TASK_H
#define LARDER_FETCH_TRANSFER_TASK_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fetch/transfer.h"

struct transfer_task {
	/* Owned copies, constant. */
	char *url;
	char *method;
	struct curl_slist *headers; /* may hold a session token: wiped */
	int body_fd;                /* a duplicate; -1: none */
	/* Constant. */
	uint64_t body_offset;
	uint64_t body_len;
	bool has_sink;
	size_t sink_len;
	size_t body_max;
	bool fresh_connection;
	uint64_t connect_timeout_ns;
	uint64_t stall_timeout_ns;
	uint64_t hedge_after_ns;

	/* Under the transfer's lock. */
	struct transfer_task *next, *prev; /* in the queue */
	bool queued;
	enum call_priority priority; /* constant once it is not queued any more */

	atomic_uint references;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	bool gone;        /* the caller has returned */
	bool done;        /* the three below are set */
	const void *body; /* borrowed */
	void *sink;       /* borrowed */
	bool *hedged;     /* borrowed; or NULL */
	int result;
	struct http_response response; /* owned when result is 0 */
	struct error error;
};

/* A task with one reference. 0, -EINVAL for a header line that is none, -ENOMEM, -EMFILE
 * and other errors of dup(2). */
int task_new(const struct http_request *request, const struct call *call,
	struct transfer_task **ret, struct error *e);
struct transfer_task *task_ref(struct transfer_task *task);
void task_unref(struct transfer_task **task);

/* For the caller: waits until it is done, or the call ends. 0 when *ret was filled, else
 * the result, or -ETIMEDOUT or -ECANCELED, after which the task is gone. With `leisurely`
 * also -EAGAIN: the call is hurried; wait again without. */
int task_wait(struct transfer_task *task, const struct call *call, bool leisurely,
	struct http_response *ret, struct error *e);

/* For the thread. */
bool task_is_gone(struct transfer_task *task);
bool task_is_upload(const struct transfer_task *task);

/* Copies body bytes into the sink; the caller has seen to it that they fit. False: gone. */
bool task_fill(struct transfer_task *task, size_t offset, const void *data, size_t len);

/* Reads len bytes of the body to send. 0, -ECANCELED gone, -EIO. */
int task_read(struct transfer_task *task, uint64_t offset, void *buf, size_t len);

/* Tells the caller that it is asked a second time. */
void task_tell_hedged(struct transfer_task *task);

/* Ends the task and wakes the caller. Takes over what *response owns (NULL: none, as with
 * any result but 0). */
void task_complete(struct transfer_task *task, int result, struct http_response *response,
	const struct error *e);

#endif
