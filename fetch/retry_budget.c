#include "fetch/retry_budget.h"

#include "fetch/base/call.h"

#define NS_PER_TOKEN (NS_PER_SECOND / BUDGET_PER_S)

void retry_budget_init(struct retry_budget *b, uint64_t now_ns)
{
	*b = (struct retry_budget){.tokens = BUDGET_FULL, .filled_ns = now_ns};
}

void retry_budget_give(struct retry_budget *b, unsigned tokens)
{
	b->tokens += tokens;
	if (b->tokens > BUDGET_FULL)
		b->tokens = BUDGET_FULL;
}

static void fill(struct retry_budget *b, uint64_t now_ns)
{
	if (now_ns <= b->filled_ns)
		return;
	uint64_t come = (now_ns - b->filled_ns) / NS_PER_TOKEN;
	b->filled_ns += come * NS_PER_TOKEN;
	retry_budget_give(b, come < BUDGET_FULL ? (unsigned)come : BUDGET_FULL);
}

bool retry_budget_take(struct retry_budget *b, uint64_t now_ns)
{
	fill(b, now_ns);
	if (b->tokens < BUDGET_RETRY)
		return false;
	b->tokens -= BUDGET_RETRY;
	return true;
}
