#include "archive/foreign_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "archive/format.h"
#include "fetch/base/io.h"

#define LEVEL 1

int foreign_frames_init(struct foreign_frames *f, int fd)
{
	*f = (struct foreign_frames){
		.fd = fd,
		.frames.max = FRAME_COUNT_LIMIT,
		.data = malloc(LARGE_FRAME),
		.packed_size = ZSTD_compressBound(LARGE_FRAME),
		.zstd = ZSTD_createCCtx(),
	};
	f->packed = malloc(f->packed_size);
	if (!f->data || !f->packed || !f->zstd)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_compressionLevel, LEVEL);
	return 0;
}

void foreign_frames_finish(struct foreign_frames *f)
{
	index_frame_vec_finish(&f->frames);
	free(f->data);
	free(f->packed);
	ZSTD_freeCCtx(f->zstd);
}

int foreign_frames_write(
	struct foreign_frames *f, const void *data, size_t len, struct error *e)
{
	if (f->max_stored && len > f->max_stored - f->stored)
		return error_set(e, -EDQUOT,
			"it takes more room than the cache may have (--cache-size)");
	int r = write_fully(f->fd, data, len);
	if (r < 0)
		return error_set_errno(e, r, "cannot keep its content on disk");
	f->stored += len;
	return 0;
}

int foreign_frames_cut(struct foreign_frames *f, struct error *e)
{
	if (!f->len)
		return 0;
	size_t packed =
		ZSTD_compress2(f->zstd, f->packed, f->packed_size, f->data, f->len);
	if (ZSTD_isError(packed))
		return error_set_errno(e, -ENOMEM, "cannot compress its content");
	struct index_frame frame = {.stored = (uint32_t)packed, .raw = (uint32_t)f->len};
	int r = digest_of(f->packed, packed, &frame.digest);
	if (r == 0)
		r = index_frame_vec_push(&f->frames, frame);
	if (r < 0)
		return error_set_errno(e, r, "cannot keep its content");
	f->raw += f->len;
	f->len = 0;
	return foreign_frames_write(f, f->packed, packed, e);
}

int foreign_frames_begin(
	struct foreign_frames *f, uint64_t size, uint64_t *ret_place, struct error *e)
{
	bool alone = size > LARGE_FILE || (f->len && f->len + size > FRAME_MAX);
	int r = alone ? foreign_frames_cut(f, e) : 0;
	if (r == 0)
		*ret_place = f->raw + f->len;
	return r;
}

int foreign_frames_append(
	struct foreign_frames *f, const void *data, size_t len, struct error *e)
{
	uint64_t raw = f->raw + f->len;
	if (f->max_raw && (raw > f->max_raw || len > f->max_raw - raw))
		return error_set(e, -EFBIG,
			"it would unpack to a thousand times its size and more");
	const unsigned char *from = data;
	while (len) {
		size_t room = LARGE_FRAME - f->len;
		size_t part = len < room ? len : room;
		if (from) {
			memcpy(f->data + f->len, from, part);
			from += part;
		} else {
			memset(f->data + f->len, 0, part);
		}
		f->len += part;
		len -= part;
		int r = f->len == LARGE_FRAME ? foreign_frames_cut(f, e) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}
