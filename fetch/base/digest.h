/*
 * SHA-256 (FIPS 180-4), from OpenSSL.
 *
 * A hasher is not for several threads at once. The only failure is memory.
 */
#ifndef LARDER_FETCH_BASE_DIGEST_H
#define LARDER_FETCH_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGEST_SIZE     32 /* bytes */
#define DIGEST_HEX_SIZE 65 /* bytes, the NUL included */

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

/* The digest of len bytes. 0 or -ENOMEM. */
int digest_of(const void *data, size_t len, struct digest *ret);

/* Compares in constant time: digests guard credentials' exchanges too. */
bool digest_equal(const struct digest *a, const struct digest *b);

/* Writes 64 lower-case hexadecimal digits and a NUL. */
void digest_hex(const struct digest *d, char ret[static DIGEST_HEX_SIZE]);

/* Reads 64 hexadecimal digits of either case, nothing else. 0 or -EINVAL. */
int digest_parse(const char *hex, struct digest *ret);

struct hasher;

/* NULL when out of memory. */
struct hasher *hasher_new(void);
void hasher_free(struct hasher *h);

/* 0 or -ENOMEM. */
int hasher_update(struct hasher *h, const void *data, size_t len);

/* Ends the message and makes the hasher ready for another one. 0 or -ENOMEM. */
int hasher_finish(struct hasher *h, struct digest *ret);

#endif
