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
	a->touched = calloc(a->grains, sizeof(*a->touched));
	void *base = MAP_FAILED;
	if (a->pieces && a->touched)
		base = mmap(NULL, a->grains * GRAIN, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED) {
		arena_finish(a);
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
	free(a->touched);
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

static void *deal(struct arena *a, size_t at, size_t count)
{
	a->pieces[at] = (uint32_t)count;
	a->used += count * GRAIN;
	for (size_t i = at; i < at + count; i++) {
		a->resident += a->touched[i] ? 0 : GRAIN;
		a->touched[i] = true;
	}
	return a->base + at * GRAIN;
}

void *arena_take(struct arena *a, size_t len)
{
	size_t want = (len + GRAIN - 1) / GRAIN;
	size_t at = find_gap(a, want);
	return at == a->grains ? NULL : deal(a, at, want);
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

void *arena_take_idle(struct arena *a, size_t *ret_len)
{
	size_t at = 0;
	while (at < a->grains && (a->pieces[at] || !a->touched[at]))
		at += a->pieces[at] ? a->pieces[at] : 1;
	size_t count = 0;
	while (at + count < a->grains && !a->pieces[at + count] && a->touched[at + count])
		count++;
	if (!count)
		return NULL;
	*ret_len = count * GRAIN;
	return deal(a, at, count);
}

/* It fails for locked memory alone, and we lock none. */
void arena_empty(void *data, size_t len)
{
	madvise(data, len, MADV_DONTNEED);
}

void arena_give_empty(struct arena *a, const void *data)
{
	size_t at = grain_of(a, data), count = a->pieces[at];
	for (size_t i = at; i < at + count; i++)
		a->touched[i] = false;
	a->resident -= count * GRAIN;
	arena_give(a, data);
}
