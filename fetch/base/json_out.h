/*
 * Writing JSON (RFC 8259), a value at a time. Bytes that are not UTF-8 are written as
 * U+FFFD, so that what comes out is always valid.
 */
#ifndef LARDER_FETCH_BASE_JSON_OUT_H
#define LARDER_FETCH_BASE_JSON_OUT_H

#include <stdio.h>

/* A quoted string of len bytes. */
void json_string_n(FILE *out, const char *text, size_t len);
void json_string(FILE *out, const char *text);

#endif
