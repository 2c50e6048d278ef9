#include "archive/unpack.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "archive/unpack_private.h"
#include "archive/unpack_target.h"
#include "fetch/base/lock.h"

#define THREADS_MAX  32 /* times UNPACK_DIRS: descriptors */
#define THREADS_WAIT 6  /* beside one a processor: those that wait for ranges */
#define PROGRESS_NS  (200 * NS_PER_MS)

/* One thread, with a cancel of its own, as a cancel wakes one waiter only. */
struct worker {
	struct unpack *u;
	struct cancel cancel;
	pthread_t thread;
};

/* Keeps the first failure and tells everybody to stop. */
static void note_failure(struct unpack *u, int code, const struct error *why)
{
	LOCK_SCOPE(&u->lock);
	if (u->code == 0) {
		u->code = code;
		u->why = *why;
	}
	atomic_store(&u->failed, true);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct unpack *u = w->u;
	struct call call = *u->call;
	call.cancel = &w->cancel;
	struct error why = {0};
	int r = unpack_runs(u, &call, &why);
	if (r < 0)
		note_failure(u, r, &why);
	LOCK_SCOPE(&u->lock);
	u->running--;
	pthread_cond_broadcast(&u->changed);
	return NULL;
}

static unsigned thread_count(const struct unpack *u)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t count = u->options->threads;
	if (!count)
		count = (processors > 0 ? (size_t)processors : 1) + THREADS_WAIT;
	if (count > THREADS_MAX)
		count = THREADS_MAX;
	return (unsigned)(count < u->plan.run_count ? count : u->plan.run_count);
}

/* Signals are for the caller's thread. Returns how many were started. */
static unsigned start_workers(struct unpack *u, struct worker *workers, unsigned count)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	unsigned started = 0;
	u->running = count;
	while (started < count) {
		struct worker *w = &workers[started];
		w->u = u;
		cancel_init(&w->cancel);
		if (pthread_create(&w->thread, NULL, work, w) != 0) {
			cancel_finish(&w->cancel);
			break;
		}
		started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	LOCK_SCOPE(&u->lock);
	u->running -= count - started;
	return started;
}

static void report(struct unpack *u)
{
	if (!u->options->progress)
		return;
	struct unpack_progress p = {
		.files = atomic_load(&u->files),
		.total_files = u->plan.file_count,
		.bytes = atomic_load(&u->bytes),
		.total_bytes = u->plan.bytes,
	};
	u->options->progress(u->options->arg, &p);
}

/* Waits a while for the workers; *ret_done when they have ended. 0, or the call's end. */
static int wait_a_while(struct unpack *u, bool *ret_done)
{
	struct call tick = *u->call;
	uint64_t until = clock_monotonic_ns() + PROGRESS_NS;
	if (until < tick.deadline_ns)
		tick.deadline_ns = until;
	call_attach(&tick, &u->lock, &u->changed);
	pthread_mutex_lock(&u->lock);
	while (u->running && !atomic_load(&u->failed) &&
		call_wait(&tick, &u->lock, &u->changed) == 0)
		;
	*ret_done = !u->running || atomic_load(&u->failed);
	pthread_mutex_unlock(&u->lock);
	call_detach(&tick);
	return *ret_done ? 0 : call_check(u->call);
}

static void wait_for_workers(struct unpack *u)
{
	bool done = false;
	while (!done) {
		int r = wait_a_while(u, &done);
		if (r < 0) {
			struct error why = {0};
			error_set(&why, r, "unpacking '%s' was ended",
				archive_name(u->archive));
			note_failure(u, r, &why);
			return;
		}
		report(u);
	}
}

static void join_workers(struct unpack *u, struct worker *workers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (atomic_load(&u->failed))
			cancel_fire(&workers[i].cancel);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		cancel_finish(&workers[i].cancel);
	}
}

/* Files by the workers, and everything else but hard links by this thread meanwhile. */
static int fill_tree(struct unpack *u, struct error *e)
{
	struct worker workers[THREADS_MAX];
	unsigned wanted = thread_count(u);
	unsigned started = start_workers(u, workers, wanted);
	struct error why = {0};
	int r = wanted && !started
			? error_set(&why, -EAGAIN, "no thread to be had for unpacking")
			: unpack_make_tree(u, &why);
	if (r < 0)
		note_failure(u, r, &why);
	else
		wait_for_workers(u);
	join_workers(u, workers, started);
	if (u->code < 0)
		error_copy(e, &u->why);
	return u->code;
}

static void warn_of_xattrs(struct unpack *u)
{
	uint64_t refused = atomic_load(&u->xattrs_refused);
	if (!refused || !u->options->warn)
		return;
	struct error sentence;
	char path[256];
	index_path(u->ix, u->refused_entry, path, sizeof(path));
	error_set_errno(&sentence, u->refused_code,
		"%" PRIu64 " extended attributes were left out, the first of '%s'",
		refused, *path ? path : ".");
	u->options->warn(u->options->arg, sentence.text);
}

static int unpack_to(struct unpack *u, struct unpack_target *t, struct error *e)
{
	int r = unpack_target_taken_off(t, &u->taken_off, e);
	u->rootfd = t->fd;
	if (r == 0)
		r = fill_tree(u, e);
	if (r == 0)
		r = unpack_make_links(u, e);
	if (r == 0)
		r = unpack_target_settle(t, &u->rootfd, e);
	if (r == 0)
		r = unpack_finish_dirs(u, e);
	if (r == 0 && unpack_target_is_ours(t))
		r = unpack_attrs_root(u, u->rootfd, e);
	if (r == 0)
		r = unpack_target_publish(t, e);
	if (r == 0)
		warn_of_xattrs(u);
	return r;
}

static void unpack_finish(struct unpack *u)
{
	unpack_plan_finish(&u->plan);
	decoders_finish(&u->decoders);
	pthread_cond_destroy(&u->changed);
	pthread_mutex_destroy(&u->lock);
}

int unpack_archive(const struct archive *a, struct range_source *source,
	const struct call *call, const char *target, const struct unpack_options *options,
	struct error *e)
{
	CLEANUP(unpack_finish)
	struct unpack u = {
		.archive = a,
		.ix = archive_index(a),
		.source = source,
		.call = call,
		.options = options,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	decoders_init(&u.decoders);
	int r = condition_init(&u.changed);
	if (r == 0)
		r = unpack_plan_make(u.ix, &u.plan);
	if (r < 0)
		return error_set(e, r,
			r == -EBADMSG ? "'%s' is damaged: contents of its files overlap"
				      : "no memory to unpack '%s'",
			archive_name(a));
	CLEANUP(unpack_target_finish) struct unpack_target t;
	r = unpack_target_open(&t, target, u.ix, call, e);
	return r < 0 ? r : unpack_to(&u, &t, e);
}
