#include "fetch/probe_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cache_folder.h"
#include "fetch/base/digest.h"
#include "fetch/base/io.h"
#include "fetch/nonce.h"

#define HEADLINE "larder probe 1"

static const char *const honour_names[] = {
	[HONOUR_UNKNOWN] = "unknown",
	[HONOUR_NO] = "no",
	[HONOUR_SEQUENTIAL] = "sequential",
	[HONOUR_ATOMIC] = "atomic",
};

/* --- text --------------------------------------------------------------------------- */

int probe_record_format(
	const char *scope, const struct probe_answer *answer, struct buf *ret)
{
	return buf_printf(ret,
		HEADLINE "\nscope %s\nput %s\ncomplete %s\nwhen %" PRId64 "\n", scope,
		honour_names[answer->put], honour_names[answer->complete],
		answer->when_s);
}

/* Takes "name value\n" off the text; NULL when it does not begin so. */
static const char *take_line(const char *text, const char *name, char *ret, size_t size)
{
	size_t skip = strlen(name), len;
	if (!text || strncmp(text, name, skip) || text[skip] != ' ')
		return NULL;
	text += skip + 1;
	len = strcspn(text, "\n");
	if (text[len] != '\n' || len >= size)
		return NULL;
	memcpy(ret, text, len);
	ret[len] = '\0';
	return text + len + 1;
}

static const char *take_honour(const char *text, const char *name, enum honour *ret)
{
	char value[16];
	text = take_line(text, name, value, sizeof(value));
	for (size_t i = 0; text && i < sizeof(honour_names) / sizeof(*honour_names);
		i++) {
		if (!strcmp(value, honour_names[i])) {
			*ret = (enum honour)i;
			return text;
		}
	}
	return NULL;
}

static const char *take_number(const char *text, const char *name, int64_t *ret)
{
	char value[24], more;
	text = take_line(text, name, value, sizeof(value));
	return text && sscanf(value, "%" SCNd64 "%c", ret, &more) == 1 ? text : NULL;
}

int probe_record_parse(const char *text, const char *scope, struct probe_answer *ret)
{
	struct probe_answer answer;
	char found[PROBE_RECORD_MAX];
	if (strncmp(text, HEADLINE "\n", strlen(HEADLINE "\n")))
		return -EBADMSG;
	text = take_line(text + strlen(HEADLINE "\n"), "scope", found, sizeof(found));
	if (!text || strcmp(found, scope))
		return -EBADMSG;
	text = take_honour(text, "put", &answer.put);
	text = take_honour(text, "complete", &answer.complete);
	text = take_number(text, "when", &answer.when_s);
	if (!text)
		return -EBADMSG;
	*ret = answer;
	return 0;
}

/* --- files -------------------------------------------------------------------------- */

/* "DIR/probes" or, with a scope, the file in it. */
static int name_file(const char *cache_dir, const char *scope, char ret[static PATH_MAX])
{
	struct digest digest;
	char hex[DIGEST_HEX_SIZE] = "";
	int r = scope ? digest_of(scope, strlen(scope), &digest) : 0;
	if (r < 0)
		return r;
	if (scope)
		digest_hex(&digest, hex);
	int len = snprintf(
		ret, PATH_MAX, "%s/probes%s%s", cache_dir, scope ? "/" : "", hex);
	return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool is_ours(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 022);
}

/* A clock that was put back makes an answer look young for longer: not from the future.
 */
static bool counts(const struct probe_answer *answer, int64_t now_s)
{
	int64_t kept = answer->put > HONOUR_NO ? PROBE_KEPT_YES_S : PROBE_KEPT_NO_S;
	return answer->when_s <= now_s && answer->when_s > now_s - kept;
}

int probe_record_read(
	const char *cache_dir, const char *scope, int64_t now_s, struct probe_answer *ret)
{
	char path[PATH_MAX];
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	struct probe_answer answer;
	if (name_file(cache_dir, scope, path) < 0 || !is_ours(path) ||
		read_small_file(path, PROBE_RECORD_MAX, &text, &len) < 0 || !text ||
		probe_record_parse(text, scope, &answer) < 0 || !counts(&answer, now_s))
		return -ENOENT;
	*ret = answer;
	return 0;
}

static int write_file(const char *path, const struct buf *text)
{
	CLEANUP(cleanup_close)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : write_fully(fd, text->data, text->len);
}

int probe_record_write(
	const char *cache_dir, const char *scope, const struct probe_answer *answer)
{
	char path[PATH_MAX], temporary[PATH_MAX + NONCE_SIZE], nonce[NONCE_SIZE];
	CLEANUP(buf_finish) struct buf text = BUF_INIT(PROBE_RECORD_MAX - 1);
	CLEANUP(cleanup_close) int folder = -1;
	int r = probe_record_format(scope, answer, &text);
	if (r == 0)
		r = cache_folder_open(cache_dir, &folder, NULL);
	if (r == 0)
		r = name_file(cache_dir, NULL, path);
	if (r == 0)
		r = make_directories(path, 0700);
	if (r == 0)
		r = name_file(cache_dir, scope, path);
	if (r == 0)
		r = nonce_new(nonce);
	if (r < 0)
		return r;
	snprintf(temporary, sizeof(temporary), "%s.%s", path, nonce);
	r = write_file(temporary, &text);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}
