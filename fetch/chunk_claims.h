/*
 * Claims: which chunks a process is about to fetch, told to those that share its cache.
 *
 * A claim is a lock on as many bytes of a file as there are chunks (an open file
 * description lock, fcntl(2)), so it is gone with its process, however that ends. Where
 * in the file: the table's number above, the first chunk's below. It is advice: whoever
 * finds chunks claimed may fetch them all the same. Two tables whose numbers begin alike
 * take each other's claims for theirs, and lose some advice by it, nothing else.
 *
 * The threads of one process share its description, and so do not see each other's
 * claims.
 */
#ifndef LARDER_FETCH_CHUNK_CLAIMS_H
#define LARDER_FETCH_CHUNK_CLAIMS_H

#include <stddef.h>
#include <stdint.h>

#define CLAIM_CHUNK_BITS 27 /* of a chunk's number: as many as an archive has frames */

/* Claims chunks [first, first + n) of the count asked for, n as large as can be.
 * *ret_busy: how many behind them others have claimed, 0 when n == count. A file that
 * cannot be locked claims nothing, and stops nobody: n == count. */
size_t claims_take(int fd, uint64_t table, size_t first, size_t count, size_t *ret_busy);

void claims_drop(int fd, uint64_t table, size_t first, size_t count);

#endif
