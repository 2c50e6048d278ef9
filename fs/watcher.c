#include "fs/watcher.h"

#include <time.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"
#include "fs/signals.h"

static bool came_before(const pid_t *threads, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (threads[k] == threads[i])
			return true;
	return false;
}

/* Who is out of sight, or has gone since, is left alone: others may wait for the page. */
static size_t look_at(const struct crowd *crowd)
{
	pid_t threads[LOOK_MOST];
	size_t count = crowd->callers(crowd->arg, threads, LOOK_MOST);
	for (size_t i = 0; i < count; i++)
		if (!came_before(threads, i) && thread_wants_stop(threads[i], false))
			crowd->let_go(crowd->arg, threads[i]);
	return count;
}

/* Dozes off before it looks: who joins a crowd that was found empty sees that. */
static void look(struct watcher *w)
{
	size_t found = 0;
	atomic_store(&w->dozing, true);
	for (size_t i = 0; i < w->count; i++)
		found += look_at(&w->crowds[i]);
	if (found)
		atomic_store(&w->dozing, false);
}

static void pause_watching(struct watcher *w)
{
	condition_wait_until(&w->roused, &w->lock, clock_monotonic_ns() + WATCH_NS);
}

/* Waits until it is time to look; false: it is the end. */
static bool wait_for_turn(struct watcher *w)
{
	LOCK_SCOPE(&w->lock);
	while (!w->ending && atomic_load(&w->dozing))
		pthread_cond_wait(&w->roused, &w->lock);
	if (!w->ending)
		pause_watching(w);
	return !w->ending;
}

static void *watch(void *arg)
{
	struct watcher *w = arg;
	while (wait_for_turn(w))
		look(w);
	return NULL;
}

int watcher_start(struct watcher *w, const struct crowd *crowds, size_t count)
{
	*w = (struct watcher){.lock = PTHREAD_MUTEX_INITIALIZER, .count = count};
	for (size_t i = 0; i < count; i++)
		w->crowds[i] = crowds[i];
	atomic_init(&w->dozing, true);
	int r = condition_init(&w->roused);
	if (r < 0)
		return r;
	r = thread_start(&w->thread, watch, w);
	w->running = r == 0;
	return r;
}

void watcher_rouse(struct watcher *w)
{
	if (!atomic_load(&w->dozing))
		return;
	LOCK_SCOPE(&w->lock);
	atomic_store(&w->dozing, false);
	pthread_cond_signal(&w->roused);
}

void watcher_stop(struct watcher *w)
{
	if (!w->running)
		return;
	{
		LOCK_SCOPE(&w->lock);
		w->ending = true;
		pthread_cond_signal(&w->roused);
	}
	pthread_join(w->thread, NULL);
	w->running = false;
}

void watcher_finish(struct watcher *w)
{
	watcher_stop(w);
	pthread_cond_destroy(&w->roused);
	pthread_mutex_destroy(&w->lock);
}
