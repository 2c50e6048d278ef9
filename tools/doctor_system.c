/* What larder doctor looks at on this machine. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/chunk_cache.h"
#include "tools/daemon_path.h"
#include "tools/doctor.h"
#include "tools/human.h"

#define CONFIG_MAX   (64u << 10) /* bytes of /etc/fuse.conf, of /proc/self/status */
#define LITTLE_SPACE (UINT64_C(1) << 30)
#define SYS_ADMIN    21 /* capabilities(7) */

static void look_at_device(struct doctor *d)
{
	CLEANUP(cleanup_close) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		doctor_say(d, FINDING_FINE, "fuse", "/dev/fuse can be opened");
	else if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		doctor_say(d, FINDING_FAILED, "fuse",
			"there is no /dev/fuse: load the kernel module 'fuse', or start "
			"the "
			"container with --device /dev/fuse; 'larder restore' needs none");
	else
		doctor_say(d, FINDING_FAILED, "fuse",
			"/dev/fuse cannot be opened: %s; it is usually open to all (mode "
			"0666)",
			strerror(errno));
}

/* May this process mount? CapEff in /proc/self/status is a hexadecimal mask. */
static bool may_mount(void)
{
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	if (read_small_file("/proc/self/status", CONFIG_MAX, &text, &len) < 0)
		return true;
	const char *line = strstr(text, "\nCapEff:");
	return !line || strtoull(line + 8, NULL, 16) >> SYS_ADMIN & 1;
}

/* Finds a program in PATH: its stat, and the path in ret. */
static bool find_program(const char *name, char ret[static PATH_MAX], struct stat *st)
{
	const char *p = getenv("PATH");
	while (p && *p) {
		size_t len = strcspn(p, ":");
		snprintf(ret, PATH_MAX, "%.*s/%s", (int)len, p, name);
		if (len && access(ret, X_OK) == 0 && stat(ret, st) == 0)
			return true;
		p += len + (p[len] == ':');
	}
	return false;
}

static void look_at_rights(struct doctor *d)
{
	char path[PATH_MAX];
	struct stat st;
	bool found = find_program("fusermount3", path, &st);
	if (geteuid() == 0 && may_mount())
		doctor_say(d, FINDING_FINE, "mounting", "as root");
	else if (geteuid() == 0)
		doctor_say(d, FINDING_FAILED, "mounting",
			"root without the right to mount: start the container with "
			"--cap-add SYS_ADMIN");
	else if (!found)
		doctor_say(d, FINDING_FAILED, "mounting",
			"there is no fusermount3 in PATH: install the package fuse3");
	else if (!(st.st_mode & S_ISUID) || st.st_uid != 0)
		doctor_say(d, FINDING_FAILED, "mounting",
			"'%s' does not run as root: run, as root: chown root '%s' && "
			"chmod u+s '%s'",
			path, path, path);
	else
		doctor_say(d, FINDING_FINE, "mounting", "by '%s'", path);
}

static bool allows_other(const char *config)
{
	static const char word[] = "user_allow_other";
	for (const char *line = config; *line;) {
		line += strspn(line, " \t");
		const char *end = line + strcspn(line, " \t\r\n");
		if ((size_t)(end - line) == strlen(word) &&
			!strncmp(line, word, strlen(word)))
			return true;
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return false;
}

static void look_at_config(struct doctor *d)
{
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	if (geteuid() == 0)
		return;
	if (read_small_file("/etc/fuse.conf", CONFIG_MAX, &text, &len) == 0 &&
		allows_other(text))
		doctor_say(d, FINDING_FINE, "allow-other", "/etc/fuse.conf allows it");
	else
		doctor_say(d, FINDING_NOTE, "allow-other",
			"only for root: /etc/fuse.conf has no line 'user_allow_other'");
}

static void look_at_daemon(struct doctor *d)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(PATH_MAX);
	struct error e = {0};
	if (daemon_path(&path, &e) == 0)
		doctor_say(d, FINDING_FINE, "larderfs", "'%s'", buf_str(&path));
	else
		doctor_say(d, FINDING_FAILED, "larderfs", "%s", e.text);
}

static void look_at_cache(struct doctor *d)
{
	const struct settings *s = &d->o->settings;
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *cache = NULL;
	struct error e = {0};
	struct statvfs disk;
	char space[HUMAN_SIZE];
	if (!s->cache_dir || !*s->cache_dir) {
		doctor_say(d, FINDING_NOTE, "cache", "turned off");
		return;
	}
	if (chunk_cache_open(s->cache_dir, s->cache_size, &cache, &e) < 0) {
		doctor_say(d, FINDING_WARNING, "cache", "%s", e.text);
		return;
	}
	if (statvfs(s->cache_dir, &disk) < 0)
		disk = (struct statvfs){0};
	uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	human_bytes(free_bytes, space);
	if (!chunk_cache_writable(cache))
		doctor_say(d, FINDING_WARNING, "cache", "'%s' cannot be written to",
			s->cache_dir);
	else
		doctor_say(d, free_bytes < LITTLE_SPACE ? FINDING_WARNING : FINDING_FINE,
			"cache", "'%s', %s free on its disk", s->cache_dir, space);
}

void doctor_look_at_system(struct doctor *d)
{
	look_at_device(d);
	look_at_rights(d);
	look_at_config(d);
	look_at_daemon(d);
	look_at_cache(d);
}
