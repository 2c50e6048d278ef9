#include "archive/cutter.h"

#include "archive/format.h"
#include "archive/tar_header.h"

/* FNV-1a of 64 bits, and a last step that lets the path's end reach the highest bits. */
static uint64_t hash_path(const char *path, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)path[i]) * UINT64_C(0x100000001b3);
	return (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Directories: what belongs together is then read together. Others, for the sake of those
 * that hold very many. */
static bool cuts_by_path(const char *path, size_t len)
{
	return path[len - 1] == '/' || hash_path(path, len) <= UINT64_MAX / FRAME_CUT_ONE_IN;
}

bool cutter_is_large(uint64_t content_len)
{
	return content_len > LARGE_FILE;
}

static bool begins_frame(
	const struct cutter *c, const char *path, size_t path_len, uint64_t unit)
{
	if (!c->held)
		return false;
	if (c->held + unit > FRAME_MAX)
		return true;
	return c->held >= FRAME_MIN && cuts_by_path(path, path_len);
}

struct cut cutter_add(struct cutter *c, const char *path, size_t path_len,
	uint64_t header_len, uint64_t content_len)
{
	struct cut cut = {.after = cutter_is_large(content_len)};
	uint64_t unit = header_len;
	if (!cut.after)
		unit += content_len + tar_padding(content_len);
	cut.before = begins_frame(c, path, path_len, unit);
	if (cut.before)
		c->held = 0;
	c->held = cut.after ? 0 : c->held + unit;
	return cut;
}

uint64_t cutter_large_frames(uint64_t content_len)
{
	return (content_len - 1) / LARGE_FRAME + 1;
}

uint64_t cutter_large_piece(uint64_t content_len, uint64_t offset)
{
	uint64_t left = content_len - offset;
	return left < LARGE_FRAME ? left : LARGE_FRAME;
}
