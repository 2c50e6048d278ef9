#include "archive/unpack_plan.h"

#include <sys/stat.h>

#include "fetch/base/vec.h"

/* Enough to hide a round trip, little enough that every thread soon has work. */
#define UNPACK_RUN_BYTES (4u << 20)

/* Frames of headers alone, as large files have before their contents: to fetch so many
 * bytes of them costs less than another request. */
#define UNPACK_GAP_BYTES (64u << 10)

DEFINE_VEC(file_vec, uint32_t);
DEFINE_VEC(run_vec, struct unpack_run);

struct planner {
	const struct index *ix;
	struct file_vec files;
	struct run_vec runs;
	struct unpack_plan plan;
};

static void planner_finish(struct planner *p)
{
	file_vec_finish(&p->files);
	run_vec_finish(&p->runs);
	unpack_plan_finish(&p->plan);
}

void unpack_plan_finish(struct unpack_plan *p)
{
	free(p->files);
	free(p->runs);
	while (p->shared) {
		struct unpack_shared *s = p->shared;
		p->shared = s->next;
		free(s);
	}
	*p = (struct unpack_plan){0};
}

static bool fits(const struct planner *p, const struct unpack_run *run, uint32_t frame)
{
	uint32_t end = run->first_frame + run->frame_count;
	if (!run->frame_count || frame == end - 1)
		return true;
	const uint64_t *offsets = index_frame_offsets(p->ix);
	return offsets[frame] - offsets[end] <= UNPACK_GAP_BYTES &&
	       offsets[frame + 1] - offsets[run->first_frame] <= UNPACK_RUN_BYTES;
}

static struct unpack_run *last_run(struct planner *p)
{
	return p->runs.len ? &p->runs.data[p->runs.len - 1] : NULL;
}

static struct unpack_run *open_run(struct planner *p, size_t file)
{
	struct unpack_run run = {.first_file = file, .end_file = file};
	return run_vec_push(&p->runs, run) < 0 ? NULL : last_run(p);
}

/* The file goes on in a new run; *shared is its record, made at the first time. */
static int split_file(struct planner *p, size_t file, struct unpack_shared **shared)
{
	if (!*shared) {
		struct unpack_shared *s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->entry = p->files.data[file];
		s->next = p->plan.shared;
		atomic_init(&s->left, 1);
		p->plan.shared = s;
		*shared = s;
	}
	last_run(p)->tail = *shared;
	if (!open_run(p, file))
		return -ENOMEM;
	last_run(p)->head = *shared;
	atomic_fetch_add(&(*shared)->left, 1);
	return 0;
}

static int place_frame(struct planner *p, size_t file, uint32_t frame, bool first,
	struct unpack_shared **shared)
{
	struct unpack_run *run = last_run(p);
	int r = 0;
	if (run && !fits(p, run, frame)) {
		if (!first)
			r = split_file(p, file, shared);
		else if (!open_run(p, file))
			r = -ENOMEM;
	} else if (!run && !open_run(p, file)) {
		r = -ENOMEM;
	}
	if (r < 0)
		return r;
	run = last_run(p);
	if (!run->frame_count)
		run->first_frame = frame;
	run->frame_count = frame + 1 - run->first_frame;
	run->end_file = file + 1;
	return 0;
}

static int place_file(struct planner *p, size_t file, uint64_t place, uint64_t size)
{
	if (!size) {
		struct unpack_run *run = last_run(p);
		if (!run && !(run = open_run(p, file)))
			return -ENOMEM;
		run->end_file = file + 1;
		return 0;
	}
	uint64_t begin;
	uint32_t first = index_frame_at(p->ix, place, &begin);
	uint32_t last = index_frame_at(p->ix, place + size - 1, &begin);
	struct unpack_shared *shared = NULL;
	for (uint32_t frame = first; frame <= last; frame++) {
		int r = place_frame(p, file, frame, frame == first, &shared);
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect_files(struct planner *p)
{
	uint32_t entry = 0;
	do {
		if (S_ISREG(index_mode(p->ix, entry)) &&
			index_primary(p->ix, entry) == entry) {
			int r = file_vec_push(&p->files, entry);
			if (r < 0)
				return r;
		}
		entry = index_next(p->ix, entry);
	} while (entry);
	return 0;
}

static int compare_places(const void *a, const void *b, void *ix)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint64_t at_x = index_place(ix, x), at_y = index_place(ix, y);
	if (at_x != at_y)
		return at_x < at_y ? -1 : 1;
	return (x > y) - (x < y);
}

/* Entries of a foreign archive come in another order than their contents. */
static void sort_files(struct planner *p)
{
	if (!index_in_tar_order(p->ix) && p->files.len)
		qsort_r(p->files.data, p->files.len, sizeof(p->files.data[0]),
			compare_places, (void *)p->ix);
}

/* Puts the next file into runs; *end is where the contents before it end. */
static int plan_file(struct planner *p, size_t file, uint64_t *end)
{
	struct entry_info info;
	uint32_t entry = p->files.data[file];
	index_info(p->ix, entry, &info);
	uint64_t place = index_place(p->ix, entry);
	if (info.size && place < *end)
		return -EBADMSG;
	if (info.size)
		*end = place + info.size;
	p->plan.bytes += info.size;
	return place_file(p, file, place, info.size);
}

int unpack_plan_make(const struct index *ix, struct unpack_plan *ret)
{
	CLEANUP(planner_finish) struct planner p = {.ix = ix};
	uint64_t end = 0;
	int r = collect_files(&p);
	if (r == 0)
		sort_files(&p);
	for (size_t i = 0; r == 0 && i < p.files.len; i++)
		r = plan_file(&p, i, &end);
	if (r < 0)
		return r;
	*ret = p.plan;
	ret->files = steal_pointer(p.files.data);
	ret->file_count = p.files.len;
	ret->runs = steal_pointer(p.runs.data);
	ret->run_count = p.runs.len;
	p.plan = (struct unpack_plan){0};
	return 0;
}
