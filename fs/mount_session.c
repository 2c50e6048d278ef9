#include "fs/mount_session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"
#include "fs/device_io.h"
#include "fs/ops.h"

#define KICK_NS     (10 * NS_PER_MS) /* between two tries to wake the loop */
#define KICK_SIGNAL SIGUSR1

struct mount_session {
	struct larderfs *fs; /* borrowed */
	struct fuse_session *fuse;
	struct mountpoint place;
	struct device_io io;
	void (*ended)(void *arg);
	void *arg;

	pthread_t loop;
	bool started; /* the loop has a thread */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool serving;  /* under lock */
	bool over;     /* the loop has ended; under lock */
	bool stopping; /* it was told to; under lock */
};

/* The last thing libfuse had to say: the reason when mounting fails. Written and read by
 * the main thread, while there is no other of libfuse's. */
static char last_words[256];

__attribute__((format(printf, 2, 0))) static void on_fuse_log(
	enum fuse_log_level level, const char *format, va_list ap)
{
	char line[sizeof(last_words)];
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	const char *words = strncmp(line, "fuse: ", 6) == 0 ? line + 6 : line;
	snprintf(last_words, sizeof(last_words), "%.*s", (int)sizeof(last_words) - 1,
		words);
}

static int add(char **options, const char *word)
{
	return fuse_opt_add_opt_escaped(options, word) < 0 ? -ENOMEM : 0;
}

static int compose(const struct session_options *o, char **ret)
{
	static const char *const always[] = {
		"subtype=larderfs",
		"ro",
		"nosuid",
		"nodev",
		"noatime",
		"default_permissions",
		"max_read=1048576",
	};
	char source[4096];
	snprintf(source, sizeof(source), "fsname=%s", o->source);
	int r = add(ret, source);
	for (size_t i = 0; r == 0 && i < sizeof(always) / sizeof(always[0]); i++)
		r = add(ret, always[i]);
	if (r == 0 && o->allow_other)
		r = add(ret, "allow_other");
	if (r == 0 && o->no_exec)
		r = add(ret, "noexec");
	return r;
}

static struct fuse_session *new_fuse(struct larderfs *l, const struct session_options *o)
{
	char *options = NULL;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *fuse = NULL;
	if (compose(o, &options) == 0 && fuse_opt_add_arg(&args, "larderfs") == 0 &&
		fuse_opt_add_arg(&args, "-o") == 0 &&
		fuse_opt_add_arg(&args, options) == 0)
		fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table), l);
	fuse_opt_free_args(&args);
	free(options);
	return fuse;
}

static void on_ready(void *arg)
{
	struct mount_session *s = arg;
	LOCK_SCOPE(&s->lock);
	s->serving = true;
	pthread_cond_broadcast(&s->changed);
}

static void on_gone(void *arg)
{
	struct mount_session *s = arg;
	larderfs_cancel(s->fs);
}

static void on_lost(void *arg, int code)
{
	struct mount_session *s = arg;
	char sentence[ERROR_TEXT_SIZE];
	snprintf(sentence, sizeof(sentence), "an answer did not get to the kernel: %s",
		strerror(-code));
	complain(&s->fs->complaints, LOG_ERROR, "", code, sentence);
}

/* Mounts, and hangs our parts on the session. */
static int mount_it(
	struct mount_session *s, const struct session_options *o, struct error *e)
{
	fuse_set_log_func(on_fuse_log);
	last_words[0] = '\0';
	s->fuse = new_fuse(s->fs, o);
	if (!s->fuse)
		return error_set(e, -EIO, "libfuse takes no session: %s", last_words);
	if (fuse_session_mount(s->fuse, s->place.path) != 0)
		return error_set(e, -EIO,
			"cannot mount on '%s'%s%s; 'larder doctor' tells what is missing, "
			"'larder restore' needs no FUSE",
			mountpoint_name(&s->place), last_words[0] ? ": " : "", last_words);
	s->io = (struct device_io){on_ready, on_gone, on_lost, s};
	int r = device_io_attach(s->fuse, &s->io);
	if (r < 0)
		return error_set_errno(e, r, "cannot use '/dev/fuse'");
	r = mountpoint_note_device(&s->place, e);
	if (r == 0 && o->no_sym_follow)
		r = mountpoint_follow_no_symlinks(&s->place, e);
	if (r < 0)
		return r;
	r = larderfs_attach(s->fs, s->fuse);
	return r < 0 ? error_set_errno(e, r, "cannot start a thread") : 0;
}

int mount_session_new(struct larderfs *l, const struct mountpoint *place,
	const struct session_options *o, void (*ended)(void *arg), void *arg,
	struct mount_session **ret, struct error *e)
{
	struct mount_session *s = malloc(sizeof(*s));
	if (!s)
		return error_set_errno(e, -ENOMEM, "cannot mount");
	*s = (struct mount_session){
		.fs = l,
		.place = *place,
		.ended = ended,
		.arg = arg,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	condition_init(&s->changed);
	int r = mount_it(s, o, e);
	if (r < 0) {
		mount_session_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void on_kick(int number)
{
}

/* The loop waits in sem_wait(), which only a signal ends: this thread, alone of all,
 * takes KICK_SIGNAL. */
static void take_kicks(void)
{
	struct sigaction action = {.sa_handler = on_kick};
	sigaction(KICK_SIGNAL, &action, NULL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int run_loop(struct fuse_session *fuse)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, GATE_MOST + SESSION_SPARE_WORKERS);
	int r = fuse_session_loop_mt(fuse, config);
	fuse_loop_cfg_destroy(config);
	return r;
}

static void *loop(void *arg)
{
	struct mount_session *s = arg;
	take_kicks();
	int r = run_loop(s->fuse);
	if (r)
		log_debug("the session's loop ended: %d", r);
	bool told;
	{
		LOCK_SCOPE(&s->lock);
		s->over = true;
		told = s->stopping;
		pthread_cond_broadcast(&s->changed);
	}
	if (!told)
		s->ended(s->arg);
	return NULL;
}

static bool wait_until_serving(struct mount_session *s)
{
	LOCK_SCOPE(&s->lock);
	while (!s->serving && !s->over)
		pthread_cond_wait(&s->changed, &s->lock);
	return s->serving;
}

int mount_session_start(struct mount_session *s, struct error *e)
{
	int r = thread_start(&s->loop, loop, s);
	if (r < 0)
		return error_set_errno(e, r, "cannot start a thread");
	s->started = true;
	if (!wait_until_serving(s))
		return error_set(e, -EIO, "the mount on '%s' ended before it began: %s",
			mountpoint_name(&s->place), last_words);
	mountpoint_read_ahead(&s->place, SESSION_READ_AHEAD_KIB);
	return 0;
}

/* Waits a moment for the loop's end. */
static bool loop_is_over(struct mount_session *s)
{
	LOCK_SCOPE(&s->lock);
	if (s->over)
		return true;
	condition_wait_until(&s->changed, &s->lock, clock_monotonic_ns() + KICK_NS);
	return s->over;
}

/* True when it had ended by itself. */
static bool end_loop(struct mount_session *s)
{
	bool by_itself;
	{
		LOCK_SCOPE(&s->lock);
		s->stopping = true;
		by_itself = s->over;
	}
	fuse_session_exit(s->fuse);
	do
		pthread_kill(s->loop, KICK_SIGNAL);
	while (!loop_is_over(s));
	pthread_join(s->loop, NULL);
	return by_itself;
}

/* Somebody has unmounted lazily, and perhaps mounted anew at the same place, or has
 * renamed a directory above, and then our mount is undone where it is seen by now.
 * libfuse would unmount by path, unless poll(2) says that the connection is gone; it says
 * the same of a pipe that nobody reads. Closing the device ends our mount for whoever
 * still uses it. */
static void hang_up(struct fuse_session *fuse, const struct mountpoint *place)
{
	int ends[2];
	mountpoint_detach(place);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	close(ends[0]);
	dup3(ends[1], fuse_session_fd(fuse), O_CLOEXEC);
	close(ends[1]);
}

void mount_session_free(struct mount_session *s)
{
	if (!s)
		return;
	/* While the workers still answer, so that the kernel's locks which the notifier
	 * may wait for are given back. */
	larderfs_cancel(s->fs);
	larderfs_detach(s->fs);
	bool by_itself = s->started && end_loop(s);
	if (s->fuse) {
		if (!by_itself && s->place.device[0] && !mountpoint_is_ours(&s->place))
			hang_up(s->fuse, &s->place);
		fuse_session_unmount(s->fuse);
		fuse_session_destroy(s->fuse);
	}
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
