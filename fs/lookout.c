#include "fs/lookout.h"

#include "fetch/base/lock.h"

#define SLOW_MOST  256 /* all of them */
#define SLOW_OPEN  48  /* nearly one in five */
#define SLOW_SHIFT 4   /* the last 16 or so count */

static _Thread_local struct lookout *post; /* which this thread has */

/* Under lock. */
static bool is_open(const struct lookout *l)
{
	return !l->manned || l->slow >= SLOW_OPEN;
}

/* Also when the wait is cancelled. */
static void stop_waiting(void *arg)
{
	struct lookout *l = arg;
	l->waiting--;
	pthread_mutex_unlock(&l->lock);
}

void lookout_take(struct lookout *l)
{
	pthread_mutex_lock(&l->lock);
	if (post == l)
		l->manned--;
	post = NULL;
	l->waiting++;
	pthread_cleanup_push(stop_waiting, l);
	while (!is_open(l))
		pthread_cond_wait(&l->left, &l->lock);
	l->manned++;
	pthread_cleanup_pop(1);
	post = l;
}

void lookout_leave(struct lookout *l)
{
	if (post != l)
		return;
	post = NULL;
	LOCK_SCOPE(&l->lock);
	if (!--l->manned)
		pthread_cond_signal(&l->left);
}

void lookout_count(struct lookout *l, bool quick)
{
	LOCK_SCOPE(&l->lock);
	l->slow -= l->slow >> SLOW_SHIFT;
	if (!quick)
		l->slow += SLOW_MOST >> SLOW_SHIFT;
}

bool lookout_is_manned(struct lookout *l)
{
	LOCK_SCOPE(&l->lock);
	return l->manned || l->waiting;
}
