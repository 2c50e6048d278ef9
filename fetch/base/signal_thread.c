#include "fetch/base/signal_thread.h"

#include <signal.h>

#include "fetch/base/thread.h"

static void awaited(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

static void *wait_for_signals(void *arg)
{
	struct signal_thread *s = arg;
	sigset_t set;
	awaited(&set);
	for (;;) {
		int number;
		if (sigwait(&set, &number))
			continue;
		if (atomic_load(&s->over))
			return NULL;
		s->came(s->arg, number);
	}
}

int signal_thread_start(
	struct signal_thread *s, void (*came)(void *arg, int number), void *arg)
{
	sigset_t set;
	awaited(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	s->came = came;
	s->arg = arg;
	int r = thread_start(&s->thread, wait_for_signals, s);
	s->started = r == 0;
	return r;
}

void signal_thread_stop(struct signal_thread *s)
{
	if (!s->started)
		return;
	atomic_store(&s->over, true);
	pthread_kill(s->thread, SIGTERM);
	pthread_join(s->thread, NULL);
	s->started = false;
}
