/*
 * Which version of which object: one digest of a store's name, a key and a pin.
 *
 * What a machine keeps about an object that it has read is filed under this.
 */
#ifndef LARDER_FETCH_FINGERPRINT_H
#define LARDER_FETCH_FINGERPRINT_H

#include "fetch/store.h"

/* *ret_lasting is false when the pin is too weak to file anything under it for long: no
 * version id, and an ETag that is missing or weak (RFC 9110 section 8.8.1). 0 or -ENOMEM.
 */
int fingerprint(const struct store *store, const char *key, const struct pin *pin,
	struct digest *ret, bool *ret_lasting);

#endif
