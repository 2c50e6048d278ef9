#include "fs/flight.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/lock.h"

int flight_init(struct flight *f)
{
	*f = (struct flight){0};
	return condition_init(&f->landed);
}

void flight_finish(struct flight *f)
{
	assert(!f->busy && !f->waiting);
	pthread_cond_destroy(&f->landed);
	free(f->error);
}

/* Did the owner stop for its own sake, so that somebody else should try? */
static bool owner_gave_up(int result)
{
	return result == -ETIMEDOUT || result == -ECANCELED;
}

static int wait_for_landing(
	struct flight *f, pthread_mutex_t *lock, const struct call *call, struct error *e)
{
	uint64_t before = f->landings;
	int r = 0;
	f->waiting++;
	while (f->landings == before && r == 0)
		r = call_wait(call, lock, &f->landed);
	f->waiting--;
	if (f->landings == before)
		return error_set_errno(e, r, "gave up waiting for somebody else's try");
	if (f->result < 0 && !owner_gave_up(f->result)) {
		error_set_errno(e, f->result, "somebody else's try failed");
		error_copy(e, f->error);
		return f->result;
	}
	return 0;
}

static int join_locked(struct flight *f, pthread_mutex_t *lock, const struct call *call,
	bool (*ready)(void *arg), void *arg, struct error *e)
{
	while (!ready(arg)) {
		if (!f->busy) {
			f->busy = true;
			return FLIGHT_OWNER;
		}
		int r = wait_for_landing(f, lock, call, e);
		if (r < 0)
			return r;
	}
	return FLIGHT_READY;
}

int flight_join(struct flight *f, pthread_mutex_t *lock, const struct call *call,
	bool (*ready)(void *arg), void *arg, struct error *e)
{
	call_attach(call, lock, &f->landed);
	pthread_mutex_lock(lock);
	int r = join_locked(f, lock, call, ready, arg, e);
	pthread_mutex_unlock(lock);
	call_detach(call);
	return r;
}

/* Who waits is told f->result in any case, and why if there is memory for it. */
static void keep_words(struct flight *f, const struct error *e)
{
	free(steal_pointer(f->error));
	if (f->result < 0 && f->waiting && e && (f->error = malloc(sizeof(*e))))
		*f->error = *e;
}

void flight_land(
	struct flight *f, pthread_mutex_t *lock, int result, const struct error *e)
{
	LOCK_SCOPE(lock);
	f->busy = false;
	f->landings++;
	f->result = result;
	keep_words(f, e);
	pthread_cond_broadcast(&f->landed);
}
