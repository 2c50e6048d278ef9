#include "fs/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/json_out.h"
#include "fs/facts.h"

#define ROOM_BEHIND (4u << 10) /* bytes, for what is told after the keys */

typedef unsigned long long big;

/* Tells of keys one after the other until the next would be past STATUS_MAX; of how many
 * comes back. */
static size_t tell_keys(FILE *out, const struct facts *f, const char *between,
	void (*tell)(FILE *out, const struct key_facts *k))
{
	for (size_t i = 0; i < f->told; i++) {
		off_t before = ftello(out);
		fputs(i ? between : "", out);
		tell(out, &f->key[i]);
		if (ftello(out) > STATUS_MAX - ROOM_BEHIND) {
			fseeko(out, before, SEEK_SET);
			return i;
		}
	}
	return f->told;
}

/* --- for machines ----------------------------------------------------------------- */

static void put_name(FILE *out, const char *name)
{
	json_string(out, name);
	putc(':', out);
}

static void put_text(FILE *out, const char *name, const char *value)
{
	put_name(out, name);
	json_string(out, value);
	putc(',', out);
}

static void put_number(FILE *out, const char *name, big value)
{
	put_name(out, name);
	fprintf(out, "%llu,", value);
}

static void put_pin(FILE *out, const struct key_facts *k)
{
	char hex[DIGEST_HEX_SIZE];
	digest_hex(&k->identity, hex);
	put_text(out, "identity", hex);
	put_text(out, "etag", k->pin.etag);
	put_text(out, "version_id", k->pin.version_id);
	put_number(out, "size", k->pin.size);
	put_number(out, "entries", k->entries);
}

static void put_key(FILE *out, const struct key_facts *k)
{
	const struct chunk_stats *c = &k->current.chunks;
	const struct reader_stats *r = &k->current.reader;
	putc('{', out);
	put_text(out, "key", k->key ? k->key : "");
	if (k->open) {
		put_pin(out, k);
		put_number(out, "fetched_bytes", c->fetched_bytes);
		put_number(out, "touched_bytes", r->touched_bytes);
		put_number(out, "cache_hits", c->cache_hits);
		put_number(out, "cache_misses", c->cache_misses);
		put_number(out, "cache_damaged", c->cache_damaged);
		put_number(out, "refetched", c->refetched);
		put_number(out, "fallback_hits", c->fallback_hits);
		put_number(out, "decoded_frames", r->decoded_frames);
		put_number(out, "frame_hits", r->hits);
		put_number(out, "reopens", k->current.reopens);
		put_number(out, "lookups", k->current.lookups);
		put_number(out, "memory_bytes", k->current.memory);
	}
	put_number(out, "generation", k->doorway.generations);
	put_number(out, "live_generations", k->doorway.live);
	put_number(out, "twin_reads", k->doorway.twins);
	fprintf(out, "\"open\":%s}", k->open ? "true" : "false");
}

static void put_facts(FILE *out, const struct facts *f)
{
	putc('{', out);
	put_text(out, "store", f->store);
	put_text(out, "version", LARDER_VERSION);
	put_number(out, "pid", (big)getpid());
	put_number(out, "uptime_s", f->uptime_s);
	put_number(out, "resident_bytes", f->resident);
	put_number(out, "requests", f->traffic.requests);
	put_number(out, "retries", f->traffic.retries);
	put_number(out, "received_bytes", f->traffic.received_bytes);
	put_number(out, "round_trip_us", f->traffic.round_trip_ns / 1000);
	put_number(out, "waiting", f->waiting);
	put_number(out, "queued", f->queued);
	put_number(out, "reads", f->reads);
	put_number(out, "read_bytes", f->read_bytes);
	put_number(out, "read_errors", f->read_errors);
	if (f->trouble.sentence[0]) {
		put_text(out, "trouble", f->trouble.sentence);
		put_number(out, "trouble_age_s", f->trouble_s);
	}
	put_number(out, "keys_known", f->keys);
	put_number(out, "overwrites", f->overwrites);
	fprintf(out, "\"one_key\":%s,\"keys\":[", f->one_key ? "true" : "false");
	tell_keys(out, f, ",", put_key);
	fputs("]}", out);
}

/* --- for people ------------------------------------------------------------------- */

static void say_bytes(FILE *out, big bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	double value = (double)bytes;
	for (; value >= 1024 && unit < 4; unit++)
		value /= 1024;
	fprintf(out, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static const char *entries(uint32_t count)
{
	return count == 1 ? "entry" : "entries";
}

static void say_key(FILE *out, const struct key_facts *k)
{
	const struct chunk_stats *c = &k->current.chunks;
	char hex[DIGEST_HEX_SIZE];
	digest_hex(&k->identity, hex);
	fprintf(out, "key         %s%s\n", k->key ? k->key : "",
		k->open ? "" : " (not opened)");
	if (!k->open)
		return;
	fprintf(out, "identity    %s\netag        %s\n", hex, k->pin.etag);
	fprintf(out, "generation  %u (%u live), %llu reopens\n", k->doorway.generations,
		k->doorway.live, (big)k->current.reopens);
	fprintf(out, "holds       %u %s in ", k->entries, entries(k->entries));
	say_bytes(out, k->pin.size);
	fputs("\nfetched     ", out);
	say_bytes(out, c->fetched_bytes);
	fprintf(out, "; from the cache %llu of %llu chunks\n", (big)c->cache_hits,
		(big)(c->cache_hits + c->cache_misses));
}

static void say_facts(FILE *out, const struct facts *f)
{
	fprintf(out, "store       %s\n", f->store);
	size_t told = tell_keys(out, f, "", say_key);
	if (f->keys > told)
		fprintf(out, "            and %zu keys more\n", f->keys - told);
	fprintf(out, "requests    %llu, %llu retries, ", (big)f->traffic.requests,
		(big)f->traffic.retries);
	say_bytes(out, f->traffic.received_bytes);
	fprintf(out, " received\nreads       %llu, ", (big)f->reads);
	say_bytes(out, f->read_bytes);
	fprintf(out, ", %llu failed; %u waiting\n", (big)f->read_errors,
		f->waiting + f->queued);
	if (f->trouble.sentence[0])
		fprintf(out, "trouble     %s (%llu s ago)\n", f->trouble.sentence,
			(big)f->trouble_s);
	fprintf(out, "daemon      larderfs %s, pid %ld, up %llu s, ", LARDER_VERSION,
		(long)getpid(), (big)f->uptime_s);
	say_bytes(out, f->resident);
	fputs(" resident\n", out);
}

int status_json(struct larderfs *l, char **ret, size_t *ret_len)
{
	return facts_write(l, put_facts, ret, ret_len);
}

int status_summary(struct larderfs *l, char **ret, size_t *ret_len)
{
	return facts_write(l, say_facts, ret, ret_len);
}

void status_first_words(FILE *out, struct generation *g, const char *instead_of)
{
	struct pin pin;
	generation_pin(g, &pin);
	fprintf(out, "%s: mounted", doorway_key(doorway_of(g)));
	if (instead_of)
		fprintf(out, " in place of '%s'", instead_of);
	uint32_t count = index_count(generation_index(g));
	fprintf(out, ": %u %s in ", count, entries(count));
	say_bytes(out, pin.size);
	putc('\n', out);
}

static void put_last_words(FILE *out, const struct facts *f)
{
	big hits = 0;
	for (size_t i = 0; i < f->told; i++)
		hits += f->key[i].current.chunks.cache_hits;
	fprintf(out, "unmounted after %llu s: %llu reads of ", (big)f->uptime_s,
		(big)f->reads);
	say_bytes(out, f->read_bytes);
	fprintf(out, ", %llu requests (%llu retries) for ", (big)f->traffic.requests,
		(big)f->traffic.retries);
	say_bytes(out, f->traffic.received_bytes);
	fprintf(out, ", %llu chunks from the cache", hits);
}

void status_last_words(struct larderfs *l, char *ret, size_t size)
{
	char *text = NULL;
	size_t len;
	if (facts_write(l, put_last_words, &text, &len) == 0)
		snprintf(ret, size, "%s", text);
	else
		snprintf(ret, size, "unmounted");
	free(text);
}
