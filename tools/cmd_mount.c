/*
 * larder mount: becomes larderfs; with --writable, starts it on a directory of its own
 * and mounts an overlay over that.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fs/program.h"
#include "tools/command.h"
#include "tools/daemon_path.h"
#include "tools/daemon_words.h"
#include "tools/mounted.h"
#include "tools/overlay.h"
#include "tools/session.h"
#include "tools/unmount.h"

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
	struct options lowers = *o; /* borrows all of it */
	lowers.shown_as = point;
	CLEANUP(buf_finish) struct buf program = BUF_INIT(PATH_MAX);
	CLEANUP(daemon_words_finish) struct daemon_words line = {0};
	char lower[PATH_MAX];
	overlay_part(home, "lower", lower);
	int r = daemon_path(&program, e);
	if (r == 0)
		r = daemon_words_make(&line, buf_str(&program), &lowers, lower, e);
	if (r < 0)
		return r;
	r = run_program(line.words.data, NULL);
	if (r < 0)
		return error_set_errno(e, r, "cannot start '%s'", buf_str(&program));
	return session_signal() ? -ECANCELED : r;
}

/* Returns as start_lower() does; *ret_kept: the overlay is there. */
static int mount_parts(const struct options *o, const char *home, const char *point,
	bool *ret_kept, struct error *e)
{
	char lower[PATH_MAX];
	struct mount_facts facts;
	int r = start_lower(o, home, point, e);
	if (r)
		return r;
	overlay_part(home, "lower", lower);
	r = mount_facts_of(lower, &facts, e);
	if (r < 0 || !facts.mounted) /* a miss: said already */
		return r;
	r = overlay_mount(home, point, o->allow_other, e);
	*ret_kept = r == 0;
	return r;
}

static int mount_writable(const struct options *o, struct error *e)
{
	char home[PATH_MAX], point[PATH_MAX];
	bool kept = false;
	if (o->foreground)
		return error_set(
			e, -EINVAL, "--writable and --foreground exclude each other");
	int r = session_signals(e);
	if (r == 0)
		r = mountpoint_demand(o->arguments.data[o->arguments.len - 1], point, e);
	if (r == 0)
		r = overlay_home_make(o->upper_dir, o->settings.cache_dir, home, e);
	if (r < 0)
		return r;
	r = mount_parts(o, home, point, &kept, e);
	struct error left = {0};
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
