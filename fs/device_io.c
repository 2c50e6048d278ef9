#include "fs/device_io.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "fs/linger.h"
#include "fs/lookout.h"

static const struct device_io *attached;

/* The number of the INIT request that waits for its answer; 0: none (requests' numbers
 * are never 0, notifications' always are). */
static atomic_uint_least64_t init_unique;

static struct lookout lookout = LOOKOUT_INIT;
static struct linger linger;

void device_io_leave(void)
{
	lookout_leave(&lookout);
}

bool device_io_is_manned(void)
{
	return lookout_is_manned(&lookout);
}

static bool request_waits(int fd)
{
	struct pollfd request = {.fd = fd, .events = POLLIN};
	return poll(&request, 1, 0) != 0;
}

/* Lingers if that pays; true: a request has come. */
static bool look_out(int fd)
{
	if (!linger_begin(&linger))
		return false;
	uint64_t end_ns = clock_monotonic_ns() + LINGER_NS;
	bool came;
	while (!(came = request_waits(fd)) && clock_monotonic_ns() < end_ns)
		sched_yield();
	linger_end(&linger, came);
	return came;
}

/* These are answered from memory; where that is not so, ops_run_job() leaves the post. */
static bool is_quick(const struct fuse_in_header *in)
{
	switch (in->opcode) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case FUSE_READLINK:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return true;
	default:
		return false;
	}
}

static ssize_t read_request(int fd, void *buf, size_t size)
{
	bool looked = look_out(fd);
	ssize_t got = read(fd, buf, size);
	if (got < (ssize_t)sizeof(struct fuse_in_header))
		return got;
	if (!looked)
		linger_request(&linger, clock_monotonic_ns());
	return got;
}

static ssize_t device_read(int fd, void *buf, size_t size, void *userdata)
{
	lookout_take(&lookout);
	ssize_t got = read_request(fd, buf, size);
	int saved = errno;
	const struct fuse_in_header *in = got < (ssize_t)sizeof(*in) ? NULL : buf;
	bool quick = in && is_quick(in);
	if (in)
		lookout_count(&lookout, quick);
	if (!quick || request_waits(fd))
		lookout_leave(&lookout);
	if (got < 0 && saved == ENODEV)
		attached->gone(attached->arg);
	if (in && in->opcode == FUSE_INIT)
		atomic_store(&init_unique, in->unique);
	errno = saved;
	return got;
}

/* The answer to INIT is a header and a fuse_init_out, or a header alone when refused. */
static ssize_t write_init(int fd, const struct iovec *iov, int count)
{
	const struct fuse_out_header *header = iov[0].iov_base;
	struct fuse_init_out out = {0};
	struct iovec patched[2] = {iov[0], {&out, 0}};
	if (header->error || count != 2 || iov[1].iov_len > sizeof(out) ||
		iov[1].iov_len < offsetof(struct fuse_init_out, max_background))
		return writev(fd, iov, count);
	memcpy(&out, iov[1].iov_base, iov[1].iov_len);
	patched[1].iov_len = iov[1].iov_len;
	out.flags |= FUSE_PARALLEL_DIROPS;
	ssize_t written = writev(fd, patched, 2);
	if (written >= 0)
		attached->ready(attached->arg);
	return written;
}

/* ENOENT: whoever asked has gone, or a notice is of something the kernel does not know.
 * ENOMEM is said by libfuse alone: to us that is EIO, with a line of its own. */
static void look_for_loss(const struct fuse_out_header *header, ssize_t written)
{
	int code = written < 0 ? -errno : header->error;
	bool lost = written < 0 ? code != -ENOENT && code != -ENODEV : code == -ENOMEM;
	if (header->unique && lost)
		attached->lost(attached->arg, code);
}

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *header = iov[0].iov_base;
	uint64_t unique = header->unique;
	if (unique && atomic_load(&init_unique) == unique) {
		atomic_store(&init_unique, 0);
		return write_init(fd, iov, count);
	}
	if (unique)
		linger_answer(&linger, clock_monotonic_ns());
	ssize_t written = writev(fd, iov, count);
	int saved = errno;
	look_for_loss(header, written);
	errno = saved;
	return written;
}

static unsigned processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set)
							    : 1;
}

int device_io_attach(struct fuse_session *session, const struct device_io *io)
{
	static const struct fuse_custom_io custom = {
		.read = device_read,
		.writev = device_writev,
	};
	attached = io;
	linger_init(&linger, processors());
	return fuse_session_custom_io(session, &custom, fuse_session_fd(session));
}
