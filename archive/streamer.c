#include "archive/streamer.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"

enum piece_state { EMPTY, LOADING, READY, FAILED };

/* Room for one piece: number `piece` of the source. */
struct slot {
	enum piece_state state; /* under lock */
	uint64_t piece;         /* under lock */
	unsigned round;         /* under lock: of the streamer, when LOADING was set */
	unsigned char *data;    /* owned; written by whoever set LOADING */
	int code;               /* under lock: why it FAILED */
	struct error why;       /* under lock */
};

struct stream {
	struct streamer *r; /* borrowed */
	pthread_t thread;
	struct cancel cancel;
};

struct streamer {
	struct range_source *source; /* borrowed */
	const struct call *call;     /* borrowed */
	const unsigned char *tail;   /* borrowed */
	uint64_t tail_begin;
	uint64_t position; /* the reader's */
	struct stream streams[STREAMER_STREAMS];
	unsigned started;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t first; /* under lock: piece the reader is at */
	uint64_t next;  /* under lock: piece to be fetched next */
	unsigned round; /* under lock: pieces of earlier ones are of no use any more */
	bool ending;    /* under lock */
	struct slot slots[STREAMER_PIECES];
};

int streamer_new(struct range_source *source, const struct call *call, const void *tail,
	size_t tail_len, struct streamer **ret)
{
	struct streamer *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->source = source;
	r->call = call;
	r->tail = tail;
	r->tail_begin = source->size - tail_len;
	pthread_mutex_init(&r->lock, NULL);
	if (condition_init(&r->changed) < 0) {
		pthread_mutex_destroy(&r->lock);
		free(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

static void stop(struct streamer *r)
{
	pthread_mutex_lock(&r->lock);
	r->ending = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	for (unsigned i = 0; i < r->started; i++)
		cancel_fire(&r->streams[i].cancel);
	for (unsigned i = 0; i < r->started; i++) {
		pthread_join(r->streams[i].thread, NULL);
		cancel_finish(&r->streams[i].cancel);
	}
}

void streamer_free(struct streamer *r)
{
	if (!r)
		return;
	stop(r);
	for (unsigned i = 0; i < STREAMER_PIECES; i++)
		free(r->slots[i].data);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* Bytes of a piece that the tail does not have. */
static size_t piece_len(const struct streamer *r, uint64_t piece)
{
	uint64_t begin = piece * STREAMER_PIECE;
	uint64_t left = begin < r->tail_begin ? r->tail_begin - begin : 0;
	return left < STREAMER_PIECE ? (size_t)left : STREAMER_PIECE;
}

/* Takes the next piece on, if there is one and room for it: NULL at the end. */
static struct slot *take(struct streamer *r)
{
	LOCK_SCOPE(&r->lock);
	for (;;) {
		struct slot *slot = &r->slots[r->next % STREAMER_PIECES];
		if (r->ending)
			return NULL;
		if (r->next < r->first + STREAMER_PIECES && slot->state != LOADING &&
			piece_len(r, r->next)) {
			slot->state = LOADING;
			slot->piece = r->next++;
			slot->round = r->round;
			return slot;
		}
		pthread_cond_wait(&r->changed, &r->lock);
	}
}

static void *run_stream(void *arg)
{
	struct stream *s = arg;
	struct streamer *r = s->r;
	const struct call call = {
		.deadline_ns = r->call->deadline_ns,
		.cancel = &s->cancel,
		.priority = r->call->priority,
	};
	struct slot *slot;
	while ((slot = take(r))) {
		struct error why = {0};
		if (!slot->data)
			slot->data = malloc(STREAMER_PIECE);
		int code = !slot->data
				   ? error_set(&why, -ENOMEM, "no memory to read ahead")
				   : range_source_read(r->source, &call,
					     slot->piece * STREAMER_PIECE,
					     piece_len(r, slot->piece), slot->data, &why);
		LOCK_SCOPE(&r->lock);
		slot->state = code < 0 ? FAILED : READY;
		slot->code = code;
		slot->why = why;
		pthread_cond_broadcast(&r->changed);
	}
	return NULL;
}

static int start(struct streamer *r, struct error *e)
{
	uint64_t pieces = (r->tail_begin + STREAMER_PIECE - 1) / STREAMER_PIECE;
	while (r->started < STREAMER_STREAMS && r->started < pieces) {
		struct stream *s = &r->streams[r->started];
		s->r = r;
		cancel_init(&s->cancel);
		int code = thread_start(&s->thread, run_stream, s);
		if (code < 0) {
			cancel_finish(&s->cancel);
			return r->started ? 0
					  : error_set_errno(
						    e, code, "cannot start a thread");
		}
		r->started++;
	}
	return 0;
}

/* Under lock. */
static void aim(struct streamer *r, uint64_t piece)
{
	if (r->first == piece)
		return;
	if (piece < r->first || piece >= r->next) {
		r->next = piece;
		r->round++;
	}
	r->first = piece;
	pthread_cond_broadcast(&r->changed);
}

/* Under lock. A piece of an earlier round may be there, but will be written once more. */
static bool is_loaded(const struct streamer *r, const struct slot *slot, uint64_t piece)
{
	return slot->piece == piece && slot->round == r->round &&
	       (slot->state == READY || slot->state == FAILED);
}

static int wait_for(
	struct streamer *r, uint64_t piece, const struct slot **ret, struct error *e)
{
	const struct slot *slot = &r->slots[piece % STREAMER_PIECES];
	int code = 0;
	call_attach(r->call, &r->lock, &r->changed);
	pthread_mutex_lock(&r->lock);
	aim(r, piece);
	while (code == 0 && !is_loaded(r, slot, piece))
		code = call_wait(r->call, &r->lock, &r->changed);
	if (code < 0) {
		error_set(e, code, "gave up reading ahead");
	} else if (slot->state == FAILED) {
		code = slot->code;
		error_copy(e, &slot->why);
	}
	pthread_mutex_unlock(&r->lock);
	call_detach(r->call);
	*ret = slot;
	return code;
}

int streamer_next(struct streamer *r, const void **ret, size_t *ret_len, struct error *e)
{
	if (r->position >= r->tail_begin) {
		*ret = r->tail + (r->position - r->tail_begin);
		*ret_len = (size_t)(r->source->size - r->position);
		r->position = r->source->size;
		return 0;
	}
	uint64_t piece = r->position / STREAMER_PIECE;
	size_t within = (size_t)(r->position % STREAMER_PIECE);
	const struct slot *slot = NULL;
	int code = r->started ? 0 : start(r, e);
	if (code == 0)
		code = wait_for(r, piece, &slot, e);
	if (code < 0)
		return code;
	*ret = slot->data + within;
	*ret_len = piece_len(r, piece) - within;
	r->position += *ret_len;
	return 0;
}

void streamer_seek(struct streamer *r, uint64_t offset)
{
	r->position = offset;
}

uint64_t streamer_position(const struct streamer *r)
{
	return r->position;
}
