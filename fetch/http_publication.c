#include "fetch/http_publication.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/io.h"
#include "fetch/http_object.h"
#include "fetch/http_put.h"
#include "fetch/nonce.h"
#include "fetch/part_plan.h"
#include "fetch/publish_way.h"
#include "fetch/s3_upload.h"
#include "fetch/spool.h"
#include "fetch/store_impl.h"

#define SPOOL_MEMORY (8u << 20) /* bytes; more is a file */
#define STREAM_SIZE  (UINT64_C(8) << 20)
#define REPLAY_SIZE  (1u << 20)

struct http_publication {
	struct publication base;
	struct store *store; /* borrowed */
	struct buf path;     /* of the target */
	char *key;           /* owned */
	struct http_target target;
	char nonce[NONCE_SIZE];
	struct publish_way way;
	struct part_plan plan;

	struct spool *spool;      /* owned; NULL once there is an upload */
	struct s3_upload *upload; /* owned; NULL while all fits into one PUT */
};

static const char *spool_folder(const struct http_publication *p)
{
	return p->store->settings.cache_dir;
}

/* --- writing ----------------------------------------------------------------------- */

static int replay_file(struct http_publication *p, const struct call *call,
	const struct spool *spool, struct error *e)
{
	CLEANUP(cleanup_free) char *block = malloc(REPLAY_SIZE);
	int r = block ? 0 : -ENOMEM;
	uint64_t left = spool_size(spool);
	for (uint64_t at = 0; left && r == 0;) {
		size_t n = left < REPLAY_SIZE ? (size_t)left : REPLAY_SIZE;
		r = pread_exactly(spool_fd(spool), block, n, at);
		if (r < 0)
			break;
		r = s3_upload_write(p->upload, call, block, n, e);
		if (r < 0)
			return r;
		at += n;
		left -= n;
	}
	return r < 0 ? error_set_errno(e, r, "cannot read back what was spooled") : 0;
}

static int replay(struct http_publication *p, const struct call *call, struct error *e)
{
	CLEANUP(cleanup_spool) struct spool *spool = steal_pointer(p->spool);
	if (spool_seal(spool) < 0)
		return error_set_errno(e, -ENOMEM, "cannot upload '%s'", p->key);
	if (spool_data(spool))
		return s3_upload_write(
			p->upload, call, spool_data(spool), (size_t)spool_size(spool), e);
	return replay_file(p, call, spool, e);
}

static int refuse_size(const struct http_publication *p, struct error *e)
{
	return error_set(e, -EOPNOTSUPP,
		"'%s' is larger than the %llu GiB that '%s' takes in one conditional "
		"write",
		p->key, (unsigned long long)(p->way.put_max >> 30), p->target.store);
}

/* It does not fit into one PUT. */
static int begin_upload(
	struct http_publication *p, const struct call *call, struct error *e)
{
	if (!p->way.multipart)
		return refuse_size(p, e);
	const struct s3_upload_options options = {
		.target = &p->target,
		.nonce = p->nonce,
		.spool_folder = spool_folder(p),
		.plan = p->plan,
		.concurrency = p->store->settings.concurrency,
		.sent = &p->base.sent,
	};
	int r = s3_upload_new(&options, call, &p->upload, e);
	return r < 0 ? r : replay(p, call, e);
}

static int publication_write_http(struct publication *base, const struct call *call,
	const void *data, size_t len, struct error *e)
{
	struct http_publication *p = (struct http_publication *)base;
	if (!p->upload && len > p->way.put_max - spool_size(p->spool)) {
		int r = begin_upload(p, call, e);
		if (r < 0)
			return r;
	}
	return p->upload ? s3_upload_write(p->upload, call, data, len, e)
			 : spool_write(p->spool, data, len, e);
}

/* --- the end ------------------------------------------------------------------------ */

/* -EEXIST: there is an object, and *ret tells. */
static int look(const struct http_publication *p, const struct call *call,
	struct publish_result *ret, struct error *e)
{
	bool denied = false;
	struct pin pin;
	struct error why = {0};
	int r = http_stat_object(&p->target, call, &pin, &denied, &why);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		error_copy(e, &why);
		return r;
	}
	*ret = (struct publish_result){ALREADY_PUBLISHED, pin};
	return error_set(
		e, -EEXIST, "'%s' is already published in '%s'", p->key, p->target.store);
}

/* So that a large body is not sent only to be told that a folder is missing. What cannot
 * be made may be there; the PUT will tell. */
static void make_way(const struct http_publication *p, const struct call *call)
{
	if (p->target.make_way && strchr(p->key, '/') && spool_fd(p->spool) >= 0)
		p->target.make_way(&p->target, call, NULL);
}

static int put(struct http_publication *p, const struct call *call,
	const struct digest *identity, struct publish_result *ret, struct error *e)
{
	if (spool_seal(p->spool) < 0)
		return error_set_errno(e, -ENOMEM, "cannot put '%s'", p->key);
	make_way(p, call);
	const struct http_put request = {
		.target = &p->target,
		.if_absent = p->way.put_condition,
		.nonce = p->nonce,
		.identity = identity,
		.data = spool_data(p->spool),
		.fd = spool_fd(p->spool),
		.len = spool_size(p->spool),
		.sha256 = spool_digest(p->spool),
	};
	int r = http_put_object(&request, call, ret, e);
	if (r == 0)
		__atomic_store_n(&p->base.sent, request.len, __ATOMIC_RELAXED);
	return r;
}

static int publication_finish_http(struct publication *base, const struct call *call,
	const struct digest *identity, struct publish_result *ret, struct error *e)
{
	struct http_publication *p = (struct http_publication *)base;
	bool condition = p->upload ? p->way.complete_condition : p->way.put_condition;
	if (p->way.look_first && !condition) {
		struct error why = {0};
		int r = look(p, call, ret, &why);
		if (r == -EEXIST)
			return 0;
		if (r < 0) {
			error_copy(e, &why);
			return r;
		}
	}
	return p->upload ? s3_upload_complete(p->upload, call, condition, ret, e)
			 : put(p, call, identity, ret, e);
}

static void publication_free_http(struct publication *base)
{
	struct http_publication *p = (struct http_publication *)base;
	s3_upload_free(p->upload);
	spool_free(p->spool);
	buf_finish(&p->path);
	free(p->key);
	free(p);
}

static const struct publication_ops publication_ops = {
	.write = publication_write_http,
	.finish = publication_finish_http,
	.free = publication_free_http,
};

/* --- the beginning ------------------------------------------------------------------ */

static int refuse_condition(const struct http_publication *p, struct error *e)
{
	return error_set(e, -EOPNOTSUPP,
		"'%s' does not honour conditional writes, so two writers of '%s' could "
		"overwrite each other unseen",
		p->target.store, p->key);
}

/* Overwriting was accepted, so an unsuccessful question does not stop us. */
static int ask_honour(const struct http_publication *p, const struct call *call,
	enum publish_condition asked, struct probe_answer *ret, struct error *e)
{
	if (asked == PUBLISH_OVERWRITE || probe_known(p->store, ret) == 0)
		return 0;
	struct error why = {0};
	int r = probe_ask(p->store, call, 0, 0, ret, &why);
	bool ended = r == -ECANCELED || r == -ETIMEDOUT;
	if (asked == PUBLISH_UNSAFE_OVERWRITE && !ended)
		return 0;
	if (r < 0)
		error_copy(e, &why);
	return r;
}

static int choose_way(struct http_publication *p, const struct call *call,
	const struct http_publication_options *o, struct error *e)
{
	enum publish_condition asked = o->asked->condition;
	struct probe_answer known = {0};
	int r = ask_honour(p, call, asked, &known, e);
	if (r < 0)
		return r;
	if (publish_way(asked, &known, STREAM_SIZE, &p->way) < 0)
		return refuse_condition(p, e);
	if (!o->multipart) {
		p->way.multipart = false;
		p->way.put_max = UINT64_MAX;
	}
	p->plan = part_plan_for(o->asked->expected_size, o->equal_parts);
	return 0;
}

static int set_up(struct http_publication *p, const struct call *call,
	const struct http_publication_options *o, struct error *e)
{
	p->key = strdup(o->key);
	if (!p->key)
		return error_set_errno(e, -ENOMEM, "cannot publish '%s'", o->key);
	int r = http_target_of(o->root, p->key, &p->path, &p->target, e);
	if (r < 0)
		return r;
	struct publish_result there;
	if (o->asked->condition != PUBLISH_OVERWRITE)
		r = look(p, call, &there, e);
	if (r == 0)
		r = choose_way(p, call, o, e);
	if (r < 0)
		return r;
	p->spool = spool_new(SPOOL_MEMORY, spool_folder(p));
	if (!p->spool)
		r = -ENOMEM;
	if (r == 0)
		r = nonce_new(p->nonce);
	return r < 0 ? error_set_errno(e, r, "cannot publish '%s'", p->key) : 0;
}

int http_publication_begin(const struct http_publication_options *o,
	const struct call *call, struct publication **ret, struct error *e)
{
	struct http_publication *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set_errno(e, -ENOMEM, "cannot publish '%s'", o->key);
	p->base.ops = &publication_ops;
	p->store = o->store;
	p->path = BUF_INIT(HTTP_PATH_MAX);
	int r = set_up(p, call, o, e);
	if (r < 0) {
		publication_free_http(&p->base);
		return r;
	}
	*ret = &p->base;
	return 0;
}
