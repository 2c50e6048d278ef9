#include "fs/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/io.h"

/* Resident memory, from /proc/self/statm (proc(5)); 0 when that cannot be read. */
static uint64_t resident_bytes(void)
{
	char *text = NULL;
	size_t len;
	unsigned long long pages = 0, resident = 0;
	if (read_small_file("/proc/self/statm", 4096, &text, &len) < 0)
		return 0;
	if (sscanf(text, "%llu %llu", &pages, &resident) != 2)
		resident = 0;
	free(text);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void key_facts(struct key_facts *k, struct doorway *d)
{
	*k = (struct key_facts){.key = strdup(doorway_key(d))};
	doorway_stats(d, &k->doorway);
	CLEANUP(cleanup_generation) struct generation *g = doorway_current(d);
	if (!g)
		return;
	k->open = true;
	k->identity = *generation_identity(g);
	k->entries = index_count(generation_index(g));
	generation_pin(g, &k->pin);
	generation_stats(g, &k->current);
}

static bool collect_key(void *arg, struct doorway *d)
{
	struct facts *f = arg;
	f->keys++;
	if (f->told < FACTS_KEYS)
		key_facts(&f->key[f->told++], d);
	return true;
}

static bool shows_one_key(struct keyspace *k)
{
	struct shown top;
	return keyspace_node(k, 0, &top) == 0 && top.doorway;
}

struct facts *facts_new(struct larderfs *l)
{
	struct facts *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	complaints_last(&l->complaints, &f->trouble);
	uint64_t now_ns = clock_monotonic_ns();
	f->trouble_s = (now_ns - f->trouble.when_ns) / NS_PER_SECOND;
	f->store = store_name(l->store);
	f->uptime_s = (now_ns - l->started_ns) / NS_PER_SECOND;
	f->resident = resident_bytes();
	store_stats(l->store, &f->traffic);
	gate_stats(&l->gate, &f->waiting, &f->queued);
	f->reads = atomic_load(&l->reads);
	f->read_bytes = atomic_load(&l->read_bytes);
	f->read_errors = atomic_load(&l->read_errors);
	f->one_key = shows_one_key(l->keyspace);
	f->overwrites = history_overwrites(&l->history);
	keyspace_each_doorway(l->keyspace, collect_key, f);
	return f;
}

void facts_free(struct facts *f)
{
	for (size_t i = 0; f && i < f->told; i++)
		free(f->key[i].key);
	free(f);
}

int facts_write(struct larderfs *l, void (*write)(FILE *out, const struct facts *f),
	char **ret, size_t *ret_len)
{
	struct facts *f = facts_new(l);
	FILE *out = f ? open_memstream(ret, ret_len) : NULL;
	if (out)
		write(out, f);
	bool failed = !out || ferror(out);
	if (out)
		fclose(out);
	facts_free(f);
	return failed ? -ENOMEM : 0;
}
