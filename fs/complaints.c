#include "fs/complaints.h"

#include <string.h>

#include "fetch/base/lock.h"

void complaints_init(struct complaints *c)
{
	*c = (struct complaints){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void complaints_finish(struct complaints *c)
{
	pthread_mutex_destroy(&c->lock);
}

static uint64_t subject_of(const char *key, int kind)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (uint64_t)(int64_t)kind;
	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
	return h ? h : 1;
}

/* The one about this subject, or the one that was said longest ago. */
static struct complaint *find_place(struct complaints *c, uint64_t subject)
{
	struct complaint *oldest = &c->at[0];
	for (size_t i = 0; i < COMPLAINTS_MOST; i++) {
		if (c->at[i].subject == subject)
			return &c->at[i];
		if (c->at[i].said_ns < oldest->said_ns)
			oldest = &c->at[i];
	}
	*oldest = (struct complaint){0};
	return oldest;
}

bool complaints_due(struct complaints *c, uint64_t now_ns, const char *key, int kind,
	uint64_t *ret_quiet)
{
	LOCK_SCOPE(&c->lock);
	uint64_t subject = subject_of(key, kind);
	struct complaint *at = find_place(c, subject);
	if (at->subject == subject && now_ns - at->said_ns < COMPLAINT_NS) {
		at->kept_quiet++;
		return false;
	}
	*ret_quiet = at->kept_quiet;
	*at = (struct complaint){.subject = subject, .said_ns = now_ns};
	return true;
}

bool complaints_first(struct complaints *c, const char *key, int kind)
{
	LOCK_SCOPE(&c->lock);
	uint64_t subject = subject_of(key, kind);
	for (size_t i = 0; i < COMPLAINTS_ONCE; i++)
		if (c->once[i] == subject)
			return false;
	c->once[c->next_once] = subject;
	c->next_once = (c->next_once + 1) % COMPLAINTS_ONCE;
	return true;
}

/* As harmless to a terminal as error_set() makes it. */
static void keep(struct complaints *c, uint64_t now_ns, const char *sentence)
{
	struct error clean;
	error_set(&clean, 0, "%s", sentence);
	LOCK_SCOPE(&c->lock);
	c->last.when_ns = now_ns;
	memcpy(c->last.sentence, clean.text, sizeof(c->last.sentence));
}

void complaints_last(struct complaints *c, struct last_complaint *ret)
{
	LOCK_SCOPE(&c->lock);
	*ret = c->last;
}

void complain(struct complaints *c, enum log_level level, const char *key, int kind,
	const char *sentence)
{
	uint64_t quiet, now_ns = clock_monotonic_ns();
	keep(c, now_ns, sentence);
	if (!log_wants(level) || !complaints_due(c, now_ns, key, kind, &quiet))
		return;
	if (quiet)
		log_write(level, "%s (and %llu times more before)", sentence,
			(unsigned long long)quiet);
	else
		log_write(level, "%s", sentence);
}

void complain_once(struct complaints *c, enum log_level level, const char *key, int kind,
	const char *sentence)
{
	keep(c, clock_monotonic_ns(), sentence);
	if (log_wants(level) && complaints_first(c, key, kind))
		log_write(level, "%s", sentence);
}
