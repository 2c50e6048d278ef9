/*
 * One try of an exchange: worded, signed, sent; part of fetch/exchange.
 */
#ifndef LARDER_FETCH_EXCHANGE_TRY_H
#define LARDER_FETCH_EXCHANGE_TRY_H

#include "fetch/base/digest.h"
#include "fetch/credentials.h"
#include "fetch/exchange.h"

#define EXCHANGE_ORIGIN_SIZE 288       /* bytes of "https://host:port", with the NUL */
#define EXCHANGE_URL_MAX     (16u << 10) /* bytes */
#define EXCHANGE_HEADERS_MAX 64

/* Where requests go and how they are signed: what an exchanger learns. Plain data. */
struct exchange_place {
	char origin[EXCHANGE_ORIGIN_SIZE];
	char region[REGION_SIZE];
	int64_t clock_offset_s; /* the store's clock less ours */
};

/* What changes from try to try. Borrowed fields. */
struct exchange_try {
	const struct exchange_place *place;
	const struct credentials *credentials; /* NULL: not signed */
	const char *payload_sha256;
	bool fresh_connection;
	uint64_t hedge_after_ns;
	bool *hedged; /* as in fetch/transfer.h */
};

/* The digest to sign for the request's body: given, or computed. 0, -ENOMEM, -EIO the file
 * cannot be read. */
int exchange_hash_payload(const struct exchange_request *request,
	char ret[static DIGEST_HEX_SIZE], struct error *e);

/* Errors of transfer_perform(). */
int exchange_send(struct transfer *t, const struct call *call,
	const struct exchange_request *request, const struct exchange_try *how,
	struct http_response *ret, struct error *e);

#endif
