/*
 * An origin: scheme, host and port of an HTTP server (RFC 6454), as people write it in a
 * store's URL or as an endpoint.
 *
 * The canonical form that comes out is "http://host[:port]" or "https://...": scheme and
 * host in lower case, a scheme's default port left out (as curl does in the Host field,
 * which is signed), an IPv6 address in brackets. User information is refused: a password
 * belongs neither in argv nor in a log. Pure.
 */
#ifndef LARDER_FETCH_ORIGIN_H
#define LARDER_FETCH_ORIGIN_H

#include "fetch/base/error.h"

#define ORIGIN_HOST_MAX  255 /* bytes of a host */
#define URL_DISPLAY_SIZE 256 /* bytes, the NUL included */

/* Reads the origin that text begins with. *ret (free() it) is its canonical form,
 * *ret_rest what follows: "" or from the first '/', '?' or '#' on. -EINVAL with a
 * sentence that names the URL as url_display() shows it; -ENOMEM. */
int origin_split(const char *text, char **ret, const char **ret_rest, struct error *e);

/* An origin with at most one '/' behind it. Same errors. */
int origin_parse(const char *text, char **ret, struct error *e);

/* The host and port of a canonical origin, as the Host field has them. Borrowed. */
const char *origin_authority(const char *origin);

/* A URL, or a reference to one (RFC 3986 section 4.2), as errors show it: whatever could
 * be user information is blotted out, a query is left out, and what is too long is cut.
 */
void url_display(const char *url, char ret[static URL_DISPLAY_SIZE]);

#endif
