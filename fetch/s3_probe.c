/* Asking an S3 store what it honours: PUT, and CompleteMultipartUpload. */
#include <errno.h>
#include <stdlib.h>

#include "fetch/base/crew.h"
#include "fetch/http_probe.h"
#include "fetch/s3_multipart.h"
#include "fetch/spool.h"
#include "fetch/store_s3.h"

#define PART_BODY "larder probe\n"

/* An upload that lacks nothing but its end. */
struct ready_upload {
	struct s3_multipart multipart;
	char *etag; /* owned */
};

/* Whatever became of the probe's call, nothing is left behind. */
static void upload_finish(struct ready_upload *u)
{
	const struct call call = {
		.deadline_ns = clock_monotonic_ns() + PROBE_CLEAN_UP_NS};
	if (u->multipart.upload_query)
		s3_multipart_abort(&u->multipart, &call, NULL);
	s3_multipart_finish(&u->multipart);
	free(u->etag);
}

static int send_part(struct ready_upload *u, const struct call *call, struct error *e)
{
	CLEANUP(cleanup_spool) struct spool *spool = spool_new(sizeof(PART_BODY), NULL);
	int r = spool ? spool_write(spool, PART_BODY, sizeof(PART_BODY) - 1, e) : -ENOMEM;
	if (r == 0)
		r = spool_seal(spool);
	if (r < 0)
		return error_set_errno(e, r, "cannot probe");
	return s3_multipart_part(&u->multipart, call, 1, spool, &u->etag, e);
}

static int upload_ready(struct ready_upload *u, const struct http_target *t,
	const struct call *call, struct error *e)
{
	char nonce[NONCE_SIZE];
	int r = nonce_new(nonce);
	if (r < 0)
		return error_set_errno(e, r, "cannot probe '%s'", t->store);
	r = s3_multipart_create(t, call, nonce, &u->multipart, e);
	return r < 0 ? r : send_part(u, call, e);
}

static int complete(const struct ready_upload *u, const struct call *call,
	enum complete_verdict *ret, struct error *e)
{
	char etag[PIN_ETAG_SIZE];
	const char *etags[] = {u->etag};
	return s3_multipart_complete(&u->multipart, call, true, etags, 1, ret, etag, e);
}

/* --- one after the other, and at once ------------------------------------------------
 */

static int complete_one(const struct http_target *t, const struct call *call,
	enum complete_verdict *ret, struct error *e)
{
	struct ready_upload u = {0};
	int r = upload_ready(&u, t, call, e);
	if (r == 0)
		r = complete(&u, call, ret, e);
	upload_finish(&u);
	return r;
}

static int complete_twice(const struct http_target *t, const struct call *call,
	enum honour *ret, struct error *e)
{
	enum complete_verdict first = COMPLETE_UNSUPPORTED, second = COMPLETE_UNSUPPORTED;
	int r = complete_one(t, call, &first, e);
	if (r == 0 && first == COMPLETE_STORED)
		r = complete_one(t, call, &second, e);
	if (r == 0)
		*ret = second == COMPLETE_EXISTS ? HONOUR_ATOMIC : HONOUR_NO;
	return r;
}

static int race_complete(void *arg, unsigned number, const struct call *call,
	bool *ret_won, struct error *e)
{
	const struct ready_upload *uploads = arg;
	enum complete_verdict verdict;
	int r = complete(&uploads[number], call, &verdict, e);
	*ret_won = r == 0 && verdict == COMPLETE_STORED;
	return r;
}

static void finish_upload(void *arg, unsigned number, const struct call *call)
{
	struct ready_upload *uploads = arg;
	upload_finish(&uploads[number]);
}

/* At once, as each may take its time when the store is silent. */
static void finish_uploads(struct ready_upload *uploads, unsigned count)
{
	const struct call call = {.deadline_ns = DEADLINE_NONE};
	for (unsigned i = crew_run(&call, count, finish_upload, uploads); i < count; i++)
		upload_finish(&uploads[i]);
}

static int complete_at_once(const struct http_target *t, const struct call *call,
	unsigned racers, unsigned *ret_winners, struct error *e)
{
	struct ready_upload uploads[PROBE_RACERS_MAX] = {0};
	int r = 0;
	if (racers > PROBE_RACERS_MAX)
		racers = PROBE_RACERS_MAX;
	for (unsigned i = 0; i < racers && r == 0; i++)
		r = upload_ready(&uploads[i], t, call, e);
	if (r == 0)
		r = http_probe_race(call, racers, race_complete, uploads, ret_winners, e);
	finish_uploads(uploads, racers);
	return r;
}

/* --- the probe -----------------------------------------------------------------------
 */

/* On a fresh key: racers 0 is the test one after the other. */
static int probe_complete_on(const struct http_root *root, const struct call *call,
	unsigned racers, enum honour *ret, struct error *e)
{
	CLEANUP(probe_key_finish) struct probe_key key;
	unsigned winners = 0;
	int r = probe_key_init(root, &key, e);
	if (r == 0)
		r = racers ? complete_at_once(&key.target, call, racers, &winners, e)
			   : complete_twice(&key.target, call, ret, e);
	if (r == 0 && winners > 1)
		*ret = HONOUR_SEQUENTIAL;
	return r;
}

static int probe_complete(const struct http_root *root, const struct call *call,
	unsigned racers, unsigned rounds, enum honour *ret, struct error *e)
{
	int r = probe_complete_on(root, call, 0, ret, e);
	for (unsigned i = 0; i < rounds && r == 0 && *ret == HONOUR_ATOMIC; i++)
		r = probe_complete_on(root, call, racers, ret, e);
	return r;
}

/* Over fewer connections some would come after the others: no race, and no sign that the
 * condition holds in one. */
static bool can_race(const struct store *s)
{
	return s->settings.concurrency >= PROBE_RACERS_FEW;
}

int store_s3_probe(struct store *base, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e)
{
	const struct http_root root = store_s3_root((struct store_s3 *)base);
	struct probe_answer answer = {.put = HONOUR_UNKNOWN};
	struct probe_sight sight;
	int r = racers ? http_probe_races(&root, call, racers, rounds, &answer.put, e)
		       : http_probe_quick(&root, call, &answer.put, &sight, e);
	if (r == 0 && !racers && can_race(base))
		r = http_probe_race_once(&root, call, &sight, &answer.put, e);
	if (r == 0 && racers)
		r = probe_complete(&root, call, racers, rounds, &answer.complete, e);
	if (r == 0)
		*ret = answer;
	return r;
}
