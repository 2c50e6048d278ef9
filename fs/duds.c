#include "fs/duds.h"

#include <stdlib.h>
#include <string.h>

struct dud {
	uint64_t until_ns;
	struct error why;
	char key[];
};

void duds_finish(struct duds *d)
{
	for (size_t i = 0; i < DUDS_MOST; i++)
		free(d->at[i]);
	*d = (struct duds){0};
}

const struct error *duds_find(const struct duds *d, uint64_t now_ns, const char *key)
{
	for (size_t i = 0; i < DUDS_MOST; i++) {
		const struct dud *at = d->at[i];
		if (at && now_ns < at->until_ns && strcmp(at->key, key) == 0)
			return &at->why;
	}
	return NULL;
}

/* A free place, or that of the one that is forgotten first. */
static struct dud **find_place(struct duds *d)
{
	struct dud **first = &d->at[0];
	for (size_t i = 0; *first && i < DUDS_MOST; i++)
		if (!d->at[i] || d->at[i]->until_ns < (*first)->until_ns)
			first = &d->at[i];
	return first;
}

void duds_note(struct duds *d, uint64_t now_ns, uint64_t until_ns, const char *key,
	int code, const struct error *why)
{
	size_t len = strlen(key);
	if (until_ns <= now_ns || duds_find(d, now_ns, key))
		return;
	struct dud *fresh = malloc(sizeof(*fresh) + len + 1);
	if (!fresh)
		return;
	fresh->until_ns = until_ns;
	fresh->why = why ? *why : (struct error){0};
	fresh->why.code = code;
	memcpy(fresh->key, key, len + 1);
	struct dud **place = find_place(d);
	free(*place);
	*place = fresh;
}
