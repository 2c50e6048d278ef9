#include <errno.h>
#include <stdio.h>

#include "fetch/base/json_out.h"
#include "fetch/probe.h"
#include "tools/command.h"
#include "tools/session.h"

#define RACERS 16
#define ROUNDS 10

static const char *words_of(enum honour honour)
{
	switch (honour) {
	case HONOUR_NO:
		return "ignored";
	case HONOUR_SEQUENTIAL:
		return "honoured, but of racing writers more than one may win";
	case HONOUR_ATOMIC:
		return "honoured, by racing writers too";
	case HONOUR_UNKNOWN:
		break;
	}
	return "not known";
}

static const char *json_of(enum honour honour)
{
	static const char *const names[] = {"unknown", "no", "sequential", "atomic"};
	return names[honour];
}

static void print_answer(
	const struct options *o, const struct store *s, const struct probe_answer *a)
{
	if (o->json) {
		printf("{\"store\":");
		json_string(stdout, store_name(s));
		printf(",\"put\":\"%s\",\"complete\":\"%s\"}\n", json_of(a->put),
			json_of(a->complete));
		return;
	}
	printf("%s\n", store_name(s));
	printf("  the condition \"only if absent\", an object at once   %s\n",
		words_of(a->put));
	printf("  the condition \"only if absent\", an object in parts  %s\n",
		words_of(a->complete));
}

int cmd_probe(const struct options *o, struct error *e)
{
	CLEANUP(session_finish) struct session s = {0};
	struct probe_answer answer;
	struct options racing = *o; /* borrows what o owns */
	if (racing.settings.concurrency < RACERS)
		racing.settings.concurrency = RACERS;
	int r = session_open(&s, &racing, 1, false, e);
	if (r == 0)
		r = probe_ask(s.store, &s.call, RACERS, ROUNDS, &answer, e);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	print_answer(o, s.store, &answer);
	if (answer.put > HONOUR_NO || answer.complete > HONOUR_NO)
		return 0;
	return error_set(e, -EOPNOTSUPP,
		"store '%s' honours no conditional write; publishing needs "
		"--unsafe-overwrite there",
		store_name(s.store));
}
