#include "fs/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "fetch/base/exit_code.h"
#include "fetch/base/log.h"
#include "fetch/base/output_file.h"
#include "fetch/base/process.h"
#include "fs/daemon.h"
#include "fs/ending.h"
#include "fs/metrics.h"
#include "fs/mount_session.h"
#include "fs/mountpoint.h"
#include "fs/options.h"
#include "fs/status.h"

struct run {
	const struct fs_options *options;
	struct mountpoint place;
	struct daemon daemon;
	struct ending *ending;
	int log_fd; /* or LOG_TO_SYSLOG */
	struct larderfs *fs;
	struct metrics_file metrics;
	struct mount_session *session;
};

static enum log_level log_level_of(const struct options *said, bool serving)
{
	if (said->quiet)
		return LOG_ERROR;
	if (said->verbose)
		return LOG_DEBUG;
	return serving ? LOG_INFO : LOG_WARNING;
}

/* --- what is shown ------------------------------------------------------------------ */

/* A look for the key: one patience for all that will do. */
struct search {
	struct larderfs *fs;
	struct call call;
};

static int show(void *arg, const char *key, struct error *e)
{
	struct search *s = arg;
	return larderfs_show(s->fs, &s->call, key, e);
}

static int show_wanted(struct run *run, struct error *e)
{
	const struct fs_options *o = run->options;
	struct search s = {
		.fs = run->fs,
		.call = {
			.deadline_ns = clock_monotonic_ns() + run->fs->timeout_ns,
			.cancel = &run->ending->cancel,
		},
	};
	if (!o->key)
		return show(&s, NULL, e);
	return key_choice_find(&o->keys, s.fs->store, &s.call, show, &s, e);
}

static int tell_output(struct run *run, struct error *e)
{
	const char *path = run->options->said.output;
	CLEANUP(cleanup_generation)
	struct generation *g = run->fs->keyspace ? larderfs_one_key(run->fs) : NULL;
	if (!path || !run->options->key)
		return 0;
	struct output_facts facts = {0};
	struct pin pin;
	char identity[DIGEST_HEX_SIZE];
	if (g) {
		generation_pin(g, &pin);
		digest_hex(generation_identity(g), identity);
		facts.key = doorway_key(doorway_of(g));
		facts.hit = key_choice_is_exact(&run->options->keys, facts.key);
		facts.identity = identity;
		facts.etag = pin.etag;
		facts.size = pin.size;
	}
	return output_append(path, &facts, e);
}

/* For whoever waits for the mount: with --foreground it is in the log. */
static void tell_person(struct run *run)
{
	const struct fs_options *o = run->options;
	CLEANUP(cleanup_generation) struct generation *g = larderfs_one_key(run->fs);
	if (!g || o->said.quiet || o->said.foreground)
		return;
	bool exact = key_choice_is_exact(&o->keys, doorway_key(doorway_of(g)));
	status_first_words(stdout, g, exact ? NULL : key_choice_own(&o->keys));
	fflush(stdout);
}

/* --- start, serve, end ------------------------------------------------------------- */

/* O_NONBLOCK: open(2) of a pipe would wait for a reader. */
static int open_log(struct run *run, struct error *e)
{
	const char *path = run->options->said.log_file;
	run->log_fd = run->options->said.foreground ? STDERR_FILENO : LOG_TO_SYSLOG;
	if (!path)
		return 0;
	run->log_fd = open(path,
		O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
	if (run->log_fd >= 0)
		return 0;
	return error_set(e, -EINVAL, "cannot open the log file '%s': %s", path,
		errno == ENXIO ? "it is a pipe without a reader, or no file"
			       : strerror(errno));
}

/* From now on the log goes where a daemon's goes. */
static void switch_log(const struct run *run)
{
	log_init_daemon("larderfs", log_level_of(&run->options->said, true), run->log_fd);
}

/* options.c has refused all other words. */
static enum larderfs_prefetch prefetch_of(const char *word)
{
	if (!word || !strcmp(word, "auto"))
		return PREFETCH_AUTO;
	return !strcmp(word, "all") ? PREFETCH_ALL : PREFETCH_NONE;
}

static int make(struct run *run, struct error *e)
{
	const struct fs_options *o = run->options;
	const struct larderfs_options lo = {
		.store = o->store,
		.settings = &o->said.settings,
		.covers = mountpoint_name(&run->place),
		.prefetch = prefetch_of(o->said.prefetch),
		.owner = {o->said.preserve_owner, o->uid, o->gid},
	};
	int r = larderfs_new(&lo, &run->fs, e);
	if (r == 0)
		r = show_wanted(run, e);
	return r;
}

static int mount_now(struct run *run, struct error *e)
{
	const struct session_options so = {
		.source = store_name(run->fs->store),
		.allow_other = run->options->said.allow_other,
		.no_exec = run->options->words.no_exec,
		.no_sym_follow = run->options->words.no_sym_follow,
	};
	int r = mount_session_new(run->fs, &run->place, &so, ending_say_over, run->ending,
		&run->session, e);
	if (r == 0)
		r = mount_session_start(run->session, e);
	return r;
}

static int start(struct run *run, struct error *e)
{
	int r = ending_init(run->ending);
	if (r < 0)
		return error_set_errno(e, r, "cannot start a thread");
	r = make(run, e);
	if (r == 0)
		r = mount_now(run, e);
	if (r == 0 && run->options->said.metrics_file)
		r = metrics_file_start(
			&run->metrics, run->options->said.metrics_file, run->fs, e);
	if (r == 0)
		r = tell_output(run, e);
	if (r == -ECANCELED ||
		(r == 0 && ending_signal(run->ending) && run->daemon.report >= 0))
		return error_set(
			e, -ECANCELED, "ended by a signal before the mount served");
	return r;
}

static void serve(struct run *run)
{
	tell_person(run);
	switch_log(run); /* first: what is logged in between would go to /dev/null */
	if (daemon_ready(&run->daemon) < 0)
		return; /* whoever wanted the mount is gone */
	log_info("mounted '%s' on '%s'%s%s%s", store_name(run->fs->store),
		mountpoint_name(&run->place), run->options->key ? ", key '" : "",
		run->options->key ? run->options->key : "", run->options->key ? "'" : "");
	ending_wait(run->ending);
}

static void end(struct run *run, bool served)
{
	char words[256];
	mount_session_free(run->session);
	metrics_file_finish(&run->metrics);
	if (served) {
		status_last_words(run->fs, words, sizeof(words));
		log_info("%s", words);
	}
	larderfs_free(run->fs);
	if (run->log_fd > STDERR_FILENO)
		close(run->log_fd);
}

/* Says why there is no mount, once, and returns the exit code. */
static int conclude(struct run *run, int r, const struct error *e)
{
	const struct options *said = &run->options->said;
	int code = exit_code_of(r, ending_signal(run->ending));
	const char *sentence = e->text[0] ? e->text : strerror(-r);
	if (code == EXIT_MISS) {
		struct error why = {0};
		if (tell_output(run, &why) < 0)
			log_error("%s", why.text);
		if (!said->quiet)
			fprintf(stderr, "larderfs: %s: nothing is mounted\n", sentence);
		return said->fail_on_miss ? EXIT_MISS : EXIT_DONE;
	}
	bool soft = said->soft_fail && exit_code_is_soft(code);
	log_write(soft ? LOG_WARNING : LOG_ERROR, "%s", sentence);
	return soft ? EXIT_DONE : code;
}

static int run_daemon(struct run *run)
{
	CLEANUP(ending_finish) struct ending ending = {0};
	struct error e = {0};
	run->ending = &ending;
	int r = start(run, &e);
	int code = r < 0 ? conclude(run, r, &e) : EXIT_DONE;
	if (r == 0)
		serve(run);
	end(run, r == 0);
	if (r < 0)
		daemon_failed(&run->daemon, code);
	return code;
}

/* All that can be told without the store; nothing has been started yet. */
static int prepare(
	struct run *run, struct fs_options *o, int argc, char **argv, struct error *e)
{
	int r = fs_options_parse(o, argc, argv, e);
	if (r < 0 || o->version || o->said.help)
		return r;
	log_init("larderfs", log_level_of(&o->said, false), STDERR_FILENO);
	r = mountpoint_check(o->mountpoint, &run->place, e);
	run->place.shown = o->said.shown_as;
	if (r == 0)
		r = output_check(o->said.output, e);
	if (r == 0 && o->said.metrics_file)
		r = metrics_file_check(o->said.metrics_file, e);
	return r < 0 ? r : open_log(run, e);
}

static int run_larderfs(struct run *run, struct fs_options *o, int argc, char **argv)
{
	struct error e = {0};
	int r = prepare(run, o, argc, argv, &e);
	if (r < 0) {
		log_error("%s", e.text[0] ? e.text : strerror(-r));
		return exit_code_of(r, 0);
	}
	if (o->version) {
		puts("larderfs " LARDER_VERSION);
		return EXIT_DONE;
	}
	if (o->said.help) {
		fs_options_help();
		return EXIT_DONE;
	}
	int code;
	if (!o->said.foreground && daemon_split(&run->daemon, &code))
		return code;
	return run_daemon(run);
}

int larderfs_main(int argc, char **argv)
{
	prctl(PR_SET_NAME, "larderfs"); /* ps shows it, `larder umount` looks at it */
	daemon_close_inherited();
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	log_init("larderfs", LOG_WARNING, STDERR_FILENO);
	if (harden_process() < 0)
		log_debug("cores cannot be turned off: %s", strerror(errno));
	if (raise_open_files() < 0) /* an open key of a folder is an open file */
		log_debug("the limit of open files stays: %s", strerror(errno));
	struct fs_options o;
	struct run run = {.options = &o, .daemon.report = -1, .log_fd = LOG_TO_SYSLOG};
	fs_options_init(&o);
	int code = run_larderfs(&run, &o, argc, argv);
	fs_options_finish(&o);
	return code;
}
