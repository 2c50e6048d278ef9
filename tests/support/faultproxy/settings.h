/* SPDX-License-Identifier: Apache-2.0 */
/* The link's settings, as the command line and the control commands give them. */
#ifndef FAULTPROXY_SETTINGS_H
#define FAULTPROXY_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct proxy;

/* A number with an optional k, M or G (powers of 1000). */
bool parse_size(const char *text, uint64_t *ret_value);

/* Milliseconds, with a fraction or not, as nanoseconds; an hour at most. */
bool parse_ms(const char *text, uint64_t *ret_ns);

/* For all connections together, each way, in bytes a second; 0 for no limit. */
void set_total_rate(struct proxy *proxy, uint64_t rate);

/* Sets round trip and rates: "lan", "cloud", "wan" or "none"; false for another name. */
bool set_profile(struct proxy *proxy, const char *name);

#endif
