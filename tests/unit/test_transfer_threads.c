/* What many callers see of one transfer: waiting, giving up, order, and the end. */
#include "tests/unit/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fetch/base/lock.h"
#include "fetch/transfer.h"
#include "tests/unit/http_script.h"

#define PATIENCE (120 * NS_PER_SECOND) /* of a call that must not run into it */
#define BRIEF    (40 * NS_PER_MS)

struct fixture {
	struct http_script *server;
	struct transfer *transfer;
};

static void begin(
	struct fixture *f, unsigned concurrency, http_script_fn *fn, const void *arg)
{
	struct transfer_options options = {.concurrency = concurrency, .no_proxy = true};
	f->server = http_script_start(fn, (void *)arg);
	assert_int_equal(transfer_new(&options, &f->transfer, NULL), 0);
}

static void end(struct fixture *f)
{
	transfer_free(f->transfer);
	http_script_stop(f->server);
}

/* A call in a thread of its own. */
struct caller {
	pthread_t thread;
	struct transfer *transfer;
	struct call call;
	struct cancel cancel;
	struct http_request request;
	struct http_response response;
	char url[256];
	char sink[8];
	int result;
};

static void *call_it(void *arg)
{
	struct caller *c = arg;
	c->result =
		transfer_perform(c->transfer, &c->call, &c->request, &c->response, NULL);
	return NULL;
}

static void caller_start(struct caller *c, struct fixture *f, const char *path,
	enum call_priority priority)
{
	cancel_init(&c->cancel);
	c->transfer = f->transfer;
	c->call = (struct call){
		.deadline_ns = clock_monotonic_ns() + PATIENCE,
		.cancel = &c->cancel,
		.priority = priority,
	};
	snprintf(c->url, sizeof(c->url), "%s", http_script_url(f->server, path));
	c->request = (struct http_request){.method = "GET",
		.url = c->url,
		.body_fd = -1,
		.sink = c->sink,
		.sink_len = 8};
	assert_int_equal(pthread_create(&c->thread, NULL, call_it, c), 0);
}

/* Returns when the caller's exchange has been handed in and is waited for. */
static void caller_wait_waiting(struct caller *c)
{
	for (bool waits = false; !waits; sched_yield()) {
		LOCK_SCOPE(&c->cancel.lock);
		waits = c->cancel.waiter_lock;
	}
}

static int caller_join(struct caller *c)
{
	pthread_join(c->thread, NULL);
	if (c->result == 0)
		http_response_finish(&c->response);
	cancel_finish(&c->cancel);
	return c->result;
}

static int get_until(struct fixture *f, const char *url, uint64_t deadline_ns)
{
	struct call call = {.deadline_ns = deadline_ns};
	struct http_request request = {.method = "GET", .url = url, .body_fd = -1};
	struct http_response response;
	int r = transfer_perform(f->transfer, &call, &request, &response, NULL);
	if (r == 0)
		http_response_finish(&response);
	return r;
}

static int get_briefly(struct fixture *f, const char *url)
{
	return get_until(f, url, clock_monotonic_ns() + BRIEF);
}

static int get_patiently(struct fixture *f, const char *path)
{
	return get_until(
		f, http_script_url(f->server, path), clock_monotonic_ns() + PATIENCE);
}

/* Silent for "/hold" (optionally after some words), quick for everything else. */
static bool hold_or_answer(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	if (strncmp(rq->target, "/hold", 5) != 0)
		return script_answer(c, "200 OK", "", "ok", 2);
	if (arg)
		script_say(c, "%s", (const char *)arg);
	return script_hold(c);
}

/* --- giving up -----------------------------------------------------------------------
 */

static void a_silent_server_does_not_outlast_the_deadline(void **state)
{
	struct fixture f;
	begin(&f, 1, hold_or_answer, NULL);
	assert_int_equal(get_briefly(&f, http_script_url(f.server, "/hold")), -ETIMEDOUT);
	http_script_wait_closed(f.server, 1);
	assert_int_equal(get_patiently(&f, "/"), 0); /* the place is free again */
	end(&f);
}

static void a_queued_call_does_not_outlast_the_deadline(void **state)
{
	struct fixture f;
	struct caller first;
	begin(&f, 1, hold_or_answer, NULL);
	caller_start(&first, &f, "/hold", PRIORITY_DEMAND);
	http_script_wait_requests(f.server, 1);
	assert_int_equal(get_briefly(&f, http_script_url(f.server, "/")), -ETIMEDOUT);
	cancel_fire(&first.cancel);
	assert_int_equal(caller_join(&first), -ECANCELED);
	assert_int_equal(get_patiently(&f, "/"), 0);
	assert_int_equal(
		http_script_requests(f.server), 2); /* the queued one never left */
	end(&f);
}

static void a_call_already_over_is_not_begun(void **state)
{
	struct fixture f;
	begin(&f, 1, hold_or_answer, NULL);
	const char *url = http_script_url(f.server, "/");
	assert_int_equal(get_until(&f, url, clock_monotonic_ns()), -ETIMEDOUT);
	assert_int_equal(http_script_connections(f.server), 0);
	end(&f);
}

static void cancelling_ends_the_call_and_its_connection(void **state)
{
	struct fixture f;
	struct caller caller;
	begin(&f, 1, hold_or_answer, "HTTP/1.1 206 P\r\nContent-Length: 8\r\n\r\nABC");
	caller_start(&caller, &f, "/hold", PRIORITY_DEMAND);
	http_script_wait_requests(f.server, 1);
	cancel_fire(&caller.cancel);
	assert_int_equal(caller_join(&caller), -ECANCELED);
	http_script_wait_closed(f.server, 1);
	end(&f);
}

struct late {
	struct gate *gate;
};

/* Gives half of the body, and the rest when it is much too late. */
static bool answer_late(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct late *late = arg;
	if (rq->number > 1)
		return script_answer(c, "200 OK", "", "ok", 2);
	script_say(c, "HTTP/1.1 206 P\r\nContent-Length: 4096\r\n\r\n%02048d", 1);
	gate_wait(late->gate);
	script_say(c, "%02048d", 1);
	return script_hold(c);
}

/* The memory is made unreadable once the call has returned: a late write would be fatal.
 */
static void memory_is_not_written_after_the_call(void **state)
{
	struct fixture f;
	struct late late = {.gate = gate_new()};
	struct http_response response;
	char *page = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	begin(&f, 1, answer_late, &late);
	struct http_request request = {.method = "GET",
		.url = http_script_url(f.server, "/"),
		.body_fd = -1,
		.sink = page,
		.sink_len = 4096};
	struct call call = {.deadline_ns = clock_monotonic_ns() + BRIEF};
	assert_int_equal(transfer_perform(f.transfer, &call, &request, &response, NULL),
		-ETIMEDOUT);
	assert_int_equal(mprotect(page, 4096, PROT_NONE), 0);
	gate_open(late.gate);
	assert_int_equal(get_patiently(&f, "/"), 0);
	http_script_wait_closed(f.server, 1);
	end(&f);
	munmap(page, 4096);
	gate_free(late.gate);
}

/* --- order ---------------------------------------------------------------------------
 */

struct load {
	struct gate *gate;
	atomic_uint under_way;
	atomic_uint most;
};

/* Holds everybody back until as many have come as may. */
static bool count_load(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct load *load = arg;
	unsigned now = atomic_fetch_add(&load->under_way, 1) + 1;
	unsigned most = atomic_load(&load->most);
	while (now > most && !atomic_compare_exchange_weak(&load->most, &most, now))
		;
	gate_wait(load->gate);
	atomic_fetch_sub(&load->under_way, 1);
	return script_answer(c, "206 P", "", "12345678", 8);
}

#define CALLERS 100

static void a_hundred_callers_share_four_places(void **state)
{
	struct fixture f;
	struct load load = {.gate = gate_new()};
	struct caller *callers = calloc(CALLERS, sizeof(*callers));
	begin(&f, 4, count_load, &load);
	for (int i = 0; i < CALLERS; i++)
		caller_start(&callers[i], &f, "/", PRIORITY_DEMAND);
	for (int i = 0; i < CALLERS; i++)
		caller_wait_waiting(&callers[i]);
	http_script_wait_requests(f.server, 4);
	gate_open(load.gate);
	for (int i = 0; i < CALLERS; i++) {
		assert_int_equal(caller_join(&callers[i]), 0);
		assert_memory_equal(callers[i].sink, "12345678", 8);
	}
	assert_int_equal(atomic_load(&load.most), 4);
	assert_int_equal(http_script_requests(f.server), CALLERS);
	assert_int_equal(http_script_connections(f.server), 4);
	end(&f);
	gate_free(load.gate);
	free(callers);
}

struct order {
	struct gate *gate;
	char seen[16];
};

static bool note_order(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct order *order = arg;
	if (!strcmp(rq->target, "/first"))
		gate_wait(order->gate);
	else
		strncat(order->seen, rq->target + 1, 1);
	return script_answer(c, "206 P", "", "12345678", 8);
}

static void demands_overtake_prefetches_and_keep_their_order(void **state)
{
	struct fixture f;
	struct order order = {.gate = gate_new()};
	struct caller callers[5];
	static const char *const paths[] = {"/first", "/p", "/q", "/a", "/b"};
	begin(&f, 1, note_order, &order);
	for (int i = 0; i < 5; i++) {
		bool guess = i == 1 || i == 2;
		caller_start(&callers[i], &f, paths[i],
			guess ? PRIORITY_PREFETCH : PRIORITY_DEMAND);
		caller_wait_waiting(&callers[i]);
		if (i == 0)
			http_script_wait_requests(f.server, 1);
	}
	gate_open(order.gate);
	for (int i = 0; i < 5; i++)
		assert_int_equal(caller_join(&callers[i]), 0);
	assert_string_equal(order.seen, "abpq");
	end(&f);
	gate_free(order.gate);
}

static void a_place_is_kept_for_demands(void **state)
{
	struct fixture f;
	struct caller held[4];
	begin(&f, 4, hold_or_answer, NULL);
	for (int i = 0; i < 4; i++)
		caller_start(&held[i], &f, "/hold", PRIORITY_PREFETCH);
	for (int i = 0; i < 4; i++)
		caller_wait_waiting(&held[i]);
	http_script_wait_requests(f.server, 3);
	assert_int_equal(get_patiently(&f, "/"), 0);
	assert_int_equal(
		http_script_requests(f.server), 4); /* the fourth guess still waits */
	for (int i = 0; i < 4; i++)
		cancel_fire(&held[i].cancel);
	for (int i = 0; i < 4; i++)
		assert_int_equal(caller_join(&held[i]), -ECANCELED);
	end(&f);
}

/* No place is free for guesses, and demands go on; then one guess is waited for. */
static void a_guess_that_is_hurried_takes_a_place_of_demands(void **state)
{
	struct fixture f;
	struct caller held, wanted;
	begin(&f, 2, hold_or_answer, NULL);
	caller_start(&held, &f, "/hold", PRIORITY_PREFETCH);
	http_script_wait_requests(f.server, 1);
	caller_start(&wanted, &f, "/", PRIORITY_PREFETCH);
	caller_wait_waiting(&wanted);
	for (int i = 0; i < 5; i++)
		assert_int_equal(get_patiently(&f, "/"), 0);
	assert_int_equal(http_script_requests(f.server), 6);
	cancel_hurry(&wanted.cancel);
	assert_int_equal(caller_join(&wanted), 0);
	cancel_fire(&held.cancel);
	assert_int_equal(caller_join(&held), -ECANCELED);
	end(&f);
}

struct ladder {
	sem_t step; /* a demand is answered for each */
	atomic_bool guess_came;
};

static bool answer_by_step(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct ladder *ladder = arg;
	if (!strcmp(rq->target, "/guess"))
		atomic_store(&ladder->guess_came, true);
	else
		sem_wait(&ladder->step);
	return script_answer(c, "206 P", "", "12345678", 8);
}

/* No demand is answered before the next one is in the queue. */
static void a_guess_that_is_hurried_does_not_starve(void **state)
{
	struct fixture f;
	struct ladder ladder = {0};
	struct caller demands[2], guess;
	unsigned at = 0;
	sem_init(&ladder.step, 0, 0);
	begin(&f, 1, answer_by_step, &ladder);
	caller_start(&demands[0], &f, "/demand", PRIORITY_DEMAND);
	http_script_wait_requests(f.server, 1);
	caller_start(&guess, &f, "/guess", PRIORITY_PREFETCH);
	caller_wait_waiting(&guess);
	cancel_hurry(&guess.cancel);
	for (; at < 1000 && !atomic_load(&ladder.guess_came); at++) {
		struct caller *next = &demands[(at + 1) % 2];
		caller_start(next, &f, "/demand", PRIORITY_DEMAND);
		caller_wait_waiting(next);
		sem_post(&ladder.step);
		assert_int_equal(caller_join(&demands[at % 2]), 0);
	}
	assert_true(atomic_load(&ladder.guess_came));
	sem_post(&ladder.step);
	assert_int_equal(caller_join(&demands[at % 2]), 0);
	assert_int_equal(caller_join(&guess), 0);
	end(&f);
	sem_destroy(&ladder.step);
}

/* --- hedging --------------------------------------------------------------------- */

/* The first question goes out on the first connection, which is made before, and so is
 * told from the second one. */
static int get_hedged(struct fixture *f, struct http_response *ret, char sink[static 8])
{
	struct call call = {.deadline_ns = clock_monotonic_ns() + PATIENCE};
	struct http_request request = {
		.method = "GET",
		.url = http_script_url(f->server, "/"),
		.body_fd = -1,
		.sink = sink,
		.sink_len = 8,
		.hedge_after_ns = 5 * NS_PER_MS,
	};
	assert_int_equal(get_patiently(f, "/before"), 0);
	return transfer_perform(f->transfer, &call, &request, ret, NULL);
}

struct duel {
	struct gate *second_came;
	const char *first_says; /* "" closes, NULL holds */
	const char *second_says;
};

/* The first speaks only after the second has spoken. */
static bool duel(struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct duel *d = arg;
	if (!strcmp(rq->target, "/before"))
		return script_answer(c, "200 OK", "", "", 0);
	bool is_first = rq->connection == 1;
	const char *words = is_first ? d->first_says : d->second_says;
	if (!words)
		return script_hold(c);
	if (is_first)
		gate_wait(d->second_came);
	script_say(c, "%s", words);
	if (!is_first)
		gate_open(d->second_came);
	return words[0] ? script_hold(c) : false;
}

#define GOOD "HTTP/1.1 206 P\r\nContent-Length: 8\r\n\r\n12345678"
#define BUSY "HTTP/1.1 503 S\r\nContent-Length: 0\r\n\r\n"

static void the_second_asked_may_win(void **state)
{
	struct fixture f;
	struct duel d = {gate_new(), NULL, GOOD};
	struct http_response response;
	char sink[8];
	begin(&f, 2, duel, &d);
	assert_int_equal(get_hedged(&f, &response, sink), 0);
	assert_memory_equal(sink, "12345678", 8);
	assert_true(response.hedged && response.hedge_won);
	http_response_finish(&response);
	http_script_wait_closed(f.server, 1); /* the loser's */
	assert_int_equal(http_script_requests(f.server), 3);
	assert_int_equal(http_script_connections(f.server), 2);
	end(&f);
	gate_free(d.second_came);
}

static void a_failing_second_does_not_win(void **state)
{
	static const char *const words[] = {BUSY,
		"HTTP/1.1 429 S\r\nContent-Length: 0\r\n\r\n", "nonsense\r\n\r\n", ""};
	for (size_t i = 0; i < 4; i++) {
		struct fixture f;
		struct duel d = {gate_new(), GOOD, words[i]};
		struct http_response response;
		char sink[8] = "";
		begin(&f, 2, duel, &d);
		assert_int_equal(get_hedged(&f, &response, sink), 0);
		assert_memory_equal(sink, "12345678", 8);
		assert_int_equal(response.status, 206);
		assert_true(response.hedged && !response.hedge_won);
		http_response_finish(&response);
		end(&f);
		gate_free(d.second_came);
	}
}

static void when_both_fail_the_last_failure_is_told(void **state)
{
	static const struct {
		const char *words;
		int result, status;
	} cases[] = {{"nonsense\r\n\r\n", -EPROTO, 0}, {BUSY, 0, 503}};
	for (size_t i = 0; i < 2; i++) {
		struct fixture f;
		struct duel d = {gate_new(), cases[i].words, cases[i].words};
		struct http_response response = {0};
		char sink[8] = "";
		begin(&f, 2, duel, &d);
		assert_int_equal(get_hedged(&f, &response, sink), cases[i].result);
		assert_int_equal(response.status, cases[i].status);
		http_response_finish(&response);
		end(&f);
		gate_free(d.second_came);
	}
}

static void hedges_take_no_place_from_others(void **state)
{
	struct fixture f;
	struct http_response response;
	char sink[8];
	begin(&f, 1, hold_or_answer, NULL);
	struct call call = {.deadline_ns = clock_monotonic_ns() + BRIEF};
	struct http_request request = {
		.method = "GET",
		.url = http_script_url(f.server, "/hold"),
		.body_fd = -1,
		.sink = sink,
		.sink_len = 8,
		.hedge_after_ns = 1,
	};
	assert_int_equal(transfer_perform(f.transfer, &call, &request, &response, NULL),
		-ETIMEDOUT);
	assert_int_equal(http_script_requests(f.server), 1);
	end(&f);
}

/* --- warm connections ----------------------------------------------------------------
 */

static bool meet(struct script_connection *c, const struct script_request *rq, void *arg)
{
	if (!strcmp(rq->target, "/meet"))
		gate_wait(arg);
	return script_answer(c, "206 P", "", "12345678", 8);
}

static void warm_connections_are_used(void **state)
{
	struct fixture f;
	struct gate *gate = gate_new();
	struct caller callers[3];
	begin(&f, 8, meet, gate);
	transfer_warm(f.transfer, http_script_url(f.server, "/x?y"), 3);
	assert_int_equal(get_patiently(&f, "/"), 0); /* brings the address */
	http_script_wait_connections(f.server, 3);
	assert_int_equal(http_script_requests(f.server), 1);
	for (int i = 0; i < 3; i++)
		caller_start(&callers[i], &f, "/meet", PRIORITY_DEMAND);
	http_script_wait_requests(f.server, 4);
	gate_open(gate);
	for (int i = 0; i < 3; i++)
		assert_int_equal(caller_join(&callers[i]), 0);
	assert_int_equal(http_script_connections(f.server), 3);
	transfer_warm(f.transfer, http_script_url(f.server, "/"), 5);
	http_script_wait_connections(f.server, 5); /* the address is known by now */
	end(&f);
	gate_free(gate);
}

static void closed_warm_connections_do_no_harm(void **state)
{
	struct fixture f;
	begin(&f, 4, hold_or_answer, NULL);
	transfer_warm(f.transfer, http_script_url(f.server, "/"), 4);
	assert_int_equal(get_patiently(&f, "/"), 0);
	http_script_wait_connections(f.server, 4);
	http_script_hang_up(f.server);
	http_script_wait_closed(f.server, 4);
	struct caller callers[4];
	for (int i = 0; i < 4; i++)
		caller_start(&callers[i], &f, "/", PRIORITY_DEMAND);
	for (int i = 0; i < 4; i++)
		assert_int_equal(caller_join(&callers[i]), 0);
	end(&f);
}

/* --- names ---------------------------------------------------------------------------
 */

/* Stands before the C library's for libcurl too: names under .invalid need no network. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool asked, answer, answered;
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void be_silent(void)
{
	LOCK_SCOPE(&resolver.lock);
	resolver.asked = true;
	pthread_cond_broadcast(&resolver.changed);
	while (!resolver.answer)
		pthread_cond_wait(&resolver.changed, &resolver.lock);
	resolver.answered = true;
	pthread_cond_broadcast(&resolver.changed);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *,
		struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	if (name && !strcmp(name, "silent.invalid"))
		be_silent();
	if (name && strstr(name, ".invalid"))
		return EAI_NONAME;
	return real(name, service, hints, ret);
}

static void a_name_that_does_not_exist_is_told(void **state)
{
	struct fixture f;
	begin(&f, 1, hold_or_answer, NULL);
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE;
	assert_int_equal(
		get_until(&f, "http://nobody.invalid/", deadline_ns), -EHOSTUNREACH);
	end(&f);
}

/* transfer_free() returns while the look-up is still under way. */
static void a_silent_resolver_blocks_nobody(void **state)
{
	struct fixture f;
	begin(&f, 1, hold_or_answer, NULL);
	assert_int_equal(get_briefly(&f, "http://silent.invalid/"), -ETIMEDOUT);
	assert_int_equal(get_patiently(&f, "/"), 0);
	assert_int_equal(get_briefly(&f, "http://silent.invalid/"), -ETIMEDOUT);
	end(&f);
	LOCK_SCOPE(&resolver.lock);
	assert_true(resolver.asked && !resolver.answered);
	resolver.answer = true;
	pthread_cond_broadcast(&resolver.changed);
	while (!resolver.answered)
		pthread_cond_wait(&resolver.changed, &resolver.lock);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_server_does_not_outlast_the_deadline),
		cmocka_unit_test(a_queued_call_does_not_outlast_the_deadline),
		cmocka_unit_test(a_call_already_over_is_not_begun),
		cmocka_unit_test(cancelling_ends_the_call_and_its_connection),
		cmocka_unit_test(memory_is_not_written_after_the_call),
		cmocka_unit_test(a_hundred_callers_share_four_places),
		cmocka_unit_test(demands_overtake_prefetches_and_keep_their_order),
		cmocka_unit_test(a_place_is_kept_for_demands),
		cmocka_unit_test(a_guess_that_is_hurried_takes_a_place_of_demands),
		cmocka_unit_test(a_guess_that_is_hurried_does_not_starve),
		cmocka_unit_test(the_second_asked_may_win),
		cmocka_unit_test(a_failing_second_does_not_win),
		cmocka_unit_test(when_both_fail_the_last_failure_is_told),
		cmocka_unit_test(hedges_take_no_place_from_others),
		cmocka_unit_test(warm_connections_are_used),
		cmocka_unit_test(closed_warm_connections_do_no_harm),
		cmocka_unit_test(a_name_that_does_not_exist_is_told),
		cmocka_unit_test(a_silent_resolver_blocks_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
