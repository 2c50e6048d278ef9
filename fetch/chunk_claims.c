#include "fetch/chunk_claims.h"

#include <errno.h>
#include <fcntl.h>

#define TURNS_MOST 64

static struct flock lock_on(short type, uint64_t table, size_t first, size_t count)
{
	uint64_t above = table >> (CLAIM_CHUNK_BITS + 1); /* off_t has a sign */
	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(above << CLAIM_CHUNK_BITS | first),
		.l_len = (off_t)count,
	};
}

/* How many of the chunks somebody holds, from the first that somebody does; *ret_free:
 * how many there are before. 0: nobody holds any, or that cannot be told. */
static size_t find_busy(
	int fd, uint64_t table, size_t first, size_t count, size_t *ret_free)
{
	struct flock wanted = lock_on(F_WRLCK, table, first, count), found = wanted;
	if (fcntl(fd, F_OFD_GETLK, &found) < 0 || found.l_type == F_UNLCK)
		return 0;
	off_t begin = found.l_start, end = found.l_start + found.l_len;
	off_t last = wanted.l_start + wanted.l_len;
	if (begin < wanted.l_start)
		begin = wanted.l_start;
	if (end > last || found.l_len == 0)
		end = last;
	*ret_free = (size_t)(begin - wanted.l_start);
	return (size_t)(end - begin);
}

/* Each turn asks for less, or finds that a claim was dropped meanwhile. A file system that
 * refuses locks and tells of none would go on so for ever: it stops nobody. */
size_t claims_take(int fd, uint64_t table, size_t first, size_t count, size_t *ret_busy)
{
	*ret_busy = 0;
	for (unsigned turn = 0; count && turn < TURNS_MOST; turn++) {
		struct flock lock = lock_on(F_WRLCK, table, first, count);
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0 ||
			(errno != EAGAIN && errno != EACCES))
			break;
		size_t before = count;
		size_t busy = find_busy(fd, table, first, count, &before);
		if (busy) {
			*ret_busy = busy;
			count = before;
		}
	}
	return count;
}

void claims_drop(int fd, uint64_t table, size_t first, size_t count)
{
	struct flock lock = lock_on(F_UNLCK, table, first, count);
	fcntl(fd, F_OFD_SETLK, &lock);
}
