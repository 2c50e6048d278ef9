/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000

static void log_clear(struct stats *stats)
{
	for (size_t i = 0; i < stats->logged; i++) {
		struct log_entry *entry = &stats->log[i];

		free(entry->method);
		free(entry->target);
		free(entry->range);
		free(entry->if_match);
		free(entry->if_none_match);
	}
	free(stats->log);
	stats->log = NULL;
	stats->logged = stats->log_room = 0;
	stats->log_era++;
}

void stats_init(struct stats *stats, uint64_t now)
{
	*stats = (struct stats){.begun = now, .log_era = 1};
}

void stats_finish(struct stats *stats)
{
	log_clear(stats);
}

void stats_reset(struct stats *stats, uint64_t now)
{
	log_clear(stats);
	*stats = (struct stats){
		.begun = now,
		.open = stats->open,
		.log_on = stats->log_on,
		.log_era = stats->log_era,
	};
}

static void count_method(struct stats *stats, const char *method)
{
	for (size_t i = 0; i < METHODS_MAX; i++) {
		if (!stats->methods[i].count)
			snprintf(stats->methods[i].name, METHOD_MAX, "%s", method);
		if (strcmp(stats->methods[i].name, method))
			continue;
		stats->methods[i].count++;
		return;
	}
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static bool log_reserve(struct stats *stats)
{
	size_t room = stats->log_room ? 2 * stats->log_room : 1024;
	struct log_entry *log;

	if (stats->logged < stats->log_room)
		return true;
	if (stats->logged >= LOG_MAX)
		return false;
	log = reallocarray(stats->log, room, sizeof(*log));
	if (!log)
		return false;
	stats->log = log;
	stats->log_room = room;
	return true;
}

struct log_ref stats_request(struct stats *stats, const struct http_message *request,
	uint64_t connection, uint64_t now)
{
	struct log_ref none = {0};

	stats->requests++;
	count_method(stats, request->method);
	if (!stats->log_on)
		return none;
	if (!log_reserve(stats)) {
		stats->log_dropped++;
		return none;
	}
	stats->log[stats->logged++] = (struct log_entry){
		.at = now - stats->begun,
		.connection = connection,
		.method = copy(request->method),
		.target = copy(request->target),
		.range = copy(request->range),
		.if_match = copy(request->if_match),
		.if_none_match = copy(request->if_none_match),
	};
	return (struct log_ref){stats->log_era, stats->logged - 1};
}

struct log_entry *stats_entry(struct stats *stats, struct log_ref ref)
{
	return ref.era == stats->log_era ? &stats->log[ref.index] : NULL;
}

void stats_fault(struct stats *stats, struct log_ref ref, enum fault fault)
{
	struct log_entry *entry = stats_entry(stats, ref);

	stats->faults[fault]++;
	if (entry)
		entry->fault = fault;
}

static void print_string(FILE *out, const char *text)
{
	if (!text) {
		fputs("null", out);
		return;
	}
	putc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c < 0x20 || *c > 0x7e)
			fprintf(out, "\\u%04x", *c);
		else
			putc(*c, out);
	}
	putc('"', out);
}

static void print_entry(FILE *out, const struct log_entry *entry)
{
	fprintf(out, "{\"at_us\": %" PRIu64 ", \"connection\": %" PRIu64 ", \"method\": ",
		entry->at / NS_PER_US, entry->connection);
	print_string(out, entry->method);
	fputs(", \"target\": ", out);
	print_string(out, entry->target);
	fputs(", \"range\": ", out);
	print_string(out, entry->range);
	fputs(", \"if_match\": ", out);
	print_string(out, entry->if_match);
	fputs(", \"if_none_match\": ", out);
	print_string(out, entry->if_none_match);
	fprintf(out,
		", \"status\": %d, \"content\": %" PRIu64 ", \"fault\": ", entry->status,
		entry->content);
	print_string(out, entry->fault ? fault_names[entry->fault] : NULL);
	putc('}', out);
}

static void print_log(FILE *out, const struct stats *stats)
{
	fputs("[", out);
	for (size_t i = 0; i < stats->logged; i++) {
		fputs(i ? ", " : "", out);
		print_entry(out, &stats->log[i]);
	}
	fputs("]", out);
}

static void print_count(FILE *out, const char *name, uint64_t count, bool *first)
{
	fputs(*first ? "" : ", ", out);
	print_string(out, name);
	fprintf(out, ": %" PRIu64, count);
	*first = false;
}

void stats_print(const struct stats *stats, FILE *out)
{
	bool first = true;

	putc('{', out);
	print_count(out, "connections", stats->connections, &first);
	print_count(out, "open", stats->open, &first);
	print_count(out, "requests", stats->requests, &first);
	print_count(out, "responses", stats->responses, &first);
	print_count(out, "bytes_up", stats->bytes_up, &first);
	print_count(out, "bytes_down", stats->bytes_down, &first);
	print_count(out, "read_down", stats->read_down, &first);
	fputs(", \"methods\": {", out);
	first = true;
	for (size_t i = 0; i < METHODS_MAX && stats->methods[i].count; i++)
		print_count(out, stats->methods[i].name, stats->methods[i].count, &first);
	fputs("}, \"faults\": {", out);
	first = true;
	for (int i = FAULT_NONE + 1; i < FAULT_KINDS; i++)
		print_count(out, fault_names[i], stats->faults[i], &first);
	fputs("}", out);
	if (stats->log_on || stats->logged) {
		fprintf(out,
			", \"log_dropped\": %" PRIu64 ", \"log\": ", stats->log_dropped);
		print_log(out, stats);
	}
	putc('}', out);
}
