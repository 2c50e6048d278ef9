/*
 * Control characters: what a name from outside could drive a terminal or forge a line of a
 * log with. ASCII's, DEL among them, and U+0080 to U+009F in UTF-8: U+009B begins a
 * sequence as ESC [ does (ECMA-48, 5.4).
 */
#ifndef LARDER_FETCH_BASE_CONTROLS_H
#define LARDER_FETCH_BASE_CONTROLS_H

#include <stddef.h>

/* The bytes of the control character that text of `len` > 0 bytes begins with; 0: it
 * begins with none. */
size_t control_at(const char *text, size_t len);

/* Overwrites each byte of each with '?'. */
void controls_blot(char *text, size_t len);

#endif
