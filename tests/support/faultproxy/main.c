/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultproxy: a TCP proxy on the loopback that delays, limits and breaks what passes.
 *
 * It prints the port it listens on and runs until SIGTERM or SIGINT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "control.h"
#include "relay.h"
#include "settings.h"

struct options {
	const char *listen, *upstream, *control;
};

struct program {
	struct proxy proxy;
	struct control control;
	struct source signals;
};

static const char usage[] =
	"Usage: faultproxy --upstream HOST:PORT [option...]\n"
	"\n"
	"A TCP proxy on the loopback that delays, limits and breaks what passes.\n"
	"Prints the port it listens on.\n"
	"\n"
	"  --listen ADDRESS:PORT  loopback address; 127.0.0.1:0 (any port) unless given\n"
	"  --upstream HOST:PORT   where connections go\n"
	"  --rtt MS               round trip, half of it each way\n"
	"  --rate BYTES           a second, for each connection and way (k, M, G "
	"allowed)\n"
	"  --total-rate BYTES     a second, for all connections, each way\n"
	"  --profile NAME         lan, cloud, wan or none: round trip and rates at once\n"
	"  --control PATH         commands over a unix socket there, or - for standard "
	"input;\n"
	"                         the command help lists them\n";

static int fail(const char *what, const char *object)
{
	fprintf(stderr, "faultproxy: %s '%s'\n", what, object);
	return 2;
}

/* Splits HOST:PORT or [HOST]:PORT and looks it up. */
static int resolve(
	const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	const char *colon = strrchr(text, ':');
	char host[256];
	size_t length = colon ? (size_t)(colon - text) : 0;

	if (length && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (!length || length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found))
		return -EINVAL;
	memcpy(ret_address, found->ai_addr, found->ai_addrlen);
	*ret_length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return address->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static void on_accept(struct gate *gate, int fd)
{
	relay_accept(container_of(gate, struct proxy, gate), fd);
}

static int set_number(struct proxy *proxy, int option, const char *value)
{
	uint64_t total;

	if (option == 'r')
		return parse_ms(value, &proxy->rtt) ? 0 : fail("bad --rtt", value);
	if (option == 'c')
		return parse_size(value, &proxy->conn_rate) ? 0
							    : fail("bad --rate", value);
	if (option == 'p')
		return set_profile(proxy, value) ? 0 : fail("unknown --profile", value);
	if (!parse_size(value, &total))
		return fail("bad --total-rate", value);
	set_total_rate(proxy, total);
	return 0;
}

/* Numbers go to the proxy at once. 0, an exit status, or -1 to end well. */
static int read_options(
	int argc, char **argv, struct proxy *proxy, struct options *ret_options)
{
	static const struct option known[] = {
		{"control", required_argument, NULL, 'C'},
		{"help", no_argument, NULL, 'h'},
		{"listen", required_argument, NULL, 'l'},
		{"profile", required_argument, NULL, 'p'},
		{"rate", required_argument, NULL, 'c'},
		{"rtt", required_argument, NULL, 'r'},
		{"total-rate", required_argument, NULL, 't'},
		{"upstream", required_argument, NULL, 'u'},
		{0},
	};
	struct options options = {.listen = "127.0.0.1:0"};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (option == 'h')
			return fputs(usage, stdout) < 0 ? 1 : -1;
		if (option == '?')
			return 2;
		if (option == 'l')
			options.listen = optarg;
		else if (option == 'u')
			options.upstream = optarg;
		else if (option == 'C')
			options.control = optarg;
		else
			status = set_number(proxy, option, optarg);
	}
	if (!status && optind < argc)
		status = fail("unexpected argument", argv[optind]);
	if (!status && !options.upstream)
		status = fail("missing option", "--upstream");
	*ret_options = options;
	return status;
}

static int open_gate(struct proxy *proxy, const struct options *options)
{
	struct sockaddr_storage address;
	socklen_t length;
	int error;

	if (resolve(options->upstream, &proxy->upstream, &proxy->upstream_length))
		return fail("cannot find the upstream", options->upstream);
	if (resolve(options->listen, &address, &length) || !is_loopback(&address))
		return fail("not a loopback address and port", options->listen);
	error = gate_init(&proxy->gate, &proxy->loop, (struct sockaddr *)&address, length,
		on_accept);
	if (error) {
		fprintf(stderr, "faultproxy: cannot listen on '%s': %s\n",
			options->listen, strerror(-error));
		return 1;
	}
	return 0;
}

static int print_port(const struct proxy *proxy)
{
	/* it is at the same place in both families */
	const struct sockaddr_in *in = (const struct sockaddr_in *)&proxy->gate.address;

	printf("%d\n", ntohs(in->sin_port));
	return fflush(stdout) ? 1 : 0;
}

static void on_signal(struct source *source, uint32_t events)
{
	(void)events;
	container_of(source, struct program, signals)->proxy.loop.stop = true;
}

static int watch_signals(struct program *program)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	program->signals.on_ready = on_signal;
	return loop_watch(&program->proxy.loop, &program->signals, fd, EPOLLIN);
}

static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int open_control(struct program *program, const char *path)
{
	int error = path ? control_init(&program->control, &program->proxy, path) : 0;

	if (error)
		fprintf(stderr, "faultproxy: no control at '%s': %s\n", path,
			strerror(-error));
	return error ? 1 : 0;
}

/* The port is printed last: who has read it can connect and give commands. */
static int run(struct program *program, const struct options *options)
{
	struct proxy *proxy = &program->proxy;
	int status = open_gate(proxy, options);

	if (status)
		return status;
	status = open_control(program, options->control);
	if (!status)
		status = print_port(proxy);
	if (!status)
		status = loop_run(&proxy->loop) < 0 ? 1 : 0;
	if (program->control.proxy)
		control_finish(&program->control);
	relay_finish(proxy);
	gate_finish(&proxy->gate);
	return status;
}

int main(int argc, char **argv)
{
	static struct program program;
	struct proxy *proxy = &program.proxy;
	struct options options;
	int status;

	if (loop_init(&proxy->loop) < 0 || watch_signals(&program) < 0) {
		perror("faultproxy");
		return 1;
	}
	raise_limits();
	relay_init(proxy);
	status = read_options(argc, argv, proxy, &options);
	if (status == 0)
		status = run(&program, &options);
	close(program.signals.fd);
	loop_finish(&proxy->loop);
	return status < 0 ? 0 : status;
}
