#include "archive/prefetcher.h"

#include <signal.h>

#include "archive/audience.h"
#include "archive/format.h"
#include "fetch/base/lock.h"

#define THREADS_MAX 64

/* A thread of the pool. */
struct worker {
	struct prefetcher *pool;    /* borrowed */
	struct prefetching *at;     /* whose wish it reads; NULL: none; under lock */
	struct readahead_wish wish; /* written under lock */
	struct cancel cancel;       /* of that wish; made anew, under lock, for each */
	pthread_t thread;
};

struct prefetching {
	struct prefetcher *pool; /* borrowed, like reader */
	struct reader *reader;
	struct prefetch_options options;
	struct reader_observer observer;
	struct readahead *policy;        /* owned; under lock */
	struct prefetching *next, *prev; /* in the pool's ring; under lock */
	unsigned at_work;                /* workers; under lock */
	struct ticket ticket;            /* for the pool's audience; under lock */
	bool ended;                      /* no more wishes; under lock */
};

struct prefetcher {
	pthread_mutex_t lock;     /* guards the rest; before cancel.lock */
	pthread_cond_t wished;    /* there may be a wish, or it is over */
	pthread_cond_t rested;    /* a worker has put down its wish */
	struct prefetching *turn; /* whose turn it is in the ring; NULL: it is empty */
	bool stop;
	size_t memory; /* of all that lies ahead */
	struct audience audience;
	unsigned threads;
	struct worker workers[THREADS_MAX];
};

static struct link_facts link_of(const struct prefetching *f)
{
	struct link_facts link;
	reader_link(f->reader, &link);
	link.concurrency = f->pool->threads;
	return link;
}

/* Under lock. True when that may make it wish for more. */
static bool tell_room(struct prefetching *f)
{
	const struct prefetch_options *o = &f->options;
	return o->room && readahead_tell_room(f->policy, o->room(o->arg));
}

/* Under lock. */
static void tell_memory(struct prefetching *f)
{
	size_t share = f->pool->memory / audience_size(&f->pool->audience);
	size_t most = f->options.memory;
	readahead_tell_memory(f->policy, share < most ? share : most);
}

static bool wishes(struct prefetching *f, struct readahead_wish *ret)
{
	struct link_facts link = link_of(f);
	if (f->ended)
		return false;
	tell_room(f);
	tell_memory(f);
	return readahead_next(f->policy, &link, ret);
}

/* Under lock: the next one that wishes for something, beginning with whose turn it is. */
static struct prefetching *find_wish(struct prefetcher *p, struct readahead_wish *ret)
{
	struct prefetching *f = p->turn;
	if (!f)
		return NULL;
	do {
		if (wishes(f, ret)) {
			p->turn = f->next;
			return f;
		}
		f = f->next;
	} while (f != p->turn);
	return NULL;
}

/* Waits for a wish and takes it up. NULL: the pool ends. */
static struct prefetching *take_wish(struct worker *w)
{
	struct prefetcher *p = w->pool;
	LOCK_SCOPE(&p->lock);
	struct prefetching *f;
	while (!p->stop && !(f = find_wish(p, &w->wish)))
		pthread_cond_wait(&p->wished, &p->lock);
	if (p->stop)
		return NULL;
	cancel_init(&w->cancel);
	w->at = f;
	f->at_work++;
	/* There may be more, for the next thread. */
	pthread_cond_signal(&p->wished);
	return f;
}

static void put_down(struct worker *w, struct prefetching *f, int code)
{
	struct prefetcher *p = w->pool;
	LOCK_SCOPE(&p->lock);
	if (code < 0)
		readahead_failed(f->policy, &w->wish);
	f->at_work--;
	w->at = NULL;
	cancel_finish(&w->cancel);
	pthread_cond_broadcast(&p->rested);
}

/* The next frames of [*at, end) that are not on disk. False: none. */
static bool next_missing(
	const struct prefetching *f, uint32_t *at, uint32_t end, uint32_t *ret_count)
{
	bool (*on_disk)(void *, uint32_t) = f->options.on_disk;
	while (on_disk && *at < end && on_disk(f->options.arg, *at))
		++*at;
	uint32_t stop = *at;
	while (stop < end && !(on_disk && on_disk(f->options.arg, stop)))
		stop++;
	*ret_count = stop - *at;
	return stop > *at;
}

/* Reads what nobody else is reading of [*at, *at + count), and moves on. What another
 * process fails to bring is left to whoever will want it. */
static int read_claimed(
	struct prefetching *f, const struct call *call, uint32_t *at, uint32_t count)
{
	const struct prefetch_options *o = &f->options;
	uint32_t first = *at, busy = 0;
	uint32_t mine = o->claim ? o->claim(o->arg, first, count, &busy) : count;
	*at += mine + busy;
	if (!mine)
		return 0;
	int r = reader_prefetch(f->reader, call, first, mine, false, NULL);
	if (o->claim)
		o->unclaim(o->arg, first, mine);
	return r;
}

static int read_wish(
	struct prefetching *f, struct cancel *cancel, const struct readahead_wish *wish)
{
	uint64_t now = clock_monotonic_ns(), patience = f->options.patience_ns;
	struct call call = {
		.deadline_ns =
			patience < DEADLINE_NONE - now ? now + patience : DEADLINE_NONE,
		.cancel = cancel,
		.priority = PRIORITY_PREFETCH,
	};
	if (wish->decode)
		return reader_prefetch(
			f->reader, &call, wish->first, wish->count, true, NULL);
	uint32_t at = wish->first, end = wish->first + wish->count, count;
	int r = 0;
	while (r == 0 && next_missing(f, &at, end, &count))
		r = read_claimed(f, &call, &at, count);
	return r;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct prefetching *f;
	while ((f = take_wish(w)))
		put_down(w, f, read_wish(f, &w->cancel, &w->wish));
	return NULL;
}

static int start_threads(struct prefetcher *p, unsigned threads)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->threads < threads) {
		struct worker *w = &p->workers[p->threads];
		w->pool = p;
		if (pthread_create(&w->thread, NULL, work, w) != 0)
			break;
		p->threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return p->threads ? 0 : -EAGAIN;
}

int prefetcher_new(
	unsigned threads, size_t memory, struct prefetcher **ret, struct error *e)
{
	struct prefetcher *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, -ENOMEM, "no memory for prefetching");
	p->memory = memory;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wished, NULL);
	pthread_cond_init(&p->rested, NULL);
	int r = start_threads(p, threads < THREADS_MAX ? threads : THREADS_MAX);
	if (r < 0) {
		prefetcher_free(p);
		return error_set(e, r, "no thread to be had for prefetching");
	}
	*ret = p;
	return 0;
}

void prefetcher_free(struct prefetcher *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wished);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->workers[i].thread, NULL);
	pthread_cond_destroy(&p->wished);
	pthread_cond_destroy(&p->rested);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

unsigned prefetcher_threads(const struct prefetcher *p)
{
	return p->threads;
}

/* Frames on disk need no round trip. */
static void see_miss(void *arg, uint32_t first, uint32_t count)
{
	struct prefetching *f = arg;
	uint32_t at = first, missing;
	if (!next_missing(f, &at, first + count, &missing))
		return;
	struct link_facts link = link_of(f);
	LOCK_SCOPE(&f->pool->lock);
	bool more = tell_room(f);
	if (readahead_miss(f->policy, &link, at, missing) || more)
		pthread_cond_signal(&f->pool->wished);
}

static bool reads(const struct worker *w, const struct prefetching *f, uint32_t frame)
{
	return w->at == f && frame >= w->wish.first &&
	       frame - w->wish.first < w->wish.count;
}

/* Who brings the frame shall not queue behind demands for others. */
static void see_wait(void *arg, uint32_t frame)
{
	struct prefetching *f = arg;
	struct prefetcher *p = f->pool;
	LOCK_SCOPE(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		if (reads(&p->workers[i], f, frame))
			cancel_hurry(&p->workers[i].cancel);
}

static void see_demand(void *arg, uint32_t first, uint32_t count, uint64_t waited_ns)
{
	struct prefetching *f = arg;
	uint64_t now = clock_monotonic_ns();
	struct link_facts link = link_of(f);
	LOCK_SCOPE(&f->pool->lock);
	audience_count(&f->pool->audience, &f->ticket);
	tell_memory(f);
	bool more = tell_room(f);
	if (readahead_touch(f->policy, &link, now, first, count, waited_ns) || more)
		pthread_cond_signal(&f->pool->wished);
}

/* Under lock. */
static void join_ring(struct prefetcher *p, struct prefetching *f)
{
	if (!p->turn) {
		p->turn = f->next = f->prev = f;
		return;
	}
	f->next = p->turn;
	f->prev = p->turn->prev;
	f->prev->next = f->next->prev = f;
}

static void leave_ring(struct prefetcher *p, struct prefetching *f)
{
	f->prev->next = f->next;
	f->next->prev = f->prev;
	if (p->turn == f)
		p->turn = f->next != f ? f->next : NULL;
}

/* Frames that are longer than any frame of small files. */
static void tell_parts(struct readahead *policy, const struct index *ix)
{
	uint32_t stored, raw;
	for (uint32_t i = 0; i < index_frame_count(ix); i++) {
		index_frame_sizes(ix, i, &stored, &raw);
		if (raw > FRAME_MAX)
			readahead_tell_part(policy, i);
	}
}

int prefetching_begin(struct prefetcher *p, struct reader *r,
	const struct prefetch_options *options, struct prefetching **ret)
{
	const struct index *ix = archive_index(reader_archive(r));
	const struct readahead_shape shape = {
		.frames = index_frame_count(ix),
		.offsets = index_frame_offsets(ix),
		.places = index_frame_places(ix),
		.memory = options->memory,
	};
	struct prefetching *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct prefetching){.pool = p, .reader = r, .options = *options};
	f->policy = readahead_new(&shape);
	if (!f->policy) {
		free(f);
		return -ENOMEM;
	}
	tell_parts(f->policy, ix);
	tell_room(f);
	if (options->all)
		readahead_want_all(f->policy);
	f->observer = (struct reader_observer){see_miss, see_wait, see_demand, f};
	reader_observe(r, &f->observer);
	LOCK_SCOPE(&p->lock);
	join_ring(p, f);
	pthread_cond_signal(&p->wished);
	*ret = f;
	return 0;
}

void prefetching_end(struct prefetching *f)
{
	if (!f)
		return;
	struct prefetcher *p = f->pool;
	reader_observe(f->reader, NULL);
	pthread_mutex_lock(&p->lock);
	f->ended = true;
	for (unsigned i = 0; i < p->threads; i++)
		if (p->workers[i].at == f)
			cancel_fire(&p->workers[i].cancel);
	while (f->at_work)
		pthread_cond_wait(&p->rested, &p->lock);
	leave_ring(p, f);
	pthread_mutex_unlock(&p->lock);
	readahead_free(f->policy);
	free(f);
}

void prefetching_stats(struct prefetching *f, struct readahead_stats *ret)
{
	LOCK_SCOPE(&f->pool->lock);
	readahead_stats(f->policy, ret);
}
