/*
 * A nonce: 128 random bits as 32 lower-case hexadecimal digits. Names what must be like
 * nothing else: a writer's object, a temporary file, a probe's key.
 */
#ifndef LARDER_FETCH_NONCE_H
#define LARDER_FETCH_NONCE_H

#include "fetch/pin.h"

/* 0, or -EIO when the kernel gives no random bits. */
int nonce_new(char ret[static NONCE_SIZE]);

#endif
