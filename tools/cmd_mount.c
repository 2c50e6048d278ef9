/*
 * larder mount: becomes larderfs; with --writable, starts it on a directory of its own
 * and mounts an overlay over that.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/log.h"
#include "fetch/base/output_file.h"
#include "fs/program.h"
#include "tools/command.h"
#include "tools/daemon_path.h"
#include "tools/daemon_words.h"
#include "tools/mounted.h"
#include "tools/overlay.h"
#include "tools/session.h"
#include "tools/unmount.h"

#define SAID_MAX (16u << 10) /* bytes; one line with a key in it */

static int become_daemon(const struct options *o, struct error *e)
{
	CLEANUP(daemon_words_finish) struct daemon_words line = {0};
	int r = daemon_words_make(
		&line, "larderfs", o, o->arguments.data[o->arguments.len - 1], e);
	if (r < 0)
		return r;
	return larderfs_main((int)line.words.len - 1, (char **)line.words.data);
}

/* 0, also after a miss, when nothing is mounted; larderfs's exit status, after it has
 * said what is wrong; -errno. */
static int start_lower(
	const struct options *o, const char *home, const char *point, struct error *e)
{
	char lower[PATH_MAX], said[PATH_MAX], output[PATH_MAX];
	overlay_part(home, "lower", lower);
	overlay_part(home, "said", said);
	overlay_part(home, "output", output);
	struct options lowers = *o; /* borrows all of it */
	lowers.shown_as = point;
	lowers.output = o->output ? output : NULL;
	CLEANUP(buf_finish) struct buf program = BUF_INIT(PATH_MAX);
	CLEANUP(daemon_words_finish) struct daemon_words line = {0};
	int r = daemon_path(&program, e);
	if (r == 0)
		r = daemon_words_make(&line, buf_str(&program), &lowers, lower, e);
	if (r < 0)
		return r;
	r = run_program(line.words.data, NULL, said, true);
	if (r < 0)
		return error_set_errno(e, r, "cannot start '%s'", buf_str(&program));
	if (r == 0 && session_signal())
		return error_set(
			e, -ECANCELED, "ended by a signal before the mount served");
	return r;
}

/* Hands on what larderfs has told of the lower mount, or of a miss. */
static int tell(const struct options *o, const char *home, struct error *e)
{
	CLEANUP(cleanup_free) char *words = NULL;
	char path[PATH_MAX];
	size_t len;
	overlay_part(home, "output", path);
	int r = output_append_from(o->output, path, e);
	if (r < 0)
		return r;
	overlay_part(home, "said", path);
	r = read_small_file(path, SAID_MAX, &words, &len);
	if (r < 0)
		return error_set(e, -EIO, "cannot read '%s': %s", path, strerror(-r));
	/* for a person: it is mounted all the same when nobody takes it, as without an overlay */
	r = write_fully(STDOUT_FILENO, words, len);
	if (r < 0)
		log_debug("cannot write to standard output: %s", strerror(-r));
	return 0;
}

/* Returns as start_lower() does; *ret_kept: the overlay is there. */
static int mount_parts(const struct options *o, const char *home, const char *point,
	bool *ret_kept, struct error *e)
{
	char lower[PATH_MAX];
	struct mount_facts facts;
	int status = start_lower(o, home, point, e);
	if (status < 0)
		return status;
	overlay_part(home, "lower", lower);
	int r = mount_facts_of(lower, &facts, e);
	if (r == 0 && facts.mounted) /* else a miss or a failure, said already */
		r = overlay_mount(home, point, o->allow_other, e);
	*ret_kept = r == 0 && facts.mounted;
	if (r == 0)
		r = tell(o, home, e);
	if (r < 0 && *ret_kept)
		*ret_kept = unmount(point, true, NULL) < 0;
	return r < 0 ? r : status;
}

static int mount_writable(const struct options *o, struct error *e)
{
	char home[PATH_MAX], point[PATH_MAX];
	CLEANUP(cleanup_close) int lock = -1;
	bool kept = false;
	if (o->foreground)
		return error_set(
			e, -EINVAL, "--writable and --foreground exclude each other");
	int r = session_signals(e);
	if (r == 0)
		r = mountpoint_demand(o->arguments.data[o->arguments.len - 1], point, e);
	if (r == 0)
		r = overlay_home_make(
			o->upper_dir, o->settings.cache_dir, point, home, e);
	if (r < 0)
		return r;
	r = overlay_lock(home, &lock, e);
	if (r == 0)
		r = mount_parts(o, home, point, &kept, e);
	struct error left = {0};
	session_signal_obeyed();
	if (!kept && overlay_dispose(home, "", false, &left) < 0 && r == 0)
		return error_copy(e, &left), left.code;
	return r;
}

int cmd_mount(const struct options *o, struct error *e)
{
	CLEANUP(key_choice_finish) struct key_choice keys = {0};
	int r = o->key ? session_keys(o, &keys, e) : 0;
	if (r < 0)
		return r;
	if (!o->writable && o->upper_dir)
		return error_set(e, -EINVAL, "--upper-dir is for --writable");
	r = mounted_demand_none(o->arguments.data[o->arguments.len - 1], e);
	if (r < 0)
		return r;
	return o->writable ? mount_writable(o, e) : become_daemon(o, e);
}
