#include "archive/packer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "archive/content.h"
#include "archive/pack.h"

/* zstd: docs/format.md, "Same input, same bytes". */
#define DEFAULT_MIN_MATCH 5
#define DEFAULT_HASH_LOG  15

struct packer {
	struct packer_options options;
	struct dir_cache *dirs; /* owned */
	struct hasher *hasher;  /* owned */
	ZSTD_CCtx *zstd;        /* owned */
	struct member member;   /* scratch */
	uint8_t *raw;           /* owned: the tar's bytes */
	size_t raw_size;        /* bytes allocated */
};

void packed_frame_finish(struct packed_frame *f)
{
	free(f->data);
	*f = (struct packed_frame){0};
}

static void set_parameter(ZSTD_CCtx *zstd, ZSTD_cParameter parameter, int value)
{
	size_t r = ZSTD_CCtx_setParameter(zstd, parameter, value);
	assert(!ZSTD_isError(r));
}

/* What zstd means by its level 3 spends an eighth more time on sources as small as a frame
 * than this, to save 0.8 % of bytes. */
static void set_parameters(ZSTD_CCtx *zstd, int level)
{
	set_parameter(zstd, ZSTD_c_compressionLevel, level);
	if (level != PACK_LEVEL_DEFAULT)
		return;
	set_parameter(zstd, ZSTD_c_minMatch, DEFAULT_MIN_MATCH);
	set_parameter(zstd, ZSTD_c_hashLog, DEFAULT_HASH_LOG);
}

int packer_new(const struct packer_options *options, struct packer **ret)
{
	CLEANUP(cleanup_packer) struct packer *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->options = *options;
	member_init(&p->member);
	p->dirs = dir_cache_new(options->rootfd, options->tree, options->dirs);
	p->hasher = hasher_new();
	p->zstd = ZSTD_createCCtx();
	if (!p->dirs || !p->hasher || !p->zstd)
		return -ENOMEM;
	set_parameters(p->zstd, options->level);
	*ret = steal_pointer(p);
	return 0;
}

void packer_free(struct packer *p)
{
	if (!p)
		return;
	dir_cache_free(p->dirs);
	hasher_free(p->hasher);
	ZSTD_freeCCtx(p->zstd);
	member_finish(&p->member);
	free(p->raw);
	free(p);
}

/* Makes a block of at least `need` bytes; what it held is lost. */
static int ensure(uint8_t **block, size_t *size, size_t need)
{
	if (*size >= need)
		return 0;
	free(*block);
	*block = malloc(need);
	*size = *block ? need : 0;
	return *block ? 0 : -ENOMEM;
}

static int fail(const struct packer *p, struct error *e, int r, uint32_t entry)
{
	char label[600];
	tree_label(p->options.tree, p->options.top, entry, NULL, label, sizeof(label));
	if (r == -EBUSY)
		return error_set(e, r, "'%s' changed while it was being packed", label);
	return error_recode(error_set_errno(e, r, "cannot read '%s'", label), e);
}

/* Reads a piece of a file's content, and makes sure that the file held still. */
static int read_piece(
	struct packer *p, uint32_t entry, uint64_t offset, size_t len, uint8_t *out)
{
	const struct tree_entry *file = tree_entry(p->options.tree, entry);
	CLEANUP(cleanup_close) int fd = -1;
	int r = content_open(p->dirs, p->options.tree, entry, &fd);
	if (r == 0)
		r = content_read(fd, offset, len, cutter_is_large(file->size), out);
	return r < 0 ? r : content_verify(fd, file);
}

static int hash(struct packer *p, const uint8_t *data, size_t len, struct digest *ret)
{
	int r = hasher_update(p->hasher, data, len);
	return r < 0 ? r : hasher_finish(p->hasher, ret);
}

static int hash_content(struct packer *p, uint32_t entry, const uint8_t *data, size_t len)
{
	struct digest d;
	int r = hash(p, data, len, &d);
	if (r == 0)
		memcpy(tree_entry(p->options.tree, entry)->digest, d.bytes, TREE_DIGEST);
	return r;
}

/* Writes one member that is not large, or a large one's headers; returns their bytes in
 * *ret_len. */
static int write_member(struct packer *p, uint32_t entry, uint8_t *out, size_t *ret_len)
{
	size_t header_len;
	int r = member_set(&p->member, p->options.tree, entry, p->options.owner);
	if (r == 0)
		r = tar_header_size(&p->member.tar, &header_len);
	if (r < 0)
		return r;
	tar_header_write(&p->member.tar, out);
	*ret_len = header_len;
	uint64_t size = p->member.tar.size;
	if (cutter_is_large(size) || p->member.tar.type != TAR_FILE)
		return 0;
	uint8_t *content = out + header_len;
	r = read_piece(p, entry, 0, size, content);
	if (r == 0)
		r = hash_content(p, entry, content, size);
	memset(content + size, 0, tar_padding(size));
	*ret_len += size + tar_padding(size);
	return r;
}

static int fill_members(struct packer *p, const struct frame_plan *plan, struct error *e)
{
	size_t at = 0;
	for (uint32_t i = plan->first; i < plan->first + plan->count; i++) {
		size_t len = 0;
		int r = write_member(p, i, p->raw + at, &len);
		if (r < 0)
			return fail(p, e, r, i);
		at += len;
	}
	assert(at == plan->raw);
	return 0;
}

/* A large file's content needs no digest: its frames hold nothing else, and have theirs.
 */
static int fill_content(struct packer *p, const struct frame_plan *plan, struct error *e)
{
	int r = read_piece(p, plan->first, plan->offset, plan->content, p->raw);
	memset(p->raw + plan->content, 0, plan->raw - plan->content);
	return r < 0 ? fail(p, e, r, plan->first) : 0;
}

static int fill(struct packer *p, const struct frame_plan *plan, struct error *e)
{
	switch (plan->kind) {
	case PLAN_MEMBERS:
		return fill_members(p, plan, e);
	case PLAN_CONTENT:
		return fill_content(p, plan, e);
	case PLAN_END:
		memset(p->raw, 0, plan->raw);
	}
	return 0;
}

/* One call with the whole source, so that the frame's header tells its content size. */
static int compress(struct packer *p, size_t raw, struct packed_frame *frame)
{
	int r = ensure(&frame->data, &frame->size, ZSTD_compressBound(raw));
	if (r < 0)
		return r;
	size_t len = ZSTD_compress2(p->zstd, frame->data, frame->size, p->raw, raw);
	if (ZSTD_isError(len))
		return -ENOMEM;
	frame->len = len;
	frame->raw = (uint32_t)raw;
	return hash(p, frame->data, len, &frame->digest);
}

int packer_make(struct packer *p, const struct frame_plan *plan,
	struct packed_frame *frame, struct error *e)
{
	int r = ensure(&p->raw, &p->raw_size, plan->raw);
	if (r < 0)
		return fail(p, e, r, plan->first);
	r = fill(p, plan, e);
	if (r < 0)
		return r;
	r = compress(p, plan->raw, frame);
	return r < 0 ? error_set_errno(e, r, "cannot compress '%s'", p->options.top) : 0;
}
