/*
 * The pin: what the first answer fixed of an object, and every later range is bound to.
 *
 * Plain data, copied by value.
 */
#ifndef LARDER_FETCH_PIN_H
#define LARDER_FETCH_PIN_H

#include <stdbool.h>
#include <stdint.h>

#include "fetch/base/digest.h"

#define PIN_ETAG_SIZE    512  /* bytes with the NUL; a longer ETag is refused */
#define PIN_VERSION_SIZE 1025 /* S3: at most 1,024 bytes */
#define NONCE_SIZE       33   /* 128 random bits in hexadecimal, and the NUL */

/* What the first answer fixed. */
struct pin {
	char etag[PIN_ETAG_SIZE];        /* as sent, quotes included; "" when none */
	char version_id[PIN_VERSION_SIZE]; /* "" when the store gives none */
	uint64_t size;                   /* bytes of the whole object */
	int64_t mtime_s;                 /* Last-Modified, seconds since the epoch; 0: unknown */
	bool has_identity;               /* x-amz-meta-larder-identity was there: a hint */
	struct digest identity;
	char nonce[NONCE_SIZE];          /* x-amz-meta-larder-nonce; "" when none */
};

#endif
