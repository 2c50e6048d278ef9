#include "fetch/nonce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

int nonce_new(char ret[static NONCE_SIZE])
{
	uint64_t bits[2];
	if (getrandom(bits, sizeof(bits), 0) != sizeof(bits))
		return -EIO;
	snprintf(ret, NONCE_SIZE, "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
	return 0;
}
