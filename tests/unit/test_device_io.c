/* Traffic with the kernel, which is the other end of a pair of sockets here. */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/device_io.h"

static struct {
	unsigned ready, gone, lost;
	int code; /* of the last loss */
} seen;

static void on_ready(void *arg)
{
	seen.ready++;
}

static void on_gone(void *arg)
{
	seen.gone++;
}

static void on_lost(void *arg, int code)
{
	seen.lost++;
	seen.code = code;
}

static void answer_getattr(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *fi)
{
	if (inode != FUSE_ROOT_ID) {
		fuse_reply_err(req, (int)inode);
		return;
	}
	const struct stat st = {.st_mode = S_IFDIR};
	fuse_reply_attr(req, &st, 1);
}

static const struct fuse_lowlevel_ops table = {.getattr = answer_getattr};

struct fixture {
	int kernel; /* the kernel's end */
	struct fuse_session *session;
	struct fuse_buf buf;
};

/* Hands one request over and has it answered. */
static void ask(struct fixture *f, uint32_t opcode, uint64_t unique, uint64_t inode,
	const void *args, size_t len)
{
	char request[256];
	const struct fuse_in_header header = {
		.len = (uint32_t)(sizeof(header) + len),
		.opcode = opcode,
		.unique = unique,
		.nodeid = inode,
	};
	memcpy(request, &header, sizeof(header));
	memcpy(request + sizeof(header), args, len);
	assert_int_equal(send(f->kernel, request, header.len, 0), header.len);
	assert_int_equal(fuse_session_receive_buf(f->session, &f->buf), header.len);
	fuse_session_process_buf(f->session, &f->buf);
}

static void ask_attributes(struct fixture *f, uint64_t unique, uint64_t inode)
{
	const struct fuse_getattr_in in = {0};
	ask(f, FUSE_GETATTR, unique, inode, &in, sizeof(in));
}

/* The error in the next answer: 0 or -errno. */
static int answer(struct fixture *f)
{
	char got[1024];
	assert_true(recv(f->kernel, got, sizeof(got), 0) >=
		    (ssize_t)sizeof(struct fuse_out_header));
	return ((const struct fuse_out_header *)(void *)got)->error;
}

static int set_up(void **state)
{
	static const struct device_io io = {on_ready, on_gone, on_lost, NULL};
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2];
	char place[32];
	seen.ready = seen.gone = seen.lost = 0;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	f->kernel = ends[1];
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	fuse_opt_add_arg(&args, "test");
	f->session = fuse_session_new(&args, &table, sizeof(table), NULL);
	assert_non_null(f->session);
	fuse_opt_free_args(&args);
	snprintf(place, sizeof(place), "/dev/fd/%d", ends[0]);
	assert_int_equal(fuse_session_mount(f->session, place), 0);
	assert_int_equal(device_io_attach(f->session, &io), 0);
	const struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = 1 << 20,
	};
	ask(f, FUSE_INIT, 1, 0, &in, sizeof(in));
	assert_int_equal(answer(f), 0);
	assert_int_equal(seen.ready, 1);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	close(f->kernel);
	fuse_session_destroy(f->session);
	free(f->buf.mem);
	free(f);
	return 0;
}

static void answers_that_arrive_are_no_loss(void **state)
{
	struct fixture *f = *state;
	ask_attributes(f, 2, FUSE_ROOT_ID);
	assert_int_equal(answer(f), 0);
	ask_attributes(f, 4, EIO);
	assert_int_equal(answer(f), -EIO);
	assert_int_equal(seen.lost, 0);
}

static void what_the_kernel_does_not_take_is_told(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(shutdown(f->kernel, SHUT_RD), 0);
	ask_attributes(f, 2, FUSE_ROOT_ID);
	assert_int_equal(seen.lost, 1);
	assert_int_equal(seen.code, -EPIPE);
	assert_int_equal(seen.gone, 0);
}

/* No handler of ours answers so. */
static void what_libfuse_has_no_memory_for_is_told(void **state)
{
	struct fixture *f = *state;
	ask_attributes(f, 2, ENOMEM);
	assert_int_equal(answer(f), -ENOMEM);
	assert_int_equal(seen.lost, 1);
	assert_int_equal(seen.code, -ENOMEM);
}

static void a_notice_of_the_unknown_is_no_loss(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(shutdown(f->kernel, SHUT_RD), 0);
	fuse_lowlevel_notify_inval_inode(f->session, 5, 0, 0);
	assert_int_equal(seen.lost, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(answers_that_arrive_are_no_loss),
		TEST(what_the_kernel_does_not_take_is_told),
		TEST(what_libfuse_has_no_memory_for_is_told),
		TEST(a_notice_of_the_unknown_is_no_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
