/*
 * Numbers as people read them. Pure; each writes at most HUMAN_SIZE bytes with the NUL.
 */
#ifndef LARDER_TOOLS_HUMAN_H
#define LARDER_TOOLS_HUMAN_H

#include <stdint.h>

#define HUMAN_SIZE 24

/* "17 B", "4.2 KiB", "118 MiB": powers of 1,024. */
void human_bytes(uint64_t bytes, char ret[static HUMAN_SIZE]);

/* "12 s", "5 min", "3 h", "8 d": one unit, rounded down; "now" below a second. */
void human_age(int64_t seconds, char ret[static HUMAN_SIZE]);

/* "0.35 s", "12.4 s", "3 min 20 s". */
void human_duration(uint64_t ns, char ret[static HUMAN_SIZE]);

#endif
