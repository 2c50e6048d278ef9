#include "fs/ending.h"

#include <signal.h>

#include "fetch/base/lock.h"

static void awaited(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

static void note_signal(struct ending *n, int number)
{
	LOCK_SCOPE(&n->lock);
	if (!n->signal)
		n->signal = number;
	pthread_cond_broadcast(&n->came);
}

static void *await(void *arg)
{
	struct ending *n = arg;
	sigset_t set;
	awaited(&set);
	for (;;) {
		int number;
		if (sigwait(&set, &number))
			continue;
		note_signal(n, number);
		cancel_fire(&n->cancel);
	}
	return NULL;
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
	pthread_t thread;
	r = pthread_create(&thread, NULL, await, n);
	if (r == 0)
		pthread_detach(thread);
	return -r;
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
