#include "fetch/stall.h"

#include "fetch/base/bytes.h"
#include "fetch/base/call.h"

void stall_init(struct stall_meter *m, uint64_t now_ns, uint64_t window_ns)
{
	*m = (struct stall_meter){.slice_end_ns = STALL_NEVER};
	uint64_t slice_ns = window_ns / STALL_SLICES;
	uint64_t end_ns;
	if (!slice_ns || window_ns == STALL_NEVER ||
		!checked_add(now_ns, slice_ns, &end_ns))
		return;
	m->slice_ns = slice_ns;
	m->slice_end_ns = end_ns;
	m->least = window_ns / (NS_PER_SECOND / STALL_BYTES_PER_S);
	if (!m->least)
		m->least = 1;
}

void stall_count(struct stall_meter *m, size_t bytes)
{
	m->bytes[m->current] += bytes;
}

static uint64_t window_bytes(const struct stall_meter *m)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < STALL_SLICES; i++)
		sum += m->bytes[i];
	return sum;
}

/* Ends the current slice; the oldest one is forgotten. */
static void turn(struct stall_meter *m)
{
	m->current = (m->current + 1) % STALL_SLICES;
	m->bytes[m->current] = 0;
	m->slice_end_ns += m->slice_ns;
}

/* Nobody looked for a whole window (the process was stopped, the machine overloaded):
 * what the peer did meanwhile is not known, so nothing is held against it. */
static bool was_away(const struct stall_meter *m, uint64_t now_ns)
{
	return m->slice_ns && now_ns >= m->slice_end_ns &&
	       now_ns - m->slice_end_ns >= m->slice_ns * STALL_SLICES;
}

bool stall_check(struct stall_meter *m, uint64_t now_ns)
{
	if (was_away(m, now_ns)) {
		stall_init(m, now_ns, m->slice_ns * STALL_SLICES);
		return false;
	}
	while (now_ns >= m->slice_end_ns) {
		if (m->past < STALL_SLICES)
			m->past++;
		if (m->past == STALL_SLICES && window_bytes(m) < m->least)
			return true;
		turn(m);
	}
	return false;
}

uint64_t stall_next(const struct stall_meter *m)
{
	return m->slice_end_ns;
}
