#include "tools/mount_watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive/glob.h"
#include "fetch/base/mounts.h"
#include "fetch/base/path_within.h"
#include "tools/session.h"

/* --- what counts -----------------------------------------------------------------------
 */

struct search {
	struct mount_watch *watch;
	const char *top; /* the directory, absolute, without symlinks */
	const struct glob_set *excludes;
	const char *cache_dir;
	int result;
	struct error *e;
};

static bool is_watched(const struct mount_watch *w, const char *point)
{
	for (size_t i = 0; i < w->all.len; i++)
		if (!strcmp(w->all.data[i].mounted.point, point))
			return true;
	return false;
}

/* The path from top, when point lies in it; NULL. */
static const char *path_from(const char *top, const char *point)
{
	size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
	bool inside = !strncmp(point, top, len) && point[len] == '/' && point[len + 1];
	return inside ? point + len + 1 : NULL;
}

/* It, or a directory that it lies in. */
static bool is_excluded(const struct glob_set *excludes, const char *path)
{
	char part[PATH_MAX];
	for (const char *end = path; *end; end += *end == '/') {
		end = strchrnul(end, '/');
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		if (glob_set_matches(excludes, part, true))
			return true;
	}
	return false;
}

/* The directory that point is in is looked at, not what is mounted there. */
static bool is_in_cache(const char *cache_dir, const char *point)
{
	char above[PATH_MAX];
	const char *slash = strrchr(point, '/');
	snprintf(above, sizeof(above), "%.*s", (int)(slash - point), point);
	return *cache_dir && path_within(slash == point ? "/" : above, cache_dir);
}

static bool may_be_ours(const char *type)
{
	return !strcmp(type, "fuse.larderfs") || !strcmp(type, "overlay") ||
	       !strcmp(type, "fuse.fuse-overlayfs");
}

static int add(struct mount_watch *w, const struct mounted *m)
{
	return watched_vec_push(&w->all, (struct watched){.mounted = *m});
}

static void add_below(void *arg, const struct mount_line *line)
{
	struct search *s = arg;
	struct mounted m;
	const char *path = path_from(s->top, line->mountpoint);
	if (s->result < 0 || !path || !may_be_ours(line->type) ||
		is_watched(s->watch, line->mountpoint) ||
		is_excluded(s->excludes, path) ||
		is_in_cache(s->cache_dir, line->mountpoint) ||
		!mounted_find(line->mountpoint, &m) || !mounted_is_seen(&m))
		return;
	s->result = mount_demand_alive(m.point, m.daemon, session_signal_fd(), s->e);
	if (s->result == 0)
		s->result = add(s->watch, &m);
}

static int find(struct mount_watch *w, const char *directory, dev_t device,
	const char *const *exclude, const char *cache_dir, struct error *e)
{
	char top[PATH_MAX];
	struct mounted m;
	CLEANUP(cleanup_glob_set) struct glob_set *excludes = NULL;
	int r = glob_set_new(exclude, &excludes);
	if (r == 0)
		r = mountpoint_resolve(directory, top, e);
	struct search s = {
		.watch = w,
		.top = top,
		.excludes = excludes,
		.cache_dir = r == 0 && path_within(top, cache_dir) ? "" : cache_dir,
		.e = e,
	};
	if (r == 0 && mounted_find_above(directory, device, &m))
		r = add(w, &m);
	if (r == 0)
		r = mounts_each(add_below, &s, e);
	return r < 0 ? r : s.result;
}

/* --- what they say ---------------------------------------------------------------------
 */

static int say_overwritten(const struct mounted *m, struct error *e)
{
	if (!mounted_is_writable(m))
		return error_set(e, -EBUSY,
			"what is mounted on '%s' was overwritten in its store while it "
			"was packed; try again",
			m->point);
	return error_set(e, -EBUSY,
		"what is mounted on '%s' was overwritten in its store meanwhile, and "
		"shows more than one version; unmount it (--keep-upper keeps what was "
		"written), and mount it again",
		m->point);
}

static int say_untold(const struct mounted *m, int64_t code, struct error *e)
{
	if (code == -ECANCELED)
		return error_set(e, (int)code, "interrupted while asking '%s'", m->point);
	return error_set(e, -EBUSY,
		"what is mounted on '%s' does not say whether it was overwritten in its "
		"store meanwhile (%s); unmount it, and mount it again",
		m->point, strerror((int)-code));
}

/* A writable mount keeps names of the version before for as long as it lives; another one
 * must not change while it is packed. */
int mount_watch_begin(struct mount_watch *w, const char *directory, dev_t device,
	const char *const *exclude, const char *cache_dir, struct error *e)
{
	watched_vec_finish(&w->all);
	int r = find(w, directory, device, exclude, cache_dir, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < w->all.len; i++) {
		struct watched *one = &w->all.data[i];
		one->overwrites = mounted_overwrites(&one->mounted);
		if (one->overwrites < 0)
			return say_untold(&one->mounted, one->overwrites, e);
		if (one->overwrites && mounted_is_writable(&one->mounted))
			return say_overwritten(&one->mounted, e);
	}
	return 0;
}

int mount_watch_end(const struct mount_watch *w, struct error *e)
{
	for (size_t i = 0; i < w->all.len; i++) {
		const struct watched *one = &w->all.data[i];
		int64_t overwrites = mounted_overwrites(&one->mounted);
		if (overwrites < 0)
			return say_untold(&one->mounted, overwrites, e);
		if (overwrites != one->overwrites)
			return say_overwritten(&one->mounted, e);
	}
	return 0;
}

void mount_watch_finish(struct mount_watch *w)
{
	watched_vec_finish(&w->all);
}
