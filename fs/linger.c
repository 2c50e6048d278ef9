#include "fs/linger.h"

#define CREDIT_MOST 4

void linger_init(struct linger *l, unsigned processors)
{
	*l = (struct linger){.possible = processors > 1};
}

/* Two threads may change it at once: it is a guess, and one of them is right. */
static void change_credit(struct linger *l, int by)
{
	int credit = atomic_load_explicit(&l->credit, memory_order_relaxed) + by;
	if (credit >= 0 && credit <= CREDIT_MOST)
		atomic_store_explicit(&l->credit, credit, memory_order_relaxed);
}

void linger_answer(struct linger *l, uint64_t now_ns)
{
	atomic_store_explicit(&l->answered_ns, now_ns, memory_order_relaxed);
}

bool linger_begin(struct linger *l)
{
	return l->possible &&
	       atomic_load_explicit(&l->credit, memory_order_relaxed) > 0 &&
	       !atomic_exchange(&l->busy, true);
}

void linger_end(struct linger *l, bool came)
{
	change_credit(l, came ? 1 : -1);
	atomic_store(&l->busy, false);
}

void linger_request(struct linger *l, uint64_t now_ns)
{
	uint64_t answered_ns =
		atomic_load_explicit(&l->answered_ns, memory_order_relaxed);
	if (now_ns - answered_ns < LINGER_NS)
		change_credit(l, 1);
}
