/*
 * One set of credentials, and how it is read from what the outside hands over.
 *
 * Plain data that its owner wipes. Key and token go into header lines, so only printable
 * ASCII without blanks is let in. Pure.
 */
#ifndef LARDER_FETCH_CREDENTIALS_H
#define LARDER_FETCH_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CREDS_KEY_MAX   256         /* bytes of an access key id or a secret */
#define CREDS_TOKEN_MAX (16u << 10) /* bytes of a session token */
#define CREDS_NO_EXPIRY INT64_MAX

struct credentials {
	char access_key[CREDS_KEY_MAX];
	char secret_key[CREDS_KEY_MAX];
	char session_token[CREDS_TOKEN_MAX]; /* "" when there is none */
	int64_t expires_s;                   /* seconds since the epoch */
};

void credentials_wipe(struct credentials *c);

/* token may be NULL. 0; -EBADMSG when a part is empty (but the token), too long or could
 * not stand in a header line. */
int credentials_set(struct credentials *ret, const char *access_key,
	const char *secret_key, const char *token, int64_t expires_s);

/* From AccessKeyId, SecretAccessKey, `token_name` and Expiration of a JSON object; the
 * last two may be missing. 0, -EBADMSG. */
int credentials_from_json(
	const char *text, size_t len, const char *token_name, struct credentials *ret);

/* The same keys, whatever their expiry? In constant time. */
bool credentials_equal(const struct credentials *a, const struct credentials *b);

/* RFC 3339: "2024-05-06T07:08:09Z", also with a fraction, which is dropped, or an offset
 * from UTC, +hh:mm or +hhmm. 0 or -EBADMSG. */
int parse_timestamp(const char *text, int64_t *ret_s);

#endif
