#include "archive/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GRAIN ((size_t)16 << 10)

int arena_init(struct arena *a, size_t size)
{
	*a = (struct arena){.grains = size / GRAIN};
	if (!a->grains)
		return 0;
	a->pieces = calloc(a->grains, sizeof(*a->pieces));
	if (!a->pieces)
		return -ENOMEM;
	void *base = mmap(NULL, a->grains * GRAIN, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED) {
		free(a->pieces);
		a->pieces = NULL;
		return -ENOMEM;
	}
	a->base = base;
	return 0;
}

void arena_finish(struct arena *a)
{
	if (a->base)
		munmap(a->base, a->grains * GRAIN);
	free(a->pieces);
	*a = (struct arena){0};
}

/* Where `want` free grains begin; a->grains: nowhere. */
static size_t find_gap(const struct arena *a, size_t want)
{
	size_t begin = 0, at = 0;
	while (at < a->grains && at - begin < want) {
		if (a->pieces[at])
			begin = at += a->pieces[at];
		else
			at++;
	}
	return at - begin == want ? begin : a->grains;
}

void *arena_take(struct arena *a, size_t len)
{
	size_t want = (len + GRAIN - 1) / GRAIN;
	size_t at = find_gap(a, want);
	if (at == a->grains)
		return NULL;
	a->pieces[at] = (uint32_t)want;
	a->used += want * GRAIN;
	return a->base + at * GRAIN;
}

static size_t grain_of(const struct arena *a, const void *data)
{
	return ((uintptr_t)data - (uintptr_t)a->base) / GRAIN;
}

bool arena_has(const struct arena *a, const void *data)
{
	return data && a->base && grain_of(a, data) < a->grains;
}

bool arena_give(struct arena *a, const void *data)
{
	if (!arena_has(a, data))
		return false;
	uint32_t *piece = &a->pieces[grain_of(a, data)];
	a->used -= *piece * GRAIN;
	*piece = 0;
	return true;
}
