#include "fetch/s3_upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/base/log.h"
#include "fetch/base/thread.h"
#include "fetch/http_put.h"
#include "fetch/s3_multipart.h"

#define PART_MEMORY_MAX (UINT64_C(64) << 20) /* bytes; larger parts are files */
#define WORKERS_MAX     16
#define COMPLETE_TRIES  4 /* after the first */
#define ABORT_NS        (UINT64_C(5) * NS_PER_SECOND)
#define STRAGGLERS_NS   (NS_PER_SECOND / 2) /* that parts which were cut off are given */

/* A part that is full. */
struct part {
	struct part *next;
	struct spool *spool; /* owned */
	unsigned number;
};

struct worker {
	struct s3_upload *upload;
	pthread_t thread;
	struct cancel cancel;
};

struct s3_upload {
	struct s3_multipart multipart;
	const struct http_target *target; /* borrowed; so are the next three */
	const char *nonce;
	const char *spool_folder;
	uint64_t *sent;
	struct part_plan plan;
	unsigned most_in_flight;
	bool completed;

	struct spool *filling; /* owned; NULL: no byte for the next part yet */
	unsigned parts;        /* that were handed over to the workers */
	uint64_t part_size;    /* of the one being filled */
	uint64_t total;        /* bytes taken */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct part *first, *last; /* under lock; waiting for a worker */
	unsigned in_flight;        /* under lock; waiting or being sent */
	bool stop;                 /* under lock */
	bool cut_off;              /* under lock; a part's answer was not seen */
	struct error failure;      /* under lock; the first */
	char *etags[PARTS_MAX];    /* under lock; owned */

	struct worker workers[WORKERS_MAX];
	unsigned worker_count;
};

/* --- workers ----------------------------------------------------------------------- */

static void part_free(struct part *p)
{
	if (p)
		spool_free(p->spool);
	free(p);
}

/* The next part; NULL: stop. */
static struct part *take_part(struct s3_upload *u)
{
	LOCK_SCOPE(&u->lock);
	while (!u->first && !u->stop)
		pthread_cond_wait(&u->changed, &u->lock);
	if (u->stop)
		return NULL;
	struct part *p = u->first;
	u->first = p->next;
	if (!u->first)
		u->last = NULL;
	return p;
}

static void report_part(struct s3_upload *u, const struct part *p, int r, char *etag,
	const struct error *why)
{
	LOCK_SCOPE(&u->lock);
	u->in_flight--;
	u->cut_off |= r == -ECANCELED || r == -ETIMEDOUT || r == -EIO;
	if (r == 0)
		u->etags[p->number - 1] = etag;
	else if (!u->failure.code)
		u->failure = *why;
	pthread_cond_broadcast(&u->changed);
}

static void send_part(struct worker *w, struct part *p)
{
	struct s3_upload *u = w->upload;
	const struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &w->cancel};
	struct error why = {0};
	char *etag = NULL;
	int r = s3_multipart_part(&u->multipart, &call, p->number, p->spool, &etag, &why);
	if (r < 0 && !why.code)
		error_set_errno(&why, r, "cannot upload '%s'", u->target->key);
	if (r == 0)
		__atomic_add_fetch(u->sent, spool_size(p->spool), __ATOMIC_RELAXED);
	report_part(u, p, r, etag, &why);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct part *p;
	while ((p = take_part(w->upload))) {
		send_part(w, p);
		part_free(p);
	}
	return NULL;
}

/* Another one, unless each part on its way has one already. */
static int grow_workers(struct s3_upload *u, unsigned wanted)
{
	if (u->worker_count >= wanted || u->worker_count == WORKERS_MAX)
		return 0;
	struct worker *w = &u->workers[u->worker_count];
	w->upload = u;
	cancel_init(&w->cancel);
	int r = thread_start(&w->thread, work, w);
	if (r < 0) {
		cancel_finish(&w->cancel);
		return u->worker_count ? 0 : r; /* fewer do it, too */
	}
	u->worker_count++;
	return 0;
}

static void stop_workers(struct s3_upload *u)
{
	pthread_mutex_lock(&u->lock);
	u->stop = true;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
	for (unsigned i = 0; i < u->worker_count; i++)
		cancel_fire(&u->workers[i].cancel);
	for (unsigned i = 0; i < u->worker_count; i++) {
		pthread_join(u->workers[i].thread, NULL);
		cancel_finish(&u->workers[i].cancel);
	}
	u->worker_count = 0;
}

/* --- handing parts over ------------------------------------------------------------- */

/* Waits until at most `most` parts are on their way. */
static int wait_for_room(
	struct s3_upload *u, const struct call *call, unsigned most, struct error *e)
{
	int r = 0;
	call_attach(call, &u->lock, &u->changed);
	pthread_mutex_lock(&u->lock);
	while (u->in_flight > most && !u->failure.code && r == 0)
		r = call_wait(call, &u->lock, &u->changed);
	if (u->failure.code)
		r = u->failure.code;
	if (u->failure.code)
		error_copy(e, &u->failure);
	else if (r < 0)
		error_set_errno(e, r, "while '%s' was uploaded", u->target->key);
	pthread_mutex_unlock(&u->lock);
	call_detach(call);
	return r;
}

static unsigned enqueue(struct s3_upload *u, struct part *p)
{
	LOCK_SCOPE(&u->lock);
	if (u->last)
		u->last->next = p;
	else
		u->first = p;
	u->last = p;
	u->in_flight++;
	pthread_cond_broadcast(&u->changed);
	return u->in_flight;
}

/* The part being filled is full, or the last. */
static int hand_over(struct s3_upload *u, const struct call *call, struct error *e)
{
	unsigned most = part_plan_in_flight(u->part_size, u->most_in_flight);
	int r = wait_for_room(u, call, most - 1, e);
	if (r < 0)
		return r;
	struct part *p = malloc(sizeof(*p));
	if (!p || spool_seal(u->filling) < 0) {
		free(p);
		return error_set_errno(e, -ENOMEM, "cannot upload '%s'", u->target->key);
	}
	*p = (struct part){.spool = steal_pointer(u->filling), .number = ++u->parts};
	r = grow_workers(u, enqueue(u, p));
	return r < 0 ? error_set_errno(e, r, "cannot start a thread to upload with") : 0;
}

static int begin_part(struct s3_upload *u, struct error *e)
{
	u->part_size = part_plan_size(&u->plan, u->parts + 1);
	if (!u->part_size)
		return error_set(e, -EFBIG,
			"'%s' is too large for %u parts of %llu bytes", u->target->key,
			PARTS_MAX, (unsigned long long)u->plan.first);
	uint64_t memory = u->part_size < PART_MEMORY_MAX ? u->part_size : PART_MEMORY_MAX;
	u->filling = spool_new((size_t)memory, u->spool_folder);
	return u->filling ? 0 : error_set_errno(e, -ENOMEM, "cannot upload");
}

int s3_upload_write(struct s3_upload *u, const struct call *call, const void *data,
	size_t len, struct error *e)
{
	const char *p = data;
	int r = 0;
	while (len && r == 0) {
		if (!u->filling && (r = begin_part(u, e)) < 0)
			return r;
		uint64_t room = u->part_size - spool_size(u->filling);
		size_t n = len < room ? len : (size_t)room;
		r = spool_write(u->filling, p, n, e);
		p += n;
		len -= n;
		u->total += n;
		if (r == 0 && n == room)
			r = hand_over(u, call, e);
	}
	return r;
}

/* --- the end ------------------------------------------------------------------------ */

/* S3 wants one part at least, be it empty. */
static int send_last(struct s3_upload *u, const struct call *call, struct error *e)
{
	int r = 0;
	if (!u->filling && !u->parts)
		r = begin_part(u, e);
	if (r == 0 && u->filling)
		r = hand_over(u, call, e);
	return r < 0 ? r : wait_for_room(u, call, 0, e);
}

static int find_winner(struct s3_upload *u, const struct call *call,
	bool refused_as_existing, struct publish_result *ret, struct error *e)
{
	int r = refused_as_existing
			? http_who_was_first(u->target, call, u->nonce, ret, e)
			: http_who_won(u->target, call, u->nonce, ret, e);
	u->completed = r == 0 && ret->outcome == PUBLISHED;
	return r;
}

/* Some stores do not say the ETag here; the object does. */
static void settle_stored(struct s3_upload *u, const struct call *call, const char *etag,
	struct publish_result *ret)
{
	struct publish_result found;
	u->completed = true;
	*ret = (struct publish_result){.outcome = PUBLISHED, .pin.size = u->total};
	memcpy(ret->pin.etag, etag, PIN_ETAG_SIZE);
	memcpy(ret->pin.nonce, u->nonce, NONCE_SIZE);
	if (!*etag && http_who_won(u->target, call, u->nonce, &found, NULL) == 0 &&
		found.outcome == PUBLISHED)
		*ret = found;
}

/* The object was not made, and nobody else's is there, or none that may be looked at. */
static int refuse_lost(
	const struct s3_upload *u, enum complete_verdict verdict, struct error *e)
{
	const char *key = u->target->key, *store = u->target->store;
	if (verdict == COMPLETE_CONFLICT)
		return error_set(e, -EAGAIN,
			"another write to '%s' in '%s' was under way: publish again", key,
			store);
	if (verdict == COMPLETE_GONE)
		return error_set(e, -EIO,
			"'%s' does not know the upload of '%s' any more", store, key);
	if (verdict == COMPLETE_AGAIN)
		return error_set(e, -EIO, "'%s' fails to complete '%s'", store, key);
	return error_set(e, -EIO, "'%s' refuses '%s' as existing, but it is not there",
		store, key);
}

static int refuse_unsupported(
	const struct s3_upload *u, bool if_absent, struct error *e)
{
	return error_set(e, if_absent ? -EOPNOTSUPP : -EIO, "'%s' does not take %s",
		u->target->store, if_absent ? "conditional uploads" : "uploads in parts");
}

/* Somebody else's object counts only where none was to be overwritten. */
static int settle(struct s3_upload *u, const struct call *call, bool if_absent,
	enum complete_verdict verdict, const char *etag, struct publish_result *ret,
	struct error *e)
{
	if (verdict == COMPLETE_STORED) {
		settle_stored(u, call, etag, ret);
		return 0;
	}
	if (verdict == COMPLETE_UNSUPPORTED)
		return refuse_unsupported(u, if_absent, e);
	struct publish_result found = {.outcome = ALREADY_PUBLISHED};
	int r = find_winner(u, call, verdict == COMPLETE_EXISTS, &found, e);
	if (r < 0 && r != -ENOENT && r != -EACCES)
		return r;
	if (r < 0 || (!if_absent && found.outcome != PUBLISHED))
		return refuse_lost(u, verdict, e);
	*ret = found;
	return 0;
}

/* Perhaps only the answer was lost. */
static int settle_unanswered(
	struct s3_upload *u, const struct call *call, int r, struct publish_result *ret)
{
	struct publish_result found;
	if (r != -EIO || find_winner(u, call, false, &found, NULL) < 0 ||
		found.outcome != PUBLISHED)
		return r;
	*ret = found;
	return 0;
}

static int complete(struct s3_upload *u, const struct call *call, bool if_absent,
	enum complete_verdict *ret, char *ret_etag, struct error *e)
{
	for (unsigned i = 0;; i++) {
		int r = s3_multipart_complete(&u->multipart, call, if_absent,
			(const char *const *)u->etags, u->parts, ret, ret_etag, e);
		if (r < 0 || *ret != COMPLETE_AGAIN || i == COMPLETE_TRIES)
			return r;
		r = http_pause(call, i);
		if (r < 0)
			return error_set_errno(
				e, r, "cannot complete '%s'", u->target->key);
	}
}

int s3_upload_complete(struct s3_upload *u, const struct call *call, bool if_absent,
	struct publish_result *ret, struct error *e)
{
	enum complete_verdict verdict;
	char etag[PIN_ETAG_SIZE] = "";
	int r = send_last(u, call, e);
	if (r < 0)
		return r;
	r = complete(u, call, if_absent, &verdict, etag, e);
	return r == 0 ? settle(u, call, if_absent, verdict, etag, ret, e)
		      : settle_unanswered(u, call, r, ret);
}

/* --- its life ----------------------------------------------------------------------- */

int s3_upload_new(const struct s3_upload_options *o, const struct call *call,
	struct s3_upload **ret, struct error *e)
{
	struct s3_upload *u = calloc(1, sizeof(*u));
	if (!u)
		return error_set_errno(e, -ENOMEM, "cannot upload");
	int r = condition_init(&u->changed);
	if (r == 0) {
		r = s3_multipart_create(o->target, call, o->nonce, &u->multipart, e);
		if (r < 0)
			pthread_cond_destroy(&u->changed);
	}
	if (r < 0) {
		free(u);
		return r;
	}
	pthread_mutex_init(&u->lock, NULL);
	u->target = o->target;
	u->nonce = o->nonce;
	u->spool_folder = o->spool_folder;
	u->sent = o->sent;
	u->plan = o->plan;
	u->most_in_flight = o->concurrency < WORKERS_MAX ? o->concurrency : WORKERS_MAX;
	r = call_check(call);
	if (r < 0) {
		s3_upload_free(u);
		return error_set_errno(e, r, "cannot upload '%s'", o->target->key);
	}
	*ret = u;
	return 0;
}

/* A part that the store has whole but has not answered may be stored after the abort, and
 * is then left and paid for: S3 wants the abort repeated (API: AbortMultipartUpload). */
static void abort_upload(struct s3_upload *u)
{
	uint64_t now = clock_monotonic_ns();
	const struct call call = {.deadline_ns = now + ABORT_NS};
	struct error e = {0};
	int r = s3_multipart_abort(&u->multipart, &call, &e);
	if (u->cut_off && call_pause(&call, now + STRAGGLERS_NS) == 0)
		r = s3_multipart_abort(&u->multipart, &call, &e);
	if (r < 0)
		log_debug("an upload could not be aborted: %s", e.text);
}

void s3_upload_free(struct s3_upload *u)
{
	if (!u)
		return;
	stop_workers(u);
	if (!u->completed)
		abort_upload(u);
	while (u->first) {
		struct part *p = u->first;
		u->first = p->next;
		part_free(p);
	}
	for (size_t i = 0; i < PARTS_MAX; i++)
		free(u->etags[i]);
	spool_free(u->filling);
	s3_multipart_finish(&u->multipart);
	pthread_cond_destroy(&u->changed);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
