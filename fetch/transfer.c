#include "fetch/transfer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/transfer_leg.h"
#include "fetch/transfer_queue.h"

#define CONNECT_TIMEOUT_NS (10 * NS_PER_SECOND)
#define RESERVE_OF         8 /* one place in so many, and at least one, is for demand only */
#define BROKEN_POLL_MS     10 /* between tries while curl_multi_poll() has no memory */

/* An intrusive list of legs. */
struct leg_list {
	struct transfer_leg *first;
	unsigned count;
};

struct transfer {
	pthread_t thread;
	struct leg_options options; /* constant; ca_bundle owned */
	unsigned concurrency;       /* constant */
	CURLM *multi;               /* the thread's; any thread may wake it up */
	CURLSH *share;              /* TLS sessions, of the thread */

	pthread_mutex_t lock;
	/* Under lock. */
	struct transfer_queue queue;
	bool stop;
	bool sweep; /* some running task may be gone */
	char wanted_origin[WARM_ORIGIN_SIZE];
	unsigned wanted; /* connections to it; 0: no new wish */

	/* The thread's. */
	struct leg_list running;
	struct leg_list idle;
	unsigned prefetching; /* of the running */
	struct warm_pool warm;
};

static void list_add(struct leg_list *list, struct transfer_leg *leg)
{
	leg->prev = NULL;
	leg->next = list->first;
	if (list->first)
		list->first->prev = leg;
	list->first = leg;
	list->count++;
}

static void list_remove(struct leg_list *list, struct transfer_leg *leg)
{
	if (leg->prev)
		leg->prev->next = leg->next;
	else
		list->first = leg->next;
	if (leg->next)
		leg->next->prev = leg->prev;
	leg->next = leg->prev = NULL;
	list->count--;
}

/* --- the thread: legs ------------------------------------------------------------ */

static struct transfer_leg *idle_leg(struct transfer *t)
{
	struct transfer_leg *leg = t->idle.first;
	if (!leg)
		return leg_new(&t->options);
	list_remove(&t->idle, leg);
	return leg;
}

/* Takes a running leg off the multi handle, which closes its connection when it is in the
 * middle of something. */
static void retire(struct transfer *t, struct transfer_leg *leg)
{
	curl_multi_remove_handle(t->multi, leg->easy);
	list_remove(&t->running, leg);
	if (leg->task->priority == PRIORITY_PREFETCH)
		t->prefetching--;
	leg_reset(leg);
	list_add(&t->idle, leg);
}

static void start_leg(struct transfer *t, struct transfer_task *task,
	struct transfer_leg *rival, uint64_t now_ns)
{
	struct transfer_leg *leg = idle_leg(t);
	int r = leg ? leg_begin(leg, &t->options, task, rival, now_ns) : -ENOMEM;
	if (r == 0 && curl_multi_add_handle(t->multi, leg->easy) == CURLM_OK) {
		list_add(&t->running, leg);
		if (task->priority == PRIORITY_PREFETCH)
			t->prefetching++;
		if (rival)
			task_tell_hedged(task);
		return;
	}
	if (leg) {
		leg_reset(leg);
		list_add(&t->idle, leg);
	}
	struct error e = {0};
	error_set(&e, -ENOMEM, "out of memory for another transfer");
	if (!rival)
		task_complete(task, -ENOMEM, NULL, &e);
}

/* A prefetch leaves some places to demands, which therefore never wait behind one. */
static unsigned prefetch_places(const struct transfer *t)
{
	unsigned reserve = t->concurrency / RESERVE_OF;
	return t->concurrency == 1 ? 1 : t->concurrency - (reserve ? reserve : 1);
}

static struct transfer_task *next_task(struct transfer *t)
{
	if (t->running.count >= t->concurrency)
		return NULL;
	bool any = t->prefetching < prefetch_places(t);
	LOCK_SCOPE(&t->lock);
	return queue_pop(&t->queue, any ? PRIORITY_PREFETCH : PRIORITY_DEMAND);
}

static void start_queued(struct transfer *t, uint64_t now_ns)
{
	struct transfer_task *task;
	while ((task = next_task(t))) {
		start_leg(t, task, NULL, now_ns);
		task_unref(&task);
	}
}

static void reap(struct transfer *t, uint64_t now_ns)
{
	int left;
	CURLMsg *message;
	while ((message = curl_multi_info_read(t->multi, &left))) {
		struct transfer_leg *leg = NULL;
		CURLcode code = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&leg);
		leg_finish(leg, code, now_ns);
		retire(t, leg);
	}
}

/* True where a second question is due and would not take a place from a first one. */
static bool hedge_is_due(
	const struct transfer *t, const struct transfer_leg *leg, uint64_t now_ns)
{
	return leg->task->hedge_after_ns && !leg->response.hedged &&
	       !leg->response.first_byte_ns && t->running.count < t->concurrency &&
	       now_ns - leg->began_ns >= leg->task->hedge_after_ns;
}

/* What time does to a running leg. */
static void look_after(struct transfer *t, struct transfer_leg *leg, uint64_t now_ns)
{
	if (leg->lost) {
		retire(t, leg);
	} else if (leg_is_stalled(leg, now_ns)) {
		leg_finish_stalled(leg);
		retire(t, leg);
	} else if (hedge_is_due(t, leg, now_ns)) {
		leg->response.hedged = true; /* also when it fails: it is tried once */
		start_leg(t, leg->task, leg, now_ns);
	}
}

static void look_after_all(struct transfer *t, uint64_t now_ns)
{
	struct transfer_leg *next;
	for (struct transfer_leg *leg = t->running.first; leg; leg = next) {
		next = leg->next;
		look_after(t, leg, now_ns);
	}
}

static void drop_gone(struct transfer *t)
{
	for (struct transfer_leg *leg = t->running.first; leg; leg = leg->next)
		leg->lost |= task_is_gone(leg->task);
}

/* --- the thread: its loop -------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When something is to be done although no socket stirs. */
static uint64_t next_event(struct transfer *t, uint64_t now_ns)
{
	uint64_t when = warm_pool_expire(&t->warm, now_ns);
	for (struct transfer_leg *leg = t->running.first; leg; leg = leg->next) {
		when = sooner(when, stall_next(&leg->stall));
		if (leg->task->hedge_after_ns && !leg->response.hedged &&
			!leg->response.first_byte_ns && t->running.count < t->concurrency)
			when = sooner(when, leg->began_ns + leg->task->hedge_after_ns);
	}
	return when;
}

static int poll_timeout_ms(struct transfer *t)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t when = next_event(t, now_ns);
	if (when <= now_ns)
		return 0;
	uint64_t ms = (when - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Takes what other threads have left; false: stop. */
static bool take_orders(struct transfer *t)
{
	char origin[WARM_ORIGIN_SIZE];
	pthread_mutex_lock(&t->lock);
	bool stop = t->stop;
	bool sweep = t->sweep;
	unsigned wanted = t->wanted;
	if (wanted)
		strcpy(origin, t->wanted_origin);
	t->sweep = false;
	t->wanted = 0;
	pthread_mutex_unlock(&t->lock);
	if (sweep)
		drop_gone(t);
	if (wanted)
		warm_pool_wish(&t->warm, origin, wanted, clock_monotonic_ns());
	return !stop;
}

static void *run(void *arg)
{
	struct transfer *t = arg;
	while (take_orders(t)) {
		int still_running;
		curl_multi_perform(t->multi, &still_running);
		reap(t, clock_monotonic_ns());
		look_after_all(t, clock_monotonic_ns());
		start_queued(t, clock_monotonic_ns());
		if (curl_multi_poll(t->multi, NULL, 0, poll_timeout_ms(t), NULL) !=
			CURLM_OK)
			poll(NULL, 0, BROKEN_POLL_MS);
	}
	while (t->running.first)
		retire(t, t->running.first);
	return NULL;
}

/* --- callers --------------------------------------------------------------------- */

static void submit(struct transfer *t, struct transfer_task *task)
{
	pthread_mutex_lock(&t->lock);
	queue_push(&t->queue, task_ref(task));
	pthread_mutex_unlock(&t->lock);
	curl_multi_wakeup(t->multi);
}

/* A guess that somebody waits for takes its place among the demands. */
static void promote(struct transfer *t, struct transfer_task *task)
{
	pthread_mutex_lock(&t->lock);
	if (task->queued) {
		queue_remove(&t->queue, task);
		task->priority = PRIORITY_DEMAND;
		queue_push(&t->queue, task);
	}
	pthread_mutex_unlock(&t->lock);
	curl_multi_wakeup(t->multi);
}

static void abandon(struct transfer *t, struct transfer_task *task)
{
	struct transfer_task *queued = NULL;
	pthread_mutex_lock(&t->lock);
	if (task->queued) {
		queue_remove(&t->queue, task);
		queued = task;
	}
	t->sweep = true;
	pthread_mutex_unlock(&t->lock);
	task_unref(&queued);
	curl_multi_wakeup(t->multi);
}

int transfer_perform(struct transfer *t, const struct call *call,
	const struct http_request *request, struct http_response *ret, struct error *e)
{
	CLEANUP(task_unref) struct transfer_task *task = NULL;
	int r = call_check(call);
	if (r < 0)
		return error_set(e, r, "too late to begin a transfer");
	r = task_new(request, call, &task, e);
	if (r < 0)
		return r;
	submit(t, task);
	r = task_wait(task, call, call->priority != PRIORITY_DEMAND, ret, e);
	if (r == -EAGAIN) {
		promote(t, task);
		r = task_wait(task, call, false, ret, e);
	}
	if (r == -ETIMEDOUT || r == -ECANCELED)
		abandon(t, task);
	return r;
}

void transfer_warm(struct transfer *t, const char *url, unsigned n)
{
	char origin[WARM_ORIGIN_SIZE];
	if (!warm_origin(url, origin) || !n)
		return;
	pthread_mutex_lock(&t->lock);
	strcpy(t->wanted_origin, origin);
	t->wanted = n < t->concurrency ? n : t->concurrency;
	pthread_mutex_unlock(&t->lock);
	curl_multi_wakeup(t->multi);
}

/* --- its life -------------------------------------------------------------------- */

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int make_multi(struct transfer *t)
{
	t->multi = curl_multi_init();
	t->share = curl_share_init();
	if (!t->multi || !t->share)
		return -ENOMEM;
	curl_share_setopt(t->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)t->concurrency);
	curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
#if LIBCURL_VERSION_NUM >= 0x081400
	curl_multi_setopt(t->multi, CURLMOPT_QUICK_EXIT, 1l);
#endif
	return 0;
}

/* Signals are the main thread's business. */
static int start_thread(struct transfer *t)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static void free_legs(struct leg_list *list)
{
	struct transfer_leg *leg;
	while ((leg = list->first)) {
		list_remove(list, leg);
		leg_free(leg);
	}
}

static void free_stopped(struct transfer *t)
{
	free_legs(&t->idle);
	curl_multi_cleanup(t->multi);
	curl_share_cleanup(t->share);
	warm_pool_finish(&t->warm);
	pthread_mutex_destroy(&t->lock);
	free((char *)t->options.ca_bundle);
	free(t);
}

static int set_options(struct transfer *t, const struct transfer_options *o)
{
	t->concurrency = o->concurrency ? o->concurrency : 1;
	t->options = (struct leg_options){
		.connect_timeout_ns = o->connect_timeout_ns ? o->connect_timeout_ns
							    : CONNECT_TIMEOUT_NS,
		.stall_timeout_ns = o->stall_timeout_ns,
		.no_proxy = o->no_proxy,
		.share = t->share,
		.warm = &t->warm,
	};
	if (!o->ca_bundle)
		return 0;
	t->options.ca_bundle = strdup(o->ca_bundle);
	return t->options.ca_bundle ? 0 : -ENOMEM;
}

int transfer_new(const struct transfer_options *o, struct transfer **ret, struct error *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, init_curl);
	struct transfer *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	warm_pool_init(&t->warm);
	int r = set_options(t, o);
	if (r == 0)
		r = make_multi(t);
	t->options.share = t->share;
	if (r == 0)
		r = start_thread(t);
	if (r < 0) {
		free_stopped(t);
		return error_set_errno(e, r, "cannot start the transfer thread");
	}
	*ret = t;
	return 0;
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_mutex_unlock(&t->lock);
	curl_multi_wakeup(t->multi);
	pthread_join(t->thread, NULL);
	free_stopped(t);
}
