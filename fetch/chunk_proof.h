/*
 * Proves a chunk's bytes: by its digest, and when that has been done once, by a seal.
 *
 * What is read from the chunk cache is proved each time, since a disk or a neighbour may
 * have changed it; but most of it was proved by this process when it was fetched. SHA-256
 * costs ten times what GHASH does (1.1 against 11 GB/s measured). So bytes whose digest
 * was right get a seal: a GMAC (NIST SP 800-38D) of 64 bits, under a key that this
 * process has drawn and that never leaves it. The nonce is the chunk's number: a number
 * stands for one digest for ever, so no two messages share one. What does not bear its
 * seal is judged by its digest, as is everything where there are no seals.
 */
#ifndef LARDER_FETCH_CHUNK_PROOF_H
#define LARDER_FETCH_CHUNK_PROOF_H

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"

struct seals;

/* For chunks of the numbers below count, 8 bytes each; for any threads at once. NULL:
 * there is no memory, no randomness or no GMAC; then one does without. */
struct seals *seals_new(size_t count);
void seals_free(struct seals *s);
DEFINE_CLEANUP(cleanup_seals, struct seals, seals_free);

/* A chunk as it has to be. Everything is borrowed. */
struct chunk {
	const struct digest *digest;
	size_t len;          /* bytes */
	struct seals *seals; /* NULL: none */
	size_t number;       /* among the seals */
};

/* Judges len bytes at data. 0; -EBADMSG: they are others; -ENOMEM: nobody can tell. */
int chunk_prove(const struct chunk *c, const void *data);

#endif
