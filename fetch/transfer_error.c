#include "fetch/transfer_error.h"

#include <errno.h>
#include <string.h>

#include "fetch/origin.h"

static int connect_errno(long os_error)
{
	switch (os_error) {
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
		return -EHOSTUNREACH;
	case ECONNRESET:
		return -ECONNRESET;
	case ETIMEDOUT:
		return -ETIME;
	default:
		return -ECONNREFUSED;
	}
}

/* A peer that goes away during the handshake is not a peer that speaks nonsense. */
static int handshake_errno(long os_error)
{
	return os_error == ECONNRESET || os_error == EPIPE ? -ECONNRESET : -EPROTO;
}

static int errno_of(CURLcode code, long os_error)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return connect_errno(os_error);
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIME;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_SEND_FAIL_REWIND:
		return -ECONNRESET;
	case CURLE_SSL_CONNECT_ERROR:
		return handshake_errno(os_error);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return -ECONNABORTED;
	case CURLE_URL_MALFORMAT:
	case CURLE_LOGIN_DENIED:
		return -EINVAL;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

/* Of a proxy that it cannot use libcurl quotes all that the environment says, which may
 * be a password, too. */
static const char *choose_words(CURLcode code, const char *detail)
{
	static const char about_proxy[] = "Unsupported proxy";
	if (!strncmp(detail, about_proxy, sizeof(about_proxy) - 1))
		return "the environment names a proxy by an address that cannot be used";
	return detail[0] ? detail : curl_easy_strerror(code);
}

int transfer_error(CURLcode code, long os_error, const char *detail, const char *url,
	struct error *e)
{
	int r = errno_of(code, os_error);
	const char *words = choose_words(code, detail);
	char shown[URL_DISPLAY_SIZE];
	url_display(url, shown);
	switch (r) {
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ETIME:
		return error_set(e, r, "cannot reach '%s': %s", shown, words);
	case -ECONNRESET:
		return error_set(e, r, "the connection to '%s' broke: %s", shown, words);
	default:
		return error_set(e, r, "cannot talk with '%s': %s", shown, words);
	}
}
