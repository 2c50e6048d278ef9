#include "tests/unit/chunks.h"

#include "fetch/base/bytes.h"
#include "fetch/base/call.h"

void chunks_make(unsigned n, unsigned char data[static CHUNK], struct digest *ret)
{
	for (unsigned i = 0; i < CHUNK; i++)
		data[i] = (unsigned char)(n * 31 + i * (n + 7) / 3);
	memcpy(data, &n, sizeof(n));
	digest_of(data, CHUNK, ret);
}

struct chunk_cache *chunks_open(const char *path, uint64_t max)
{
	struct chunk_cache *c = NULL;
	struct error e = {0};
	if (chunk_cache_open(path, max, &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

void chunks_put(struct chunk_cache *c, unsigned n)
{
	unsigned char data[CHUNK];
	struct digest d;
	chunks_make(n, data, &d);
	chunk_cache_put(c, &d, data, CHUNK);
}

void chunks_put_run(struct chunk_cache *c, unsigned first, unsigned count)
{
	static unsigned char data[100 * CHUNK];
	struct digest digests[100];
	uint64_t offsets[101];
	for (unsigned i = 0; i <= count; i++)
		offsets[i] = 777 + (uint64_t)i * CHUNK;
	for (unsigned i = 0; i < count; i++)
		chunks_make(first + i, data + (size_t)i * CHUNK, &digests[i]);
	chunk_cache_put_run(c, digests, offsets, count, data);
}

int chunks_get(struct chunk_cache *c, unsigned n)
{
	unsigned char data[CHUNK], got[CHUNK];
	struct digest d;
	chunks_make(n, data, &d);
	const struct chunk want = {.digest = &d, .len = CHUNK};
	int r = chunk_cache_get(c, &want, got);
	if (r == 0)
		assert_memory_equal(data, got, CHUNK);
	return r;
}

bool chunks_has(struct chunk_cache *c, unsigned n)
{
	unsigned char data[CHUNK];
	struct digest d;
	chunks_make(n, data, &d);
	return chunk_cache_has(c, &d);
}

const char *chunks_path(const struct scratch *dir, unsigned n)
{
	unsigned char data[CHUNK];
	struct digest d;
	char hex[DIGEST_HEX_SIZE], name[128];
	chunks_make(n, data, &d);
	digest_hex(&d, hex);
	snprintf(name, sizeof(name), "chunks/%.2s/%s", hex, hex);
	return scratch_path(dir, name);
}

static uint64_t found; /* bytes */

static int add_size(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (type == FTW_F)
		found += (uint64_t)st->st_size;
	return 0;
}

uint64_t chunks_bytes(const struct scratch *dir)
{
	found = 0;
	nftw(scratch_path(dir, "chunks"), add_size, 16, FTW_PHYS);
	return found;
}

uint64_t chunks_recorded(const char *size)
{
	uint8_t raw[32];
	CLEANUP(cleanup_close) int fd = open(size, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread_exactly(fd, raw, sizeof(raw), 0) < 0)
		return UINT64_MAX;
	return load_le64(raw + 8);
}

void chunks_set_age(const char *path, int64_t seconds)
{
	struct timespec t = {.tv_sec = clock_realtime_s() - seconds};
	struct timespec times[2] = {t, t};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}
