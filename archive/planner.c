#include "archive/planner.h"

#include <errno.h>

#include "archive/format.h"
#include "fetch/base/bytes.h"

void planner_init(struct planner *p, const struct tree *tree, const char *top, bool owner)
{
	*p = (struct planner){.tree = tree, .top = top, .owner = owner};
	member_init(&p->member);
}

void planner_finish(struct planner *p)
{
	member_finish(&p->member);
	frame_plan_vec_finish(&p->ready);
}

static int emit(struct planner *p, const struct frame_plan *plan)
{
	if (p->frames == FRAME_COUNT_LIMIT)
		return -E2BIG;
	p->frames++;
	return frame_plan_vec_push(&p->ready, *plan);
}

static int end_running(struct planner *p)
{
	int r = p->running.count ? emit(p, &p->running) : 0;
	p->running = (struct frame_plan){0};
	return r;
}

/* Puts the member's headers, and `content` bytes of it, into the running frame. */
static void extend_running(
	struct planner *p, uint32_t entry, uint64_t header_len, uint64_t content)
{
	if (!p->running.count)
		p->running = (struct frame_plan){.kind = PLAN_MEMBERS, .first = entry};
	p->running.count++;
	p->running.raw += (uint32_t)(header_len + content + tar_padding(content));
	p->running.content += content;
}

/* The last piece takes the padding along. */
static int plan_large(struct planner *p, uint32_t entry, uint64_t size)
{
	for (uint64_t offset = 0; offset < size; offset += LARGE_FRAME) {
		uint64_t piece = cutter_large_piece(size, offset);
		struct frame_plan plan = {
			.kind = PLAN_CONTENT,
			.first = entry,
			.offset = offset,
			.content = piece,
			.raw = (uint32_t)(piece + tar_padding(piece)),
		};
		int r = emit(p, &plan);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Asked before anything is planned, since a sparse file can claim 2^63 bytes. */
static int check_limits(const struct planner *p, uint64_t size)
{
	if (cutter_is_large(size) &&
		cutter_large_frames(size) >= FRAME_COUNT_LIMIT - p->frames)
		return -E2BIG;
	return 0;
}

static int add_member(struct planner *p, uint32_t entry)
{
	struct tree_entry *from = tree_entry(p->tree, entry);
	const struct tar_member *tar = &p->member.tar;
	size_t header_len;
	int r = member_set(&p->member, p->tree, entry, p->owner);
	if (r == 0)
		r = tar_header_size(tar, &header_len);
	if (r == 0)
		r = check_limits(p, tar->size);
	if (r < 0)
		return r;
	struct cut cut =
		cutter_add(&p->cutter, tar->path, tar->path_len, header_len, tar->size);
	if (cut.before)
		r = end_running(p);
	if (r < 0)
		return r;
	extend_running(p, entry, header_len, cut.after ? 0 : tar->size);
	from->place = p->tar_size + header_len;
	p->tar_size = from->place + tar->size + tar_padding(tar->size);
	if (cut.after)
		r = end_running(p);
	return r < 0 || !cut.after ? r : plan_large(p, entry, tar->size);
}

int planner_add(struct planner *p, uint32_t entry, struct error *e)
{
	int r = add_member(p, entry);
	if (r == 0)
		return 0;
	char label[600];
	tree_label(p->tree, p->top, entry, NULL, label, sizeof(label));
	if (r == -ENOMEM)
		return error_set_errno(e, r, "cannot pack '%s'", label);
	return error_set(e, -EFBIG, "'%s' is past what an archive can hold", label);
}

int planner_end(struct planner *p, struct error *e)
{
	struct frame_plan end = {.kind = PLAN_END, .raw = TAR_END_SIZE};
	int r = end_running(p);
	if (r == 0)
		r = emit(p, &end);
	p->tar_size += TAR_END_SIZE;
	if (r == -E2BIG)
		return error_set(e, -EFBIG, "'%s' needs too many frames", p->top);
	return r < 0 ? error_set_errno(e, r, "cannot pack '%s'", p->top) : 0;
}
