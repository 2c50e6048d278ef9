#include "fetch/http_probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/crew.h"
#include "fetch/base/lock.h"
#include "fetch/base/log.h"
#include "fetch/exchange.h"
#include "fetch/http_object.h"
#include "fetch/http_put.h"
#include "fetch/sigv4.h"

#define PROBE_KEY    ".larder/probe"
#define PROBE_BODY   "larder probe\n"
#define CONFLICT_MAX 4 /* tries that may end in a conflict */
#define CLEAN_MAX    (PROBE_RACERS_MAX + 8)
#define QUERY_MAX    (3 * PIN_VERSION_SIZE + 16)

/* --- single writes ------------------------------------------------------------------ */

static int put_once(const struct http_target *t, const struct call *call, bool if_absent,
	enum put_verdict *ret, struct error *e)
{
	char nonce[NONCE_SIZE];
	struct digest digest;
	struct pin pin;
	int r = nonce_new(nonce);
	if (r == 0)
		r = digest_of(PROBE_BODY, strlen(PROBE_BODY), &digest);
	if (r < 0)
		return error_set_errno(e, r, "cannot probe '%s'", t->store);
	const struct http_put put = {
		.target = t,
		.if_absent = if_absent,
		.nonce = nonce,
		.data = PROBE_BODY,
		.fd = -1,
		.len = strlen(PROBE_BODY),
		.sha256 = &digest,
	};
	return http_put_once(&put, call, ret, &pin, e);
}

/* Waits conflicts out for a while: PUT_CONFLICT then means that the store always says so.
 */
static int put_patiently(const struct http_target *t, const struct call *call,
	enum put_verdict *ret, struct error *e)
{
	for (unsigned i = 0;; i++) {
		int r = put_once(t, call, true, ret, e);
		if (r < 0 || *ret != PUT_CONFLICT || i == CONFLICT_MAX)
			return r;
		r = t->make_way ? t->make_way(t, call, e) : 0;
		if (r == 0)
			r = http_pause(call, i);
		if (r < 0)
			return r;
	}
}

/* A refusal counts only when there is something that it can be about. */
static int judge_refusal(const struct http_target *t, const struct call *call,
	enum honour *ret, struct probe_sight *ret_sight, struct error *e)
{
	struct pin pin = {.version_id = ""};
	bool denied = false;
	struct error why = {0};
	int r = http_stat_object(t, call, &pin, &denied, &why);
	if (r < 0 && r != -ENOENT) {
		error_copy(e, &why);
		return r;
	}
	*ret = r == 0 || denied ? HONOUR_ATOMIC : HONOUR_NO;
	ret_sight->seen = r == 0;
	memcpy(ret_sight->version_id, pin.version_id, sizeof(pin.version_id));
	return 0;
}

/* Is it the condition that the store does not know, or writing? */
static int judge_unsupported(const struct http_target *t, const struct call *call,
	enum honour *ret, struct error *e)
{
	enum put_verdict verdict;
	int r = put_once(t, call, false, &verdict, e);
	if (r == 0 && verdict == PUT_UNSUPPORTED)
		r = http_refuse_writes(t, e);
	if (r == 0)
		*ret = HONOUR_NO;
	return r;
}

static int probe_twice(const struct http_target *t, const struct call *call,
	enum honour *ret, struct probe_sight *ret_sight, struct error *e)
{
	enum put_verdict verdict = PUT_STORED;
	int r = 0;
	for (int i = 0; i < 2 && verdict == PUT_STORED; i++) {
		r = put_patiently(t, call, &verdict, e);
		if (r < 0)
			return r;
	}
	if (verdict == PUT_EXISTS || verdict == PUT_CONFLICT)
		return judge_refusal(t, call, ret, ret_sight, e);
	if (verdict == PUT_UNSUPPORTED)
		return judge_unsupported(t, call, ret, e);
	*ret = HONOUR_NO;
	return 0;
}

int http_probe_quick(const struct http_root *root, const struct call *call,
	enum honour *ret, struct probe_sight *ret_sight, struct error *e)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(HTTP_PATH_MAX);
	struct http_target target;
	int r = http_target_of(root, PROBE_KEY, &path, &target, e);
	return r < 0 ? r : probe_twice(&target, call, ret, ret_sight, e);
}

/* --- fresh keys --------------------------------------------------------------------- */

int probe_key_init(const struct http_root *root, struct probe_key *ret, struct error *e)
{
	char nonce[NONCE_SIZE];
	*ret = (struct probe_key){.path = BUF_INIT(HTTP_PATH_MAX)};
	int r = nonce_new(nonce);
	if (r < 0)
		return error_set_errno(e, r, "cannot probe '%s'", root->store);
	snprintf(ret->name, sizeof(ret->name), PROBE_KEY "-%s", nonce);
	return http_target_of(root, ret->name, &ret->path, &ret->target, e);
}

static int name_version(struct buf *query, const char *version_id)
{
	int r = version_id[0] ? buf_append_str(query, "versionId=") : 0;
	return r < 0 ? r : uri_encode(query, version_id, strlen(version_id), false);
}

/* Of that version, for good, where there is one. The answer's status, or -errno. */
static int delete_once(
	const struct http_target *t, const char *version_id, const struct call *call)
{
	CLEANUP(http_response_finish) struct http_response response = {0};
	CLEANUP(buf_finish) struct buf query = BUF_INIT(QUERY_MAX);
	if (name_version(&query, version_id) < 0)
		return -ENOMEM;
	const struct exchange_request request = {
		.method = "DELETE",
		.path = t->path,
		.query = buf_str(&query),
		.body_fd = -1,
	};
	int r = exchange_perform(t->exchanger, call, &request, &response, NULL, NULL);
	return r < 0 ? r : response.status;
}

/* True when something was removed. */
static bool remove_latest(const struct http_target *t, const struct call *call)
{
	struct pin pin;
	bool denied = false;
	if (http_stat_object(t, call, &pin, &denied, NULL) < 0)
		return false;
	int status = delete_once(t, pin.version_id, call);
	return status >= 200 && status < 300;
}

/* Asked about a key that is not there: S3 answers 204, others 404, where we may. To
 * remove a version takes a right of its own, s3:DeleteObjectVersion; and on such a bucket
 * a key that is deleted without one is a marker more. So a version is named there:
 * another key's, for one that is made up may be refused as none. */
static bool may_remove(const struct http_target *t, const struct probe_sight *sight,
	const struct call *call)
{
	int status = sight->seen ? delete_once(t, sight->version_id, call) : -EACCES;
	return (status >= 200 && status < 300) || status == 404;
}

void probe_key_finish(struct probe_key *k)
{
	const struct call call = {
		.deadline_ns = clock_monotonic_ns() + PROBE_CLEAN_UP_NS};
	for (unsigned i = 0; k->target.path && i < CLEAN_MAX; i++)
		if (!remove_latest(&k->target, &call))
			break;
	buf_finish(&k->path);
}

/* --- races -------------------------------------------------------------------------- */

struct race {
	racer_fn *run;
	void *arg;
	pthread_mutex_t lock;
	unsigned winners;   /* under lock */
	struct error error; /* under lock; the first */
};

static void run_racer(void *arg, unsigned number, const struct call *call)
{
	struct race *race = arg;
	struct error why = {0};
	bool won = false;
	int r = race->run(race->arg, number, call, &won, &why);
	if (r < 0 && !why.code)
		error_set_errno(&why, r, "a probe failed");
	LOCK_SCOPE(&race->lock);
	race->winners += won;
	if (r < 0 && !race->error.code)
		race->error = why;
}

int http_probe_race(const struct call *call, unsigned n, racer_fn *run, void *arg,
	unsigned *ret_winners, struct error *e)
{
	struct race race = {
		.run = run,
		.arg = arg,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int r = call_check(call);
	if (r < 0)
		return error_set_errno(e, r, "the probe was ended");
	if (n > PROBE_RACERS_MAX)
		n = PROBE_RACERS_MAX;
	if (crew_run(call, n, run_racer, &race) < n)
		return error_set_errno(e, -EAGAIN, "cannot start the probe's threads");
	*ret_winners = race.winners;
	error_copy(e, &race.error);
	return race.error.code;
}

static int race_put(void *arg, unsigned number, const struct call *call, bool *ret_won,
	struct error *e)
{
	const struct http_target *t = arg;
	enum put_verdict verdict;
	int r = put_once(t, call, true, &verdict, e);
	*ret_won = r == 0 && verdict == PUT_STORED;
	return r;
}

static int race_once(const struct http_root *root, const struct call *call,
	unsigned racers, unsigned *ret_winners, struct error *e)
{
	CLEANUP(probe_key_finish) struct probe_key key;
	int r = probe_key_init(root, &key, e);
	return r < 0 ? r
		     : http_probe_race(
			       call, racers, race_put, &key.target, ret_winners, e);
}

/* A store that is too busy for a race tells nothing of its conditions by that. What would
 * fail everything after the race as well is passed on. */
static int judge_failed_race(
	const struct call *call, const struct error *why, struct error *e)
{
	int ended = call_check(call);
	if (ended < 0)
		return error_set_errno(e, ended, "the probe was ended");
	if (why->code == -ETIMEDOUT || why->code == -ECANCELED ||
		why->code == -EKEYREJECTED || why->code == -ENOMEM) {
		error_copy(e, why);
		return why->code;
	}
	log_debug("no race of writers: %s", why->text);
	return 0;
}

int http_probe_race_once(const struct http_root *root, const struct call *call,
	const struct probe_sight *sight, enum honour *ret, struct error *e)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(HTTP_PATH_MAX);
	struct http_target nothing;
	struct error why = {0};
	unsigned winners = 0;
	int r = http_target_of(root, PROBE_KEY "-removed", &path, &nothing, e);
	if (r < 0 || *ret != HONOUR_ATOMIC || !may_remove(&nothing, sight, call))
		return r;
	if (race_once(root, call, PROBE_RACERS_FEW, &winners, &why) < 0)
		r = judge_failed_race(call, &why, e);
	if (r == 0 && winners > 1)
		*ret = HONOUR_SEQUENTIAL;
	return r;
}

static int probe_fresh(const struct http_root *root, const struct call *call,
	enum honour *ret, struct error *e)
{
	CLEANUP(probe_key_finish) struct probe_key key;
	struct probe_sight sight;
	int r = probe_key_init(root, &key, e);
	return r < 0 ? r : probe_twice(&key.target, call, ret, &sight, e);
}

int http_probe_races(const struct http_root *root, const struct call *call,
	unsigned racers, unsigned rounds, enum honour *ret, struct error *e)
{
	int r = probe_fresh(root, call, ret, e);
	for (unsigned i = 0; i < rounds && r == 0 && *ret == HONOUR_ATOMIC; i++) {
		unsigned winners = 0;
		r = race_once(root, call, racers, &winners, e);
		if (r == 0 && winners > 1)
			*ret = HONOUR_SEQUENTIAL;
	}
	return r;
}
