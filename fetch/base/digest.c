#include "fetch/base/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "fetch/base/bytes.h"

/* libcrypto's state; EVP is used so that the CPU's SHA instructions are found. */
struct hasher {
	EVP_MD_CTX *ctx; /* owned */
};

int digest_of(const void *data, size_t len, struct digest *ret)
{
	unsigned int size = DIGEST_SIZE;
	if (!EVP_Digest(data, len, ret->bytes, &size, EVP_sha256(), NULL))
		return -ENOMEM;
	return 0;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return CRYPTO_memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

void digest_hex(const struct digest *d, char ret[static DIGEST_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		ret[2 * i] = digits[d->bytes[i] >> 4];
		ret[2 * i + 1] = digits[d->bytes[i] & 15];
	}
	ret[DIGEST_HEX_SIZE - 1] = '\0';
}

int digest_parse(const char *hex, struct digest *ret)
{
	if (strlen(hex) != DIGEST_HEX_SIZE - 1)
		return -EINVAL;
	struct digest d;
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		d.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret = d;
	return 0;
}

struct hasher *hasher_new(void)
{
	struct hasher *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL)) {
		hasher_free(h);
		return NULL;
	}
	return h;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

int hasher_update(struct hasher *h, const void *data, size_t len)
{
	return EVP_DigestUpdate(h->ctx, data, len) ? 0 : -ENOMEM;
}

int hasher_finish(struct hasher *h, struct digest *ret)
{
	unsigned int size = DIGEST_SIZE;
	/* Naming the algorithm again would have it looked up again. */
	if (!EVP_DigestFinal_ex(h->ctx, ret->bytes, &size) ||
		!EVP_DigestInit_ex(h->ctx, NULL, NULL))
		return -ENOMEM;
	return 0;
}
