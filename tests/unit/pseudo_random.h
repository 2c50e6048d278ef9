/*
 * Numbers and bytes that look random and are the same in every run; the bytes do not
 * compress.
 */
#ifndef LARDER_TESTS_UNIT_PSEUDO_RANDOM_H
#define LARDER_TESTS_UNIT_PSEUDO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The low bits are the worst. */
static inline uint32_t pseudo_random(uint32_t *seed)
{
	return *seed = *seed * 1664525 + 1013904223;
}

static inline void pseudo_random_bytes(void *p, size_t len, uint32_t seed)
{
	unsigned char *byte = p;
	for (size_t i = 0; i < len; i++)
		byte[i] = (unsigned char)(pseudo_random(&seed) >> 24);
}

#endif
