#include "fs/ending.h"

#include <signal.h>

#include "fetch/base/lock.h"

static void note_signal(void *ending, int number)
{
	struct ending *n = ending;
	{
		LOCK_SCOPE(&n->lock);
		if (!n->signal)
			n->signal = number;
		pthread_cond_broadcast(&n->came);
	}
	cancel_fire(&n->cancel);
}

int ending_init(struct ending *n)
{
	*n = (struct ending){.lock = PTHREAD_MUTEX_INITIALIZER};
	cancel_init(&n->cancel);
	int r = condition_init(&n->came);
	if (r < 0)
		return r;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	return signal_thread_start(&n->waiting, note_signal, n);
}

void ending_finish(struct ending *n)
{
	signal_thread_stop(&n->waiting);
	cancel_finish(&n->cancel);
}

void ending_say_over(void *ending)
{
	struct ending *n = ending;
	LOCK_SCOPE(&n->lock);
	n->over = true;
	pthread_cond_broadcast(&n->came);
}

int ending_wait(struct ending *n)
{
	LOCK_SCOPE(&n->lock);
	while (!n->signal && !n->over)
		pthread_cond_wait(&n->came, &n->lock);
	return n->signal;
}

int ending_signal(struct ending *n)
{
	LOCK_SCOPE(&n->lock);
	return n->signal;
}
