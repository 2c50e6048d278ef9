#include "fetch/chunk_proof.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "fetch/base/bytes.h"

#define KEY_SIZE   16
#define NONCE_SIZE 12
#define TAG_SIZE   16

struct seals {
	EVP_MAC_CTX *keyed; /* owned; to be copied, never used itself */
	size_t count;
	atomic_uint_least64_t seals[]; /* 0: none */
};

static EVP_MAC_CTX *make_keyed(void)
{
	unsigned char key[KEY_SIZE];
	char cipher[] = "AES-128-GCM";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *gmac = EVP_MAC_fetch(NULL, "GMAC", NULL);
	EVP_MAC_CTX *ctx = gmac ? EVP_MAC_CTX_new(gmac) : NULL;
	EVP_MAC_free(gmac);
	if (ctx && (getrandom(key, sizeof(key), 0) != sizeof(key) ||
			   !EVP_MAC_init(ctx, key, sizeof(key), params))) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return ctx;
}

struct seals *seals_new(size_t count)
{
	struct seals *s = calloc(1, sizeof(*s) + count * sizeof(s->seals[0]));
	if (!s)
		return NULL;
	s->count = count;
	s->keyed = make_keyed();
	if (!s->keyed) {
		free(s);
		return NULL;
	}
	return s;
}

void seals_free(struct seals *s)
{
	if (!s)
		return;
	EVP_MAC_CTX_free(s->keyed);
	free(s);
}

/* The seal that the chunk would have with these bytes; 0: it cannot be made. */
static uint64_t seal_of(const struct chunk *c, const void *data)
{
	uint8_t nonce[NONCE_SIZE] = {0}, tag[TAG_SIZE];
	size_t size = 0;
	store_le64(nonce, c->number);
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
			OSSL_MAC_PARAM_IV, nonce, sizeof(nonce)),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(c->seals->keyed);
	bool made = ctx && EVP_MAC_init(ctx, NULL, 0, params) &&
		    EVP_MAC_update(ctx, data, c->len) &&
		    EVP_MAC_final(ctx, tag, &size, sizeof(tag)) && size == sizeof(tag);
	EVP_MAC_CTX_free(ctx);
	return made ? load_le64(tag) : 0;
}

static bool has_place(const struct chunk *c)
{
	return c->seals && c->number < c->seals->count;
}

static bool bears_its_seal(const struct chunk *c, const void *data)
{
	uint64_t seal = has_place(c) ? atomic_load(&c->seals->seals[c->number]) : 0;
	return seal && seal_of(c, data) == seal;
}

int chunk_prove(const struct chunk *c, const void *data)
{
	struct digest got;
	if (bears_its_seal(c, data))
		return 0;
	int r = digest_of(data, c->len, &got);
	if (r < 0)
		return r;
	if (!digest_equal(&got, c->digest))
		return -EBADMSG;
	if (has_place(c))
		atomic_store(&c->seals->seals[c->number], seal_of(c, data));
	return 0;
}
