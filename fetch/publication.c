#include "fetch/publication.h"

#include "fetch/key.h"
#include "fetch/store_impl.h"

int publication_begin(struct store *s, const struct call *call, const char *key,
	const struct publish_options *options, struct publication **ret, struct error *e)
{
	int r = key_check(key, e);
	return r < 0 ? r : s->ops->publish(s, call, key, options, ret, e);
}

/* What a write that failed has left is not the object. */
static int check_unbroken(const struct publication *p, struct error *e)
{
	return p->failure ? error_set_errno(e, p->failure, "a write failed before") : 0;
}

int publication_write(struct publication *p, const struct call *call, const void *data,
	size_t len, struct error *e)
{
	int r = check_unbroken(p, e);
	if (r < 0)
		return r;
	r = p->ops->write(p, call, data, len, e);
	if (r == 0)
		__atomic_add_fetch(&p->written, len, __ATOMIC_RELAXED);
	else
		p->failure = r;
	return r;
}

int publication_finish(struct publication *p, const struct call *call,
	const struct digest *identity, struct publish_result *ret, struct error *e)
{
	int r = check_unbroken(p, e);
	return r < 0 ? r : p->ops->finish(p, call, identity, ret, e);
}

void publication_progress(
	const struct publication *p, uint64_t *ret_written, uint64_t *ret_sent)
{
	*ret_written = __atomic_load_n(&p->written, __ATOMIC_RELAXED);
	*ret_sent = __atomic_load_n(&p->sent, __ATOMIC_RELAXED);
}

void publication_free(struct publication *p)
{
	if (p)
		p->ops->free(p);
}
