#include "fetch/probe.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/log.h"
#include "fetch/probe_record.h"
#include "fetch/s3_endpoint.h"
#include "fetch/store_impl.h"

#define SCOPE_MAX 2048 /* bytes */

/* Stores whose documentation promises If-None-Match on both requests. */
static const char *const documented[] = {
	"amazonaws.com",
	"amazonaws.com.cn",
	"r2.cloudflarestorage.com",
};

/* A scope begins "s3 https://host[:port] ". */
static bool is_documented(const char *scope)
{
	char endpoint[SCOPE_MAX];
	if (strncmp(scope, "s3 ", 3))
		return false;
	size_t len = strcspn(scope + 3, " ");
	if (len >= sizeof(endpoint))
		return false;
	memcpy(endpoint, scope + 3, len);
	endpoint[len] = '\0';
	for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++)
		if (s3_endpoint_is_below(endpoint, documented[i]))
			return true;
	return false;
}

static const char *cache_dir(const struct store *s)
{
	return s->settings.cache_dir ? s->settings.cache_dir : "";
}

int probe_known(struct store *s, struct probe_answer *ret)
{
	CLEANUP(buf_finish) struct buf scope = BUF_INIT(SCOPE_MAX);
	if (!s->ops->probe) {
		*ret = (struct probe_answer){.put = HONOUR_ATOMIC};
		return 0;
	}
	if (!s->ops->probe_scope || s->ops->probe_scope(s, &scope) < 0)
		return -ENOENT;
	if (is_documented(buf_str(&scope))) {
		*ret = (struct probe_answer){HONOUR_ATOMIC, HONOUR_ATOMIC, 0};
		return 0;
	}
	if (!*cache_dir(s))
		return -ENOENT;
	return probe_record_read(cache_dir(s), buf_str(&scope), clock_realtime_s(), ret);
}

/* Not being able to keep the answer costs another probe, nothing else. */
static void keep(struct store *s, const struct probe_answer *answer)
{
	CLEANUP(buf_finish) struct buf scope = BUF_INIT(SCOPE_MAX);
	int r = s->ops->probe_scope(s, &scope);
	if (r == 0)
		r = probe_record_write(cache_dir(s), buf_str(&scope), answer);
	if (r < 0)
		log_debug("cannot keep what '%s' honours: %s", s->name, strerror(-r));
}

int probe_ask(struct store *s, const struct call *call, unsigned racers, unsigned rounds,
	struct probe_answer *ret, struct error *e)
{
	if (!s->ops->probe)
		return probe_known(s, ret);
	struct probe_answer answer;
	int r = s->ops->probe(s, call, racers, rounds, &answer, e);
	if (r < 0)
		return r;
	answer.when_s = clock_realtime_s();
	log_debug("'%s' honours conditions: put %d, complete %d", s->name, answer.put,
		answer.complete);
	if (*cache_dir(s) && s->ops->probe_scope)
		keep(s, &answer);
	*ret = answer;
	return 0;
}
