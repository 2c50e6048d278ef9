/*
 * Percent-encoding (RFC 3986 section 2.1), as far as fetch/ decodes it.
 */
#ifndef LARDER_FETCH_PERCENT_H
#define LARDER_FETCH_PERCENT_H

/* The byte that "%XX" at p stands for; -1 when p is no such escape. Never looks past a
 * NUL. */
int percent_byte(const char *p);

#endif
