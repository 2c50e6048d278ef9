#include "fs/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/io.h"
#include "fetch/base/log.h"
#include "fetch/base/mounts.h"
#include "fs/facts.h"

/* --- the text -------------------------------------------------------------------------
 */

/* A family: a number of struct facts or struct key_facts. */
struct family {
	const char *name; /* ends with the unit, where there is one */
	const char *type; /* a counter's sample gets "_total" behind its name */
	const char *unit; /* NULL: none */
	const char *help;
	size_t offset, size;
};

#define IN(where, field) offsetof(struct where, field), sizeof(((struct where *)0)->field)

/* clang-format off */
static const struct family of_mount[] = {
	{ "larder_uptime_seconds", "gauge", "seconds",
	  "Time since the daemon began.", IN(facts, uptime_s) },
	{ "larder_resident_bytes", "gauge", "bytes",
	  "Memory of the daemon.", IN(facts, resident) },
	{ "larder_requests", "counter", NULL,
	  "Requests to the store, again-asked ones included.", IN(facts, traffic.requests) },
	{ "larder_retries", "counter", NULL,
	  "Requests asked again after a failure.", IN(facts, traffic.retries) },
	{ "larder_hedges", "counter", NULL,
	  "Requests asked twice because an answer was late.", IN(facts, traffic.hedges) },
	{ "larder_received_bytes", "counter", "bytes",
	  "Bodies of the store's answers.", IN(facts, traffic.received_bytes) },
	{ "larder_waiting", "gauge", NULL,
	  "Reads that wait for the store now.", IN(facts, waiting) },
	{ "larder_queued", "gauge", NULL,
	  "Reads that wait for their turn now.", IN(facts, queued) },
	{ "larder_reads", "counter", NULL,
	  "Reads answered.", IN(facts, reads) },
	{ "larder_read_bytes", "counter", "bytes",
	  "Bytes handed to readers.", IN(facts, read_bytes) },
	{ "larder_read_errors", "counter", NULL,
	  "Reads that failed.", IN(facts, read_errors) },
	{ "larder_keys", "gauge", NULL,
	  "Keys the kernel knows now.", IN(facts, keys) },
};

static const struct family of_key[] = {
	{ "larder_key_size_bytes", "gauge", "bytes",
	  "Size of the object.", IN(key_facts, pin.size) },
	{ "larder_key_entries", "gauge", NULL,
	  "Files and directories.", IN(key_facts, entries) },
	{ "larder_key_fetched_bytes", "counter", "bytes",
	  "Bytes of the object that were fetched.", IN(key_facts, current.chunks.fetched_bytes) },
	{ "larder_key_touched_bytes", "counter", "bytes",
	  "Bytes of the object that reads needed.", IN(key_facts, current.reader.touched_bytes) },
	{ "larder_key_cache_hits", "counter", NULL,
	  "Chunks found in the cache.", IN(key_facts, current.chunks.cache_hits) },
	{ "larder_key_cache_misses", "counter", NULL,
	  "Chunks not found in the cache.", IN(key_facts, current.chunks.cache_misses) },
	{ "larder_key_cache_damaged", "counter", NULL,
	  "Chunks of the cache that failed their digest.", IN(key_facts, current.chunks.cache_damaged) },
	{ "larder_key_refetched", "counter", NULL,
	  "Chunks fetched again after a wrong digest.", IN(key_facts, current.chunks.refetched) },
	{ "larder_key_reopens", "counter", NULL,
	  "Times the object was replaced by an equal one.", IN(key_facts, current.reopens) },
	{ "larder_key_memory_bytes", "gauge", "bytes",
	  "Memory for the index and decoded frames.", IN(key_facts, current.memory) },
	{ "larder_key_generations", "counter", NULL,
	  "Versions seen.", IN(key_facts, doorway.generations) },
	{ "larder_key_live_generations", "gauge", NULL,
	  "Versions something still reads.", IN(key_facts, doorway.live) },
	{ "larder_key_twin_reads", "counter", NULL,
	  "Reads of an old version served from the new one.", IN(key_facts, doorway.twins) },
};
/* clang-format on */

static unsigned long long number(const void *where, const struct family *f)
{
	uint64_t wide = 0;
	uint32_t narrow = 0;
	const char *at = (const char *)where + f->offset;
	if (f->size == sizeof(narrow)) {
		memcpy(&narrow, at, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, at, sizeof(wide));
	return wide;
}

static void put_head(
	FILE *out, const char *name, const char *type, const char *unit, const char *help)
{
	fprintf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		fprintf(out, "# UNIT %s %s\n", name, unit);
	fprintf(out, "# HELP %s %s\n", name, help);
}

static void put_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++)
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			putc(*value, out);
	putc('"', out);
}

static void put_name(FILE *out, const struct family *f)
{
	fprintf(out, "%s%s", f->name, strcmp(f->type, "counter") == 0 ? "_total" : "");
}

static void put_infos(FILE *out, const struct facts *f)
{
	put_head(
		out, "larder_mount", "info", NULL, "What is mounted, by which larderfs.");
	fputs("larder_mount_info{", out);
	put_label(out, "store", f->store);
	fputs(",version=\"" LARDER_VERSION "\"} 1\n", out);
	put_head(out, "larder_key", "info", NULL, "The version of a key that is open.");
	for (size_t i = 0; i < f->told; i++) {
		const struct key_facts *k = &f->key[i];
		char hex[DIGEST_HEX_SIZE];
		if (!k->open || !k->key)
			continue;
		digest_hex(&k->identity, hex);
		fputs("larder_key_info{", out);
		put_label(out, "key", k->key);
		fprintf(out, ",identity=\"%s\",", hex);
		put_label(out, "etag", k->pin.etag);
		fputs("} 1\n", out);
	}
}

static void put_key_family(FILE *out, const struct facts *f, const struct family *family)
{
	put_head(out, family->name, family->type, family->unit, family->help);
	for (size_t i = 0; i < f->told; i++) {
		const struct key_facts *k = &f->key[i];
		if (!k->open || !k->key)
			continue;
		put_name(out, family);
		putc('{', out);
		put_label(out, "key", k->key);
		fprintf(out, "} %llu\n", number(k, family));
	}
}

static void put_metrics(FILE *out, const struct facts *f)
{
	put_infos(out, f);
	for (size_t i = 0; i < sizeof(of_mount) / sizeof(of_mount[0]); i++) {
		const struct family *m = &of_mount[i];
		put_head(out, m->name, m->type, m->unit, m->help);
		put_name(out, m);
		fprintf(out, " %llu\n", number(f, m));
	}
	for (size_t i = 0; i < sizeof(of_key) / sizeof(of_key[0]); i++)
		put_key_family(out, f, &of_key[i]);
	fputs("# EOF\n", out);
}

int metrics_text(struct larderfs *l, char **ret, size_t *ret_len)
{
	return facts_write(l, put_metrics, ret, ret_len);
}

/* --- the file -------------------------------------------------------------------------
 */

static int fail(const struct metrics_file *m, int number, struct error *e)
{
	return error_set(e, -EINVAL, "cannot write '%s': %s", m->path, strerror(number));
}

/* Whatever else is there (a device, a FIFO) would be lost under the file. */
static int demand_regular(const struct metrics_file *m, struct error *e)
{
	struct stat st;
	if (lstat(m->path, &st) < 0)
		return errno == ENOENT ? 0 : fail(m, errno, e);
	if (S_ISREG(st.st_mode))
		return 0;
	return error_set(e, -EINVAL, "cannot write '%s': it is no regular file", m->path);
}

/* ret: PATH_MAX bytes, its path. The descriptor. */
static int open_temporary(const struct metrics_file *m, char *ret, struct error *e)
{
	int directory = (int)(strrchr(m->path, '/') - m->path);
	if (snprintf(ret, PATH_MAX, "%.*s/.larder-metrics-XXXXXX", directory, m->path) >=
		PATH_MAX)
		return fail(m, ENAMETOOLONG, e);
	int fd = mkostemp(ret, O_CLOEXEC);
	return fd < 0 ? fail(m, errno, e) : fd;
}

static int fill_and_rename(const struct metrics_file *m, int fd, const char *temporary,
	const char *text, size_t len, struct error *e)
{
	int r = write_fully(fd, text, len);
	if (r < 0)
		return fail(m, -r, e);
	if (fchmod(fd, 0644) < 0) /* a file system without modes */
		log_debug("'%s' keeps its mode: %s", m->path, strerror(errno));
	r = demand_regular(m, e);
	if (r == 0 && rename(temporary, m->path) < 0)
		r = fail(m, errno, e);
	return r;
}

static int write_now(const struct metrics_file *m, struct error *e)
{
	CLEANUP(cleanup_free) char *text = NULL;
	char temporary[PATH_MAX];
	size_t len;
	int r = metrics_text(m->fs, &text, &len);
	if (r < 0)
		return error_set_errno(e, r, "cannot write '%s'", m->path);
	CLEANUP(cleanup_close) int fd = open_temporary(m, temporary, e);
	if (fd < 0)
		return fd;
	r = fill_and_rename(m, fd, temporary, text, len, e);
	if (r < 0)
		unlink(temporary);
	return r;
}

static void write_or_warn(void *arg)
{
	struct metrics_file *m = arg;
	struct error e = {0};
	int r = write_now(m, &e);
	if (r < 0 && !m->failed)
		log_warning("%s", e.text);
	m->failed = r < 0;
}

static int resolve(struct metrics_file *m, const char *path, struct error *e)
{
	if (mountpoint_resolve(path, m->path, e) < 0)
		return error_prefix(e, "cannot write "), -EINVAL;
	return demand_regular(m, e);
}

int metrics_file_check(const char *path, struct error *e)
{
	struct metrics_file m = {0};
	char temporary[PATH_MAX];
	int r = resolve(&m, path, e);
	if (r < 0)
		return r;
	CLEANUP(cleanup_close) int fd = open_temporary(&m, temporary, e);
	if (fd < 0)
		return fd;
	unlink(temporary);
	return 0;
}

int metrics_file_start(
	struct metrics_file *m, const char *path, struct larderfs *l, struct error *e)
{
	m->fs = l;
	int r = resolve(m, path, e);
	if (r == 0)
		r = write_now(m, e);
	if (r < 0) {
		m->fs = NULL;
		return r;
	}
	ticker_start(&m->ticker, METRICS_INTERVAL_NS, write_or_warn, m);
	return 0;
}

void metrics_file_finish(struct metrics_file *m)
{
	ticker_stop(&m->ticker);
	if (m->fs)
		write_or_warn(m);
	*m = (struct metrics_file){0};
}
