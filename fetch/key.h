/*
 * What may be a key: an object's name below the store.
 *
 * 1 to 1,024 bytes of UTF-8 (S3's limit) without control characters; components between
 * slashes are 1 to 255 bytes (they become directory names) and neither "." nor ".."; no
 * leading or trailing slash. ".larder" is reserved as the first component for Larder's own
 * objects (the probe).
 */
#ifndef LARDER_FETCH_KEY_H
#define LARDER_FETCH_KEY_H

#include "fetch/base/error.h"

#define KEY_MAX 1024 /* bytes */

/* 0, or -EINVAL with a sentence that says which rule it breaks. */
int key_check(const char *key, struct error *e);

#endif
