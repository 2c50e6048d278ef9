/*
 * A reader of an archive with one file, "file", of bytes that do not compress, over many
 * frames; and beside it "void", "dir" and "link". Its source does what a test says.
 *
 * Frame 0 begins before the file: the file's own bytes of frame n begin at
 * noise_offset(n).
 */
#ifndef LARDER_TESTS_UNIT_NOISE_H
#define LARDER_TESTS_UNIT_NOISE_H

#include "archive/reader.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/scripted_source.h"

#define CUT (64u << 10) /* bytes of tar in a frame */

struct noise {
	struct archive_builder *builder; /* owned, as are the next five */
	struct buf object;
	struct scripted_source source;
	struct archive *archive;
	struct reader *reader;
	unsigned char *content;
	size_t len; /* of the file */
	uint32_t file, frames;
	uint64_t place; /* of the file */
};

/* budget: of the reader, in bytes. */
void noise_init(struct noise *n, size_t len, size_t budget);
void noise_finish(struct noise *n);

/* The offset in the file at which the frame begins. */
uint64_t noise_offset(const struct noise *n, uint32_t frame);

struct reader_stats noise_stats(const struct noise *n);

/* Reads [offset, offset + len), or what there is of it, and compares. */
void noise_expect(const struct noise *n, uint64_t offset, size_t len);

/* The frames [first, end) are READY, and all others are absent. */
void noise_expect_ready(const struct noise *n, uint32_t first, uint32_t end);

#endif
