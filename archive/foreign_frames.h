/*
 * Content written as frames, in the order it comes: the body of a converted archive.
 *
 * Small contents share a frame; a large one begins its own and is cut every LARGE_FRAME
 * bytes, as in archives that Larder packs. Compressed with zstd's fastest level: it is a
 * local file. Memory: two frames and zstd's. Used by one thread.
 */
#ifndef LARDER_ARCHIVE_FOREIGN_FRAMES_H
#define LARDER_ARCHIVE_FOREIGN_FRAMES_H

#include <stdbool.h>

#include "archive/index_writer.h"
#include "fetch/base/error.h"

struct foreign_frames {
	int fd;                        /* borrowed; written from its beginning */
	uint64_t max_stored;           /* bytes of file; 0: no limit */
	uint64_t max_raw;              /* bytes of content; 0: no limit */
	uint64_t stored;               /* bytes written */
	uint64_t raw;                  /* bytes of content in finished frames */
	struct index_frame_vec frames; /* owned */
	unsigned char *data;           /* owned; LARGE_FRAME: the running frame */
	size_t len;                    /* bytes in it */
	unsigned char *packed;         /* owned */
	size_t packed_size;            /* bytes */
	void *zstd;                    /* owned: ZSTD_CCtx */
};

/* 0 or -ENOMEM. */
int foreign_frames_init(struct foreign_frames *f, int fd);
void foreign_frames_finish(struct foreign_frames *f);

/* A content of so many bytes begins (0: unknown). *ret_place: where. */
int foreign_frames_begin(
	struct foreign_frames *f, uint64_t size, uint64_t *ret_place, struct error *e);

/* The next bytes of it; data NULL: zeros. 0; -EFBIG past max_raw; -EDQUOT past
 * max_stored; -ENOSPC and others of write(2); -ENOMEM. */
int foreign_frames_append(
	struct foreign_frames *f, const void *data, size_t len, struct error *e);

/* Ends the running frame. */
int foreign_frames_cut(struct foreign_frames *f, struct error *e);

/* Writes what follows the frames. */
int foreign_frames_write(
	struct foreign_frames *f, const void *data, size_t len, struct error *e);

#endif
