/* Whom a transfer trusts: against a TLS server of this test, with certificates made here.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/transfer.h"

#define PATIENCE (120 * NS_PER_SECOND)

struct tls_server {
	SSL_CTX *context;
	int listener;
	int stop_fd;
	unsigned port;
	int bundle_fd; /* the certificate, as a file */
	char bundle[64];
	pthread_t thread;
	unsigned resumed; /* by the thread; read after it is joined */
	unsigned served;
};

/* --- certificates ------------------------------------------------------------- */

static void add_name(X509 *certificate, const char *name)
{
	X509_EXTENSION *extension =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* Signed by itself, for `name` as in "IP:127.0.0.1", which is its subject too. */
static X509 *certificate_new(EVP_PKEY *key, const char *name)
{
	X509 *certificate = X509_new();
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME *subject = X509_get_subject_name(certificate);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, subject);
	add_name(certificate, name);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

/* Makes it the only one in the server's bundle. */
static void bundle(const struct tls_server *s, X509 *certificate)
{
	FILE *file = fopen(s->bundle, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	assert_int_equal(fclose(file), 0);
}

static void use_certificate(struct tls_server *s, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_new(key, name);
	s->bundle_fd = memfd_create("bundle", MFD_CLOEXEC);
	snprintf(s->bundle, sizeof(s->bundle), "/proc/self/fd/%d", s->bundle_fd);
	bundle(s, certificate);
	assert_int_equal(SSL_CTX_use_certificate(s->context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->context, key), 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* --- the server --------------------------------------------------------------- */

static void serve(struct tls_server *s, SSL *ssl)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
				     "Content-Length: 2\r\n\r\nok";
	char request[4096];
	if (SSL_accept(ssl) != 1)
		return;
	s->resumed += (unsigned)SSL_session_reused(ssl);
	if (SSL_read(ssl, request, sizeof(request)) > 0) {
		s->served++;
		SSL_write(ssl, answer, sizeof(answer) - 1);
	}
}

/* One connection at a time, one answer on each. SIGPIPE is kept from this
 * thread only: the client must not need that. */
static void *accept_all(void *arg)
{
	struct tls_server *s = arg;
	sigset_t broken_pipe;
	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
	struct pollfd fds[2] = {
		{.fd = s->listener, .events = POLLIN},
		{.fd = s->stop_fd, .events = POLLIN},
	};
	for (;;) {
		poll(fds, 2, -1);
		if (fds[1].revents)
			return NULL;
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
		SSL *ssl = SSL_new(s->context);
		SSL_set_fd(ssl, fd);
		serve(s, ssl);
		SSL_free(ssl);
		close(fd);
	}
}

static struct tls_server *server_start(const char *name)
{
	struct tls_server *s = calloc(1, sizeof(*s));
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->context = SSL_CTX_new(TLS_server_method());
	use_certificate(s, name);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(s->listener, 16), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
	s->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, accept_all, s), 0);
	return s;
}

static void server_join(struct tls_server *s)
{
	assert_int_equal(eventfd_write(s->stop_fd, 1), 0);
	pthread_join(s->thread, NULL);
}

static void server_free(struct tls_server *s)
{
	SSL_CTX_free(s->context);
	close(s->listener);
	close(s->stop_fd);
	close(s->bundle_fd);
	free(s);
}

/* --- tests -------------------------------------------------------------------- */

static int get(struct transfer *t, unsigned port, struct error *e)
{
	char url[64];
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
	struct call call = {.deadline_ns = clock_monotonic_ns() + PATIENCE};
	struct http_request request = {.method = "GET", .url = url, .body_fd = -1};
	struct http_response response;
	int r = transfer_perform(t, &call, &request, &response, e);
	if (r == 0)
		http_response_finish(&response);
	return r;
}

static struct transfer *transfer_of(const char *bundle)
{
	struct transfer_options options = {
		.concurrency = 1, .no_proxy = true, .ca_bundle = bundle};
	struct transfer *t;
	assert_int_equal(transfer_new(&options, &t, NULL), 0);
	return t;
}

/* The second connection resumes the first one's session. */
static void a_certificate_of_the_bundle_is_trusted(void **state)
{
	struct tls_server *s = server_start("IP:127.0.0.1");
	struct transfer *t = transfer_of(s->bundle);
	struct error e = {0};
	if (get(t, s->port, &e) != 0 || get(t, s->port, &e) != 0)
		fail_msg("%s", e.text);
	transfer_free(t);
	server_join(s);
	assert_int_equal(s->served, 2);
	assert_int_equal(s->resumed, 1);
	server_free(s);
}

static void check_distrust(const char *name, const char *bundle)
{
	struct tls_server *s = server_start(name);
	struct transfer *t = transfer_of(bundle ? bundle : s->bundle);
	struct error e = {0};
	assert_int_equal(get(t, s->port, &e), -ECONNABORTED);
	assert_non_null(strstr(e.text, "'https://127.0.0.1:"));
	transfer_free(t);
	server_join(s);
	assert_int_equal(s->served, 0);
	server_free(s);
}

static void an_unknown_certificate_is_not_trusted(void **state)
{
	struct tls_server *other = server_start("IP:127.0.0.1");
	check_distrust("IP:127.0.0.1", other->bundle);
	server_join(other);
	server_free(other);
}

static void another_hosts_certificate_is_not_trusted(void **state)
{
	check_distrust("IP:127.0.0.2", NULL);
	check_distrust("DNS:store.example", NULL);
}

static void a_missing_bundle_trusts_nobody(void **state)
{
	check_distrust("IP:127.0.0.1", "/nonexistent/bundle.pem");
}

static void a_bundle_that_is_renewed_is_read_anew(void **state)
{
	struct tls_server *s = server_start("IP:127.0.0.1");
	struct tls_server *renewed = server_start("IP:127.0.0.1");
	struct transfer *t = transfer_of(s->bundle);
	struct error e = {0};
	if (get(t, s->port, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(get(t, renewed->port, NULL), -ECONNABORTED);
	bundle(s, SSL_CTX_get0_certificate(renewed->context));
	if (get(t, renewed->port, &e) != 0)
		fail_msg("%s", e.text);
	transfer_free(t);
	server_join(s);
	server_join(renewed);
	assert_int_equal(s->served, 1);
	assert_int_equal(renewed->served, 1);
	server_free(s);
	server_free(renewed);
}

/* The kinds of places where libcurl looks for the system's certificates: a file, and a
 * directory that names each by a digest. */
struct trust {
	const char *file; /* NULL: none */
	const char *directory;
};

static int lay_certificate(const char *path, X509 *certificate)
{
	FILE *file = fopen(path, "w");
	if (!file)
		return -errno;
	int written = PEM_write_X509(file, certificate);
	return fclose(file) == 0 && written == 1 ? 0 : -EIO;
}

/* Makes the server's certificate the only one of the system's, in a mount table of this
 * process's own. */
static int become_trusting(const struct trust *system, const struct tls_server *s)
{
	char name[PATH_MAX];
	const char *directory = system->directory, *file = system->file;
	X509 *certificate = SSL_CTX_get0_certificate(s->context);
	if (unshare(CLONE_NEWNS) < 0 ||
		mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", directory, "tmpfs", 0, "size=256k") < 0)
		return -errno;
	snprintf(name, sizeof(name), "%s/%08lx.0", directory,
		X509_subject_name_hash(certificate));
	int r = lay_certificate(name, certificate);
	bool below = file && !strncmp(file, directory, strlen(directory));
	return r == 0 && below ? lay_certificate(file, certificate) : r;
}

/* In a child. Asks a server that the system trusts, without a bundle and with one of
 * another server's. 0: as it should be; 77: it cannot be tried. */
static int ask_as_trusting(const struct trust *system)
{
	struct tls_server *s = server_start("IP:127.0.0.1");
	struct tls_server *other = server_start("IP:127.0.0.2");
	if (become_trusting(system, s) < 0)
		return 77;
	struct transfer *t = transfer_of(NULL);
	int without = get(t, s->port, NULL);
	transfer_free(t);
	t = transfer_of(other->bundle);
	int with = get(t, s->port, NULL);
	transfer_free(t);
	return without < 0 ? 1 : with != -ECONNABORTED ? 2 : 0;
}

static void with_a_bundle_the_systems_are_not_trusted(void **state)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
	const struct trust system = {info->cainfo, info->capath};
	if (geteuid() != 0 || !system.directory) {
		print_message("not root, or no directory of certificates: not tried\n");
		skip();
	}
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(ask_as_trusting(&system));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("mounting is not allowed here: not tried\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_of_the_bundle_is_trusted),
		cmocka_unit_test(an_unknown_certificate_is_not_trusted),
		cmocka_unit_test(another_hosts_certificate_is_not_trusted),
		cmocka_unit_test(a_missing_bundle_trusts_nobody),
		cmocka_unit_test(a_bundle_that_is_renewed_is_read_anew),
		cmocka_unit_test(with_a_bundle_the_systems_are_not_trusted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
