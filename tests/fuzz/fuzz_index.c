/* The input is a raw index. */
#include "tests/fuzz/fuzz.h"

#include <sys/stat.h>

#include "archive/index.h"

static void look_at_links(const struct index *ix, uint32_t entry)
{
	struct entry_info info;
	index_info(ix, entry, &info);
	uint32_t primary = index_primary(ix, entry);
	assert(primary < index_count(ix) && index_primary(ix, primary) == primary);
	assert(info.nlink >= 1 && info.nlink <= index_link_count(ix) + 1);
	assert(primary == entry || info.nlink >= 2);
	assert(S_ISREG(info.mode) || S_ISDIR(info.mode) || S_ISLNK(info.mode));
	assert(info.mtime.tv_nsec >= 0 && info.mtime.tv_nsec < 1000000000);
	if (!S_ISREG(info.mode) || !info.size)
		return;
	uint64_t begin, place = index_place(ix, entry);
	uint32_t frame = index_frame_at(ix, place + info.size - 1, &begin);
	assert(frame < index_frame_count(ix) && begin < place + info.size);
	assert(index_frame_begin(ix, frame + 1) >= place + info.size);
}

static unsigned touch(const void *data, size_t len)
{
	unsigned sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += ((const unsigned char *)data)[i];
	return sum;
}

static unsigned look_at_bytes(const struct index *ix, uint32_t entry)
{
	size_t len, cursor = 0, value_len;
	const char *name = index_name(ix, entry, &len);
	const void *value;
	assert(len || !entry);
	assert(!memchr(name, '/', len) && !memchr(name, '\0', len));
	unsigned sum = touch(name, len);
	uint32_t found;
	if (entry) {
		assert(index_lookup(ix, index_parent(ix, entry), name, len, &found) == 0);
		assert(found == entry && index_parent(ix, entry) < entry);
	}
	const char *target = index_target(ix, entry, &len);
	sum += touch(target, len);
	while (index_xattr_next(ix, entry, &cursor, &name, &len, &value, &value_len))
		sum += touch(name, len) + touch(value, value_len);
	return sum;
}

/* The walk in the order of the tar meets everything once. */
static void walk(const struct index *ix)
{
	uint32_t met = 0, entry = 0;
	do {
		met++;
		assert(met <= index_count(ix));
		entry = index_next(ix, entry);
	} while (entry);
	assert(met == index_count(ix));
}

static void look_at_frames(const struct index *ix)
{
	uint64_t stored_sum = 0, raw_sum = 0;
	for (uint32_t i = 0; i < index_frame_count(ix); i++) {
		uint32_t stored, raw;
		index_frame_sizes(ix, i, &stored, &raw);
		assert(index_frame_offsets(ix)[i] == stored_sum);
		assert(index_frame_begin(ix, i) == raw_sum);
		stored_sum += stored;
		raw_sum += raw;
		touch(&index_frame_digests(ix)[i], DIGEST_SIZE);
	}
	assert(raw_sum == index_tar_size(ix));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *raw = malloc(size);
	if (size)
		memcpy(raw, data, size);
	CLEANUP(cleanup_index) struct index *ix = NULL;
	struct error e = {0};
	int r = index_parse(raw, size, &ix, &e);
	assert(r == 0 || (r == -EBADMSG && e.code == r && e.text[0]));
	if (r < 0)
		return 0;
	for (uint32_t i = 0; i < index_count(ix); i++) {
		char path[40];
		look_at_links(ix, i);
		look_at_bytes(ix, i);
		index_path(ix, i, path, sizeof(path));
		assert(strlen(path) < sizeof(path));
	}
	walk(ix);
	look_at_frames(ix);
	struct outer_section outer;
	index_outer(ix, 1, &outer);
	return 0;
}
