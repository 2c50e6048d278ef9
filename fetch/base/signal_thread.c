#include "fetch/base/signal_thread.h"

#include "fetch/base/thread.h"

static const int awaited[] = {SIGINT, SIGTERM, SIGHUP};

#define AWAITED_COUNT (sizeof(awaited) / sizeof(awaited[0]))

static void all_awaited(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < AWAITED_COUNT; i++)
		sigaddset(set, awaited[i]);
}

static void all_ignored(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < AWAITED_COUNT; i++) {
		struct sigaction now;
		if (sigaction(awaited[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN)
			sigaddset(set, awaited[i]);
	}
}

static void *wait_for_signals(void *arg)
{
	struct signal_thread *s = arg;
	sigset_t set;
	all_awaited(&set);
	for (;;) {
		int number;
		if (sigwait(&set, &number))
			continue;
		if (atomic_load(&s->over))
			return NULL;
		if (!sigismember(&s->ignored, number))
			s->came(s->arg, number);
	}
}

int signal_thread_start(
	struct signal_thread *s, void (*came)(void *arg, int number), void *arg)
{
	sigset_t set;
	all_awaited(&set);
	all_ignored(&s->ignored);
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
