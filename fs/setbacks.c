#include "fs/setbacks.h"

#include "fetch/base/lock.h"

void setbacks_init(struct setbacks *s)
{
	*s = (struct setbacks){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void setbacks_finish(struct setbacks *s)
{
	pthread_mutex_destroy(&s->lock);
}

void setbacks_note(struct setbacks *s, uint64_t now_ns, uint64_t inode, uint64_t offset,
	uint64_t len, uint64_t deadline_ns)
{
	LOCK_SCOPE(&s->lock);
	s->ring[s->next] = (struct setback){
		.inode = inode,
		.begin = offset,
		.end = offset + len,
		.deadline_ns = deadline_ns,
		.until_ns = now_ns + SETBACK_NS,
	};
	s->next = (s->next + 1) % SETBACKS_MOST;
	atomic_store(&s->latest_until_ns, now_ns + SETBACK_NS);
}

uint64_t setbacks_deadline(struct setbacks *s, uint64_t now_ns, uint64_t inode,
	uint64_t offset, uint64_t len, uint64_t usual_ns)
{
	if (now_ns >= atomic_load(&s->latest_until_ns))
		return usual_ns;
	LOCK_SCOPE(&s->lock);
	uint64_t deadline_ns = usual_ns;
	for (size_t i = 0; i < SETBACKS_MOST; i++) {
		const struct setback *b = &s->ring[i];
		if (b->inode == inode && now_ns < b->until_ns && offset < b->end &&
			b->begin < offset + len && b->deadline_ns < deadline_ns)
			deadline_ns = b->deadline_ns;
	}
	return deadline_ns;
}
