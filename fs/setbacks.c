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

uint64_t setbacks_subject(uint64_t directory, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ directory;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return h | UINT64_C(1) << 63; /* no inode has that bit */
}

void setbacks_note(struct setbacks *s, uint64_t now_ns, uint64_t subject, uint64_t offset,
	uint64_t len, uint64_t deadline_ns)
{
	LOCK_SCOPE(&s->lock);
	s->at[s->next] = (struct setback){
		.subject = subject,
		.begin = offset,
		.end = offset + len,
		.deadline_ns = deadline_ns,
		.until_ns = now_ns + SETBACK_NS,
	};
	s->next = (s->next + 1) % SETBACKS_MOST;
	atomic_store(&s->latest_until_ns, now_ns + SETBACK_NS);
}

uint64_t setbacks_deadline(struct setbacks *s, uint64_t now_ns, uint64_t subject,
	uint64_t offset, uint64_t len, uint64_t usual_ns)
{
	if (now_ns >= atomic_load(&s->latest_until_ns))
		return usual_ns;
	LOCK_SCOPE(&s->lock);
	uint64_t deadline_ns = usual_ns;
	for (unsigned i = 1; i <= SETBACKS_MOST; i++) {
		const struct setback *b =
			&s->at[(s->next + SETBACKS_MOST - i) % SETBACKS_MOST];
		if (now_ns >= b->until_ns)
			break;
		if (b->subject == subject && offset < b->end &&
			b->begin < offset + len && b->deadline_ns < deadline_ns)
			deadline_ns = b->deadline_ns;
	}
	return deadline_ns;
}
