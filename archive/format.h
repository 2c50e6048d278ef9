/*
 * The archive format's constants. docs/format.md specifies the bytes; where the two
 * differ, the document is right.
 */
#ifndef LARDER_ARCHIVE_FORMAT_H
#define LARDER_ARCHIVE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_VERSION 1

/* zstd skippable frames (RFC 8878 section 3.1.2): magic, LE32 size, bytes. */
#define SKIPPABLE_HEADER_SIZE     8
#define SKIPPABLE_MAGIC_DIGESTS   UINT32_C(0x184D2A50)
#define SKIPPABLE_MAGIC_INDEX     UINT32_C(0x184D2A51)
#define SKIPPABLE_MAGIC_SIGNATURE UINT32_C(0x184D2A52) /* reserved: Ed25519 */
#define SKIPPABLE_MAGIC_HOT_LIST  UINT32_C(0x184D2A53) /* reserved */
#define SKIPPABLE_MAGIC_IDENTITY  UINT32_C(0x184D2A54)
#define SKIPPABLE_MAGIC_SEEKTABLE UINT32_C(0x184D2A5E) /* zstd seekable format */

#define IDENTITY_FRAME_SIZE (SKIPPABLE_HEADER_SIZE + 32) /* a SHA-256 */

#define SEEK_TABLE_FOOTER_SIZE  9
#define SEEK_TABLE_FOOTER_MAGIC UINT32_C(0x8F92EAB1)

/* How the tar is cut into frames; sizes in bytes of tar. */
#define FRAME_MIN        (32u << 10)  /* no cut before this by path */
#define FRAME_MAX        (512u << 10) /* no member added that would pass this */
#define FRAME_CUT_ONE_IN 32           /* members, by hash of the path; and directories */
#define LARGE_FILE       (256u << 10) /* content longer than this has frames of its own */
#define LARGE_FRAME      (1u << 20)   /* of a large file's content */

/* What a reader accepts; anything beyond is -EBADMSG. */
#define FRAME_SIZE_LIMIT  (8u << 20)        /* decompressed bytes of one frame */
#define FRAME_COUNT_LIMIT (UINT32_C(1) << 27)
#define ENTRY_COUNT_LIMIT (UINT32_C(1) << 28)
#define DEPTH_LIMIT       4096              /* directories above an entry, the root counted */
#define NAME_LIMIT        255               /* bytes of one name */
#define TARGET_LIMIT      4095              /* bytes of a link target */
#define XATTR_NAME_LIMIT  255               /* bytes, `user.` included */
#define XATTR_VALUE_LIMIT (64u << 10)       /* bytes */
#define INDEX_RAW_FLOOR   (UINT64_C(1) << 20)
#define INDEX_RAW_RATIO   256 /* raw index <= max(floor, ratio x stored + frames' part) */
#define INDEX_RAW_PER_FRAME 40 /* bytes: sections 13 and 14 */
#define INDEX_RAW_LIMIT   (UINT64_C(32) << 30)

/* A frame of `raw` bytes may take so many in the object: more than any encoder needs. */
static inline uint64_t frame_stored_limit(uint32_t raw)
{
	return (uint64_t)raw + raw / 64 + 1024;
}

#define INDEX_MAGIC       "LARDERIX" /* first 8 bytes of the raw index */
#define INDEX_HEADER_SIZE 48
#define SECTION_ENTRY_SIZE 32

/* Flags of an index that never leaves the machine (docs/foreign.md); an object's has none. */
#define INDEX_FLAG_LOOSE UINT64_C(1) /* contents in any order, no tar around them */
#define INDEX_FLAG_PLAIN UINT64_C(2) /* frames are raw, and have no digests */

enum section_id {
	SECTION_MODES = 1,             /* u16 x entries: st_mode */
	SECTION_PARENTS = 2,           /* u32 x entries */
	SECTION_NAME_LENGTHS = 3,      /* u8 x entries */
	SECTION_NAMES = 4,             /* bytes */
	SECTION_MTIME_SECONDS = 5,     /* i64 x entries */
	SECTION_MTIME_NANOSECONDS = 6, /* u32 x entries */
	SECTION_SIZES = 7,             /* u64 x entries: see docs/format.md */
	SECTION_PLACES = 8,            /* u64 x entries: see docs/format.md */
	SECTION_OWNERS = 9,            /* {u32 uid, u32 gid} x entries; only if preserved */
	SECTION_TARGETS = 10,          /* bytes: symlink targets */
	SECTION_LINKS = 11,            /* {u32 entry, u32 primary} ascending by entry */
	SECTION_XATTRS = 12,           /* {u32 entry, u32 name_len, u32 value_len, u32 0} then
	                                  name, value, zero padding to 8; ascending */
	SECTION_FRAME_SIZES = 13,      /* {u32 stored, u32 tar} x frames */
	SECTION_FRAME_DIGESTS = 14,    /* 32 bytes x frames */
	SECTION_OUTER = 15,            /* the sections outside the index: 64 bytes each */
};

#define SECTION_FLAG_REQUIRED 1u /* a reader that does not know it must refuse */

enum outer_section_id {
	OUTER_CONTENT_DIGESTS = 1, /* 16 bytes x entries */
};

/* What a stored index of len bytes may decompress to. Frames that are all the same, as a
 * large hole makes them, take no room in it; but each takes some in the object. */
static inline uint64_t index_raw_most(size_t len, uint32_t frames)
{
	uint64_t most = (uint64_t)len * INDEX_RAW_RATIO +
			(uint64_t)frames * INDEX_RAW_PER_FRAME;
	if (most < INDEX_RAW_FLOOR)
		most = INDEX_RAW_FLOOR;
	return most < INDEX_RAW_LIMIT ? most : INDEX_RAW_LIMIT;
}

#endif
