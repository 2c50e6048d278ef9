#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/transfer_error.h"

static int code_of(CURLcode code, long os_error)
{
	struct error e = {0};
	int r = transfer_error(code, os_error, "", "http://h/key?secret", &e);
	assert_int_equal(e.code, r);
	assert_non_null(strstr(e.text, "'http://h/key"));
	assert_null(strstr(e.text, "secret"));
	return r;
}

static void failures_to_connect_are_told_apart(void **state)
{
	assert_int_equal(code_of(CURLE_COULDNT_CONNECT, ECONNREFUSED), -ECONNREFUSED);
	assert_int_equal(code_of(CURLE_COULDNT_CONNECT, 0), -ECONNREFUSED);
	assert_int_equal(code_of(CURLE_COULDNT_CONNECT, ENETUNREACH), -EHOSTUNREACH);
	assert_int_equal(code_of(CURLE_COULDNT_CONNECT, EHOSTUNREACH), -EHOSTUNREACH);
	assert_int_equal(code_of(CURLE_COULDNT_CONNECT, ECONNRESET), -ECONNRESET);
	assert_int_equal(code_of(CURLE_COULDNT_CONNECT, ETIMEDOUT), -ETIME);
	assert_int_equal(code_of(CURLE_COULDNT_RESOLVE_HOST, 0), -EHOSTUNREACH);
	assert_int_equal(code_of(CURLE_COULDNT_RESOLVE_PROXY, 0), -EHOSTUNREACH);
	assert_int_equal(code_of(CURLE_OPERATION_TIMEDOUT, 0), -ETIME);
}

static void broken_connections_are_resets(void **state)
{
	static const CURLcode codes[] = {CURLE_SEND_ERROR, CURLE_RECV_ERROR,
		CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_SEND_FAIL_REWIND};
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(code_of(codes[i], 0), -ECONNRESET);
	assert_int_equal(code_of(CURLE_SSL_CONNECT_ERROR, ECONNRESET), -ECONNRESET);
}

static void distrust_is_final_and_nonsense_is_not(void **state)
{
	static const CURLcode distrust[] = {CURLE_PEER_FAILED_VERIFICATION,
		CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
		CURLE_SSL_ISSUER_ERROR};
	static const CURLcode nonsense[] = {CURLE_SSL_CONNECT_ERROR,
		CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL,
		CURLE_BAD_CONTENT_ENCODING};
	for (size_t i = 0; i < sizeof(distrust) / sizeof(distrust[0]); i++)
		assert_int_equal(code_of(distrust[i], 0), -ECONNABORTED);
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		assert_int_equal(code_of(nonsense[i], 0), -EPROTO);
	assert_int_equal(code_of(CURLE_URL_MALFORMAT, 0), -EINVAL);
	assert_int_equal(code_of(CURLE_OUT_OF_MEMORY, 0), -ENOMEM);
}

static void libcurls_own_words_are_kept(void **state)
{
	struct error e = {0};
	transfer_error(CURLE_RECV_ERROR, 0, "Recv failure: reset", "http://h/", &e);
	assert_string_equal(
		e.text, "the connection to 'http://h/' broke: Recv failure: reset");
}

/* libcurl quotes what the environment says of one. */
static void a_proxys_password_is_not_shown(void **state)
{
	static const char *const details[] = {
		"Unsupported proxy syntax in 'http://me:se#same@h:1'",
		"Unsupported proxy scheme for 'ftp://me:se#same@h:1'",
		("Unsupported proxy 'https://me:se#same@h:1', libcurl is built without "
		 "the HTTPS-proxy support.")};
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
		struct error e = {0};
		transfer_error(CURLE_COULDNT_CONNECT, 0, details[i], "http://h/", &e);
		assert_string_equal(e.text,
			"cannot reach 'http://h/': the environment names a proxy by an "
			"address that cannot be used");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_to_connect_are_told_apart),
		cmocka_unit_test(broken_connections_are_resets),
		cmocka_unit_test(distrust_is_final_and_nonsense_is_not),
		cmocka_unit_test(libcurls_own_words_are_kept),
		cmocka_unit_test(a_proxys_password_is_not_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
