#include "archive/readahead.h"

#include "archive/surroundings.h"

#define STREAMS        8
#define UNIT           ((uint64_t)256 << 10) /* bytes stored: the smallest window */
#define RANGE_MIN      ((uint64_t)512 << 10)
#define RANGE_MAX      ((uint64_t)4 << 20)
#define GUESS_MIN      ((uint64_t)256 << 10)
#define GUESS_MAX      ((uint64_t)512 << 10)
#define CREDIT_MOST    ((uint64_t)4 << 20) /* guessed for one miss */
#define GUESS_ROOM     ((uint64_t)1 << 30) /* several times what is guessed in vain */
#define BULK_RANGE_MIN ((uint64_t)1 << 20)
#define BULK_RANGE_MAX ((uint64_t)4 << 20)
#define SURE           256
#define SLACK          2  /* frames that two readers of one stream may be apart */
#define DOUBTFUL       64 /* below this confidence, nothing is guessed at first */

enum mark { TOUCHED = 1, AHEAD = 2, BULK = 4, GUESSED = 8, PART = 16 };

struct stream {
	uint64_t used;   /* by the clock; 0: free */
	uint32_t last;   /* frame touched last */
	uint32_t end;    /* what lies between is wanted */
	uint64_t window; /* bytes stored */
};

struct readahead {
	struct readahead_shape shape;
	uint8_t *marks; /* owned; enum mark a frame */
	struct stream streams[STREAMS];
	struct surroundings around;
	uint64_t room;  /* bytes that are kept of what passes the source */
	uint64_t clock; /* counts touches */
	uint64_t faded_at_ns;
	uint32_t bulk_at;   /* where to go on */
	uint32_t bulk_left; /* frames not looked at yet */
	bool paused;
	struct readahead_stats stats;
};

struct readahead *readahead_new(const struct readahead_shape *shape)
{
	struct readahead *ra = calloc(1, sizeof(*ra));
	if (!ra)
		return NULL;
	ra->shape = *shape;
	ra->stats.confidence = SURE / 2;
	surroundings_init(&ra->around);
	ra->marks = calloc((size_t)shape->frames + 1, 1);
	if (!ra->marks) {
		free(ra);
		return NULL;
	}
	return ra;
}

void readahead_free(struct readahead *ra)
{
	if (!ra)
		return;
	free(ra->marks);
	free(ra);
}

void readahead_tell_part(struct readahead *ra, uint32_t frame)
{
	ra->marks[frame] |= PART;
}

void readahead_tell_memory(struct readahead *ra, size_t memory)
{
	ra->shape.memory = memory;
}

static uint64_t total(const struct readahead *ra)
{
	return ra->shape.offsets[ra->shape.frames];
}

static uint64_t stored(const struct readahead *ra, uint32_t first, uint32_t end)
{
	return ra->shape.offsets[end] - ra->shape.offsets[first];
}

static uint64_t decoded(const struct readahead *ra, uint32_t first, uint32_t end)
{
	return ra->shape.places[end] - ra->shape.places[first];
}

static uint64_t clamp(uint64_t v, uint64_t least, uint64_t most)
{
	if (v > most)
		return most;
	return v < least ? least : v;
}

/* Bytes that arrive on one connection while one round trip passes. */
static uint64_t bytes_per_trip(const struct link_facts *link)
{
	double bytes = (double)link->round_trip_ns * (double)link->bytes_per_s / 1e9;
	return bytes < 1e12 ? (uint64_t)bytes : (uint64_t)1e12;
}

/* Bytes that the frames ahead of one stream may take: there may be several streams. */
static uint64_t share_of_memory(const struct readahead *ra)
{
	return ra->shape.memory / 4;
}

/* Twice what all connections hold. What is stored decodes to hardly less. */
static uint64_t most_window(const struct readahead *ra, const struct link_facts *link)
{
	uint64_t memory = share_of_memory(ra);
	uint64_t pipe = 2 * bytes_per_trip(link) * link->concurrency;
	return pipe < memory ? clamp(pipe, 4 * UNIT, memory) : memory;
}

static bool fits_ahead(const struct readahead *ra, const struct stream *s, uint32_t end)
{
	uint32_t next = s->last + 1;
	return stored(ra, next, end) <= s->window &&
	       (end == next + 1 || decoded(ra, next, end) <= share_of_memory(ra));
}

/* Moves the end so that a window lies ahead, but not for every little step, so that
 * wishes are worth a request. */
static bool want_window(struct readahead *ra, struct stream *s)
{
	uint32_t next = s->last + 1;
	if (s->end < next)
		s->end = next;
	if (stored(ra, next, s->end) > s->window / 2 ||
		decoded(ra, next, s->end) > share_of_memory(ra) / 2)
		return false;
	uint32_t before = s->end;
	while (s->end < ra->shape.frames && fits_ahead(ra, s, s->end + 1))
		s->end++;
	return s->end > before;
}

/* What was wished for ahead of a stream and left lying: may be wished for again. */
static uint32_t forget(struct readahead *ra, uint32_t first, uint32_t end)
{
	uint32_t wrong = 0;
	for (uint32_t i = first; i < end; i++) {
		if ((ra->marks[i] & (AHEAD | TOUCHED)) != AHEAD)
			continue;
		ra->marks[i] &= (uint8_t)~AHEAD;
		wrong++;
	}
	return wrong;
}

static void guessed_right(struct readahead *ra)
{
	ra->stats.right++;
	ra->stats.confidence += (SURE - ra->stats.confidence + 7) / 8;
}

static void guessed_wrong(struct readahead *ra)
{
	ra->stats.confidence -= (ra->stats.confidence + 3) / 4;
}

static struct stream *find_stream(struct readahead *ra, uint32_t first)
{
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &ra->streams[i];
		if (s->used && first + SLACK >= s->last && first <= s->end)
			return s;
	}
	return NULL;
}

static struct stream *begin_stream(struct readahead *ra, uint32_t last)
{
	struct stream *s = &ra->streams[0];
	for (size_t i = 1; i < STREAMS; i++)
		if (ra->streams[i].used < s->used)
			s = &ra->streams[i];
	if (s->used && forget(ra, s->last + 1, s->end))
		guessed_wrong(ra);
	unsigned confidence = ra->stats.confidence;
	*s = (struct stream){.last = last, .end = last + 1};
	if (confidence >= DOUBTFUL)
		s->window = UNIT * (confidence / DOUBTFUL);
	return s;
}

static void advance(struct readahead *ra, struct stream *s, const struct link_facts *link,
	uint32_t first, uint32_t last)
{
	uint32_t skipped = first > s->last + 1 ? first - s->last - 1 : 0;
	if (skipped > 1) {
		s->window /= 2;
		if (forget(ra, s->last + 1, first))
			guessed_wrong(ra);
	} else {
		s->window = s->window ? s->window * 2 : UNIT;
	}
	uint64_t most = most_window(ra, link);
	if (s->window > most)
		s->window = most;
	s->last = last;
}

static bool follow(struct readahead *ra, const struct link_facts *link, uint32_t first,
	uint32_t last)
{
	struct stream *s = find_stream(ra, first);
	if (!s)
		s = begin_stream(ra, last);
	else if (last > s->last)
		advance(ra, s, link, first, last);
	s->used = ++ra->clock;
	return want_window(ra, s);
}

static void mark_touched(struct readahead *ra, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		if (ra->marks[i] & TOUCHED)
			continue;
		ra->stats.touched += stored(ra, i, i + 1);
		if (ra->marks[i] & AHEAD)
			guessed_right(ra);
		if (ra->marks[i] & GUESSED) {
			ra->stats.right++;
			surroundings_right(&ra->around);
		}
		ra->marks[i] |= TOUCHED;
	}
}

/* How long reading all that is left takes with every connection, in ns. */
static uint64_t price_of_rest(const struct readahead *ra, const struct link_facts *link)
{
	double rate =
		(double)link->bytes_per_s * (link->concurrency ? link->concurrency : 1);
	double ns = (double)(total(ra) - ra->stats.touched) / rate * 1e9;
	return link->round_trip_ns + (ns < 1e17 ? (uint64_t)ns : (uint64_t)1e17);
}

static void fade(struct readahead *ra, uint64_t now_ns, uint64_t half_life)
{
	while (ra->stats.waited_ns && now_ns > ra->faded_at_ns &&
		now_ns - ra->faded_at_ns >= half_life) {
		ra->stats.waited_ns /= 2;
		ra->faded_at_ns += half_life;
	}
	if (!ra->stats.waited_ns)
		ra->faded_at_ns = now_ns;
}

static bool fits_into_memory(const struct readahead *ra)
{
	return decoded(ra, 0, ra->shape.frames) <= ra->shape.memory;
}

static bool source_keeps_all(const struct readahead *ra)
{
	return total(ra) <= ra->room;
}

static bool source_keeps_guesses(const struct readahead *ra)
{
	return source_keeps_all(ra) || ra->room >= GUESS_ROOM;
}

static bool bulk_is_possible(const struct readahead *ra)
{
	return source_keeps_all(ra) || fits_into_memory(ra);
}

static bool guess_is_possible(const struct readahead *ra)
{
	return source_keeps_guesses(ra) || fits_into_memory(ra);
}

bool readahead_tell_room(struct readahead *ra, uint64_t bytes)
{
	bool more = bytes > ra->room;
	ra->room = bytes;
	return more;
}

void readahead_want_all(struct readahead *ra)
{
	if (ra->stats.bulk || !bulk_is_possible(ra))
		return;
	ra->stats.bulk = true;
	ra->bulk_left = ra->shape.frames;
}

static void consider_bulk(struct readahead *ra, const struct link_facts *link,
	uint64_t now_ns, uint64_t waited_ns)
{
	if (ra->stats.bulk)
		return;
	uint64_t price = price_of_rest(ra, link);
	fade(ra, now_ns, 4 * price);
	ra->stats.waited_ns += waited_ns;
	double part = 8 * (double)ra->stats.touched / (double)(total(ra) + 1);
	if ((double)ra->stats.waited_ns * (part < 1 ? part : 1) >= (double)price)
		readahead_want_all(ra);
}

bool readahead_miss(struct readahead *ra, const struct link_facts *link, uint32_t first,
	uint32_t count)
{
	if (ra->stats.bulk || ra->paused || !guess_is_possible(ra))
		return false;
	uint64_t credit = clamp(bytes_per_trip(link) * link->concurrency, 0, CREDIT_MOST);
	/* Pieces of large files do not help who reads the small ones between them. */
	uint8_t avoid = ra->marks[first] & PART ? 0 : PART;
	surroundings_miss(&ra->around, first, first + count, credit, avoid);
	return true;
}

bool readahead_touch(struct readahead *ra, const struct link_facts *link, uint64_t now_ns,
	uint32_t first, uint32_t count, uint64_t waited_ns)
{
	bool more = ra->paused, bulk = ra->stats.bulk;
	ra->paused = false;
	mark_touched(ra, first, count);
	more |= follow(ra, link, first, first + count - 1);
	if (!bulk)
		ra->bulk_at = first + count;
	consider_bulk(ra, link, now_ns, waited_ns);
	return more || ra->stats.bulk != bulk;
}

/* As many neighbours from `first` as bear none of `marks` and make up one range. */
static uint32_t take(struct readahead *ra, uint32_t first, uint32_t end, uint64_t range,
	uint8_t marks, enum mark mark)
{
	uint32_t at = first;
	while (at < end && !(ra->marks[at] & marks) &&
		(at == first || stored(ra, first, at + 1) <= range))
		ra->marks[at++] |= (uint8_t)mark;
	if (mark == AHEAD)
		ra->stats.wished += at - first;
	return at - first;
}

static bool wish_for_stream(struct readahead *ra, const struct stream *s, uint64_t range,
	struct readahead_wish *ret)
{
	for (uint32_t i = s->last + 1; i < s->end; i++) {
		uint32_t n = take(ra, i, s->end, range, TOUCHED | AHEAD, AHEAD);
		if (!n)
			continue;
		*ret = (struct readahead_wish){.first = i, .count = n, .decode = true};
		return true;
	}
	return false;
}

/* Bytes that pass the source need no memory. */
static bool wish_for_surroundings(
	struct readahead *ra, const struct link_facts *link, struct readahead_wish *ret)
{
	const struct surroundings_map map = {
		.offsets = ra->shape.offsets,
		.frames = ra->shape.frames,
		.marks = ra->marks,
		.taken = TOUCHED | AHEAD | BULK | GUESSED,
	};
	uint64_t range = clamp(bytes_per_trip(link), GUESS_MIN, GUESS_MAX);
	if (!guess_is_possible(ra) ||
		!surroundings_next(&ra->around, &map, range, &ret->first, &ret->count))
		return false;
	for (uint32_t i = 0; i < ret->count; i++)
		ra->marks[ret->first + i] |= GUESSED;
	ra->stats.wished += ret->count;
	ret->decode = !source_keeps_guesses(ra);
	return true;
}

/* Streams in the order of their last use, the newest first. */
static bool wish_for_streams(
	struct readahead *ra, const struct link_facts *link, struct readahead_wish *ret)
{
	uint64_t range = clamp(bytes_per_trip(link), RANGE_MIN, RANGE_MAX);
	uint64_t before = UINT64_MAX;
	for (;;) {
		const struct stream *newest = NULL;
		for (size_t i = 0; i < STREAMS; i++) {
			const struct stream *s = &ra->streams[i];
			if (s->used && s->used < before &&
				(!newest || s->used > newest->used))
				newest = s;
		}
		if (!newest)
			return false;
		if (wish_for_stream(ra, newest, range, ret))
			return true;
		before = newest->used;
	}
}

/* Long enough to spend most of the time on bytes, short enough that all connections have
 * something to do to the end. */
static uint64_t bulk_range(const struct readahead *ra, const struct link_facts *link)
{
	uint64_t share = total(ra) / (link->concurrency ? 2 * link->concurrency : 2);
	uint64_t range = 4 * bytes_per_trip(link);
	return clamp(range < share ? range : share, BULK_RANGE_MIN, BULK_RANGE_MAX);
}

/* From where the last touch was to the end, and then from the beginning. */
static bool wish_for_bulk(
	struct readahead *ra, const struct link_facts *link, struct readahead_wish *ret)
{
	uint64_t range = bulk_range(ra, link);
	while (ra->bulk_left) {
		if (ra->bulk_at >= ra->shape.frames)
			ra->bulk_at = 0;
		uint32_t end = ra->shape.frames;
		if (end - ra->bulk_at > ra->bulk_left)
			end = ra->bulk_at + ra->bulk_left;
		uint32_t first = ra->bulk_at;
		uint32_t n = take(
			ra, first, end, range, TOUCHED | AHEAD | BULK | GUESSED, BULK);
		ra->bulk_at += n ? n : 1;
		ra->bulk_left -= n ? n : 1;
		if (!n)
			continue;
		*ret = (struct readahead_wish){
			.first = first, .count = n, .decode = !source_keeps_all(ra)};
		return true;
	}
	return false;
}

bool readahead_next(
	struct readahead *ra, const struct link_facts *link, struct readahead_wish *ret)
{
	if (ra->paused)
		return false;
	return wish_for_streams(ra, link, ret) || wish_for_surroundings(ra, link, ret) ||
	       (ra->stats.bulk && bulk_is_possible(ra) && wish_for_bulk(ra, link, ret));
}

/* A bulk that was under way looks at everything once more. */
void readahead_failed(struct readahead *ra, const struct readahead_wish *wish)
{
	ra->paused = true;
	for (uint32_t i = wish->first; i < wish->first + wish->count; i++)
		ra->marks[i] &= (uint8_t) ~(AHEAD | BULK | GUESSED);
	if (ra->stats.bulk)
		ra->bulk_left = ra->shape.frames;
}

void readahead_stats(const struct readahead *ra, struct readahead_stats *ret)
{
	*ret = ra->stats;
}
