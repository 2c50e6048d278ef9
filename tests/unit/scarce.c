#include "tests/unit/scarce.h"

#include "tests/unit/test.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <expat.h>
#include <locale.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "fetch/base/lock.h"

#define LIVE_SIZE (1u << 16) /* a power of two; blocks at once: half of it */
#define RUNS_MOST 1000000    /* an operation that never succeeds is no operation */

struct block {
	const void *at;
	const void *site; /* the caller's code */
};

static struct {
	pthread_mutex_t lock;
	/* Under lock. */
	bool watched;     /* blocks are noted */
	unsigned count;   /* of allocations, spared ones left out */
	unsigned fail_at; /* 0: none */
	bool and_beyond;
	unsigned live;
	struct block blocks[LIVE_SIZE];
} scarce = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool is_spared;
static const char *running; /* for the signal handler */

bool scarce_spare(bool spared)
{
	bool before = is_spared;
	is_spared = spared;
	return before;
}

/* --- what is allocated ----------------------------------------------------------------
 */

static size_t home_of(const void *at)
{
	return (size_t)((uintptr_t)at * UINT64_C(0x9e3779b97f4a7c15) >> 40) &
	       (LIVE_SIZE - 1);
}

static void note(const void *at, const void *site)
{
	LOCK_SCOPE(&scarce.lock);
	if (!at || !scarce.watched || is_spared)
		return;
	if (++scarce.live > LIVE_SIZE / 2)
		abort();
	size_t i = home_of(at);
	while (scarce.blocks[i].at)
		i = (i + 1) & (LIVE_SIZE - 1);
	scarce.blocks[i] = (struct block){at, site};
}

/* Moves back what would not be found any more behind the gap. */
static void close_gap(size_t gap)
{
	for (size_t i = gap;;) {
		i = (i + 1) & (LIVE_SIZE - 1);
		if (!scarce.blocks[i].at)
			break;
		size_t home = home_of(scarce.blocks[i].at);
		bool stays = gap < i ? gap < home && home <= i : gap < home || home <= i;
		if (stays)
			continue;
		scarce.blocks[gap] = scarce.blocks[i];
		gap = i;
	}
	scarce.blocks[gap] = (struct block){0};
}

/* What was not noted is a library's, or older. */
static void forget(const void *at)
{
	LOCK_SCOPE(&scarce.lock);
	if (!at || !scarce.live)
		return;
	size_t i = home_of(at);
	while (scarce.blocks[i].at && scarce.blocks[i].at != at)
		i = (i + 1) & (LIVE_SIZE - 1);
	if (!scarce.blocks[i].at)
		return;
	scarce.live--;
	close_gap(i);
}

bool scarce_runs_out(void)
{
	LOCK_SCOPE(&scarce.lock);
	if (!scarce.watched || is_spared)
		return false;
	scarce.count++;
	bool out = scarce.fail_at &&
		   (scarce.count == scarce.fail_at ||
			   (scarce.and_beyond && scarce.count > scarce.fail_at));
	if (out)
		errno = ENOMEM;
	return out;
}

/* --- what is wrapped ------------------------------------------------------------------
 */

#define SITE __builtin_return_address(0)

/* clang-format off */
#define WRAP(type, name, parameters, nothing)                                            \
	type __real_##name parameters;                                                   \
	type __wrap_##name parameters;                                                   \
	type __wrap_##name parameters                                                    \
	{                                                                                \
		if (scarce_runs_out())                                                          \
			return nothing;

#define WRAP_BLOCK(name, parameters, arguments)                                          \
	WRAP(void *, name, parameters, NULL)                                             \
		void *at = __real_##name arguments;                                      \
		note(at, SITE);                                                          \
		return at;                                                               \
	}

#define WRAP_OBJECT(type, name, parameters, arguments)                                   \
	WRAP(type, name, parameters, NULL)                                               \
		return __real_##name arguments;                                          \
	}

WRAP_BLOCK(malloc, (size_t size), (size))
WRAP_BLOCK(calloc, (size_t n, size_t size), (n, size))

WRAP_OBJECT(CURL *, curl_easy_init, (void), ())
WRAP_OBJECT(CURLM *, curl_multi_init, (void), ())
WRAP_OBJECT(CURLSH *, curl_share_init, (void), ())
WRAP_OBJECT(struct curl_slist *, curl_slist_append,
	(struct curl_slist *list, const char *line), (list, line))
WRAP_OBJECT(DIR *, fdopendir, (int fd), (fd))
WRAP_OBJECT(DIR *, opendir, (const char *path), (path))
WRAP_OBJECT(locale_t, newlocale, (int mask, const char *name, locale_t base),
	(mask, name, base))
WRAP_OBJECT(FILE *, open_memstream, (char **data, size_t *size), (data, size))
WRAP_OBJECT(char *, getcwd, (char *path, size_t size), (path, size))
WRAP_OBJECT(char *, realpath, (const char *path, char *ret), (path, ret))
WRAP_OBJECT(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
WRAP_OBJECT(unsigned char *, HMAC, (const EVP_MD *md, const void *key, int key_len,
	const unsigned char *data, size_t len, unsigned char *ret, unsigned int *ret_len),
	(md, key, key_len, data, len, ret, ret_len))
WRAP_OBJECT(XML_Parser, XML_ParserCreate, (const XML_Char *encoding), (encoding))
WRAP_OBJECT(ZSTD_CCtx *, ZSTD_createCCtx, (void), ())
WRAP_OBJECT(ZSTD_DCtx *, ZSTD_createDCtx, (void), ())

WRAP(int, EVP_Digest, (const void *data, size_t len, unsigned char *ret,
	unsigned int *ret_len, const EVP_MD *md, ENGINE *engine), 0)
	return __real_EVP_Digest(data, len, ret, ret_len, md, engine);
}

WRAP(void *, realloc, (void *old, size_t size), NULL)
	forget(old);
	void *at = __real_realloc(old, size);
	note(at ? at : old, SITE);
	return at;
}

WRAP(void *, reallocarray, (void *old, size_t n, size_t size), NULL)
	forget(old);
	void *at = __real_reallocarray(old, n, size);
	note(at ? at : old, SITE);
	return at;
}

WRAP(char *, strdup, (const char *text), NULL)
	char *at = __real_strdup(text);
	note(at, SITE);
	return at;
}

WRAP(char *, strndup, (const char *text, size_t most), NULL)
	char *at = __real_strndup(text, most);
	note(at, SITE);
	return at;
}

int __wrap_asprintf(char **ret, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What *ret is after a failure is not said: nothing that may be freed. */
WRAP(int, asprintf, (char **ret, const char *format, ...), (*ret = (char *)1, -1))
	va_list arguments;
	va_start(arguments, format);
	int len = vasprintf(ret, format, arguments);
	va_end(arguments);
	if (len >= 0)
		note(*ret, SITE);
	return len;
}

WRAP(void *, mmap,
	(void *hint, size_t len, int protection, int flags, int fd, off_t offset), MAP_FAILED)
	void *at = __real_mmap(hint, len, protection, flags, fd, offset);
	note(at == MAP_FAILED ? NULL : at, SITE);
	return at;
}
/* clang-format on */

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	forget(at);
	return __real_munmap(at, len);
}

void __real_free(void *at);
void __wrap_free(void *at);
void __wrap_free(void *at)
{
	forget(at);
	__real_free(at);
}

/* --- trying ---------------------------------------------------------------------------
 */

static void on_signal(int number)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "signal %d in '%s', allocation %u%s\n",
		number, running, scarce.fail_at,
		scarce.and_beyond ? " and all after" : "");
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		_exit(1);
	signal(number, SIG_DFL);
	raise(number);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static void watch(unsigned fail_at, bool and_beyond)
{
	LOCK_SCOPE(&scarce.lock);
	scarce.watched = true;
	scarce.count = 0;
	scarce.fail_at = fail_at;
	scarce.and_beyond = and_beyond;
}

/* What is left over is told, and forgotten. */
static unsigned end_watch(unsigned *ret_left)
{
	LOCK_SCOPE(&scarce.lock);
	scarce.watched = false;
	*ret_left = scarce.live;
	for (size_t i = 0; scarce.live && i < LIVE_SIZE; i++) {
		if (!scarce.blocks[i].at)
			continue;
		print_error("left: %p, made before %p\n", scarce.blocks[i].at,
			scarce.blocks[i].site);
		scarce.live--;
	}
	if (*ret_left)
		memset(scarce.blocks, 0, sizeof(scarce.blocks));
	return scarce.count;
}

struct trial {
	const char *name;
	scarce_fn *fn;
	void *arg;
	unsigned descriptors;
};

/* How many allocations there were. */
static unsigned run_once(const struct trial *t, unsigned fail_at, bool and_beyond)
{
	unsigned left;
	running = t->name;
	watch(fail_at, and_beyond);
	int r = t->fn(t->arg);
	unsigned count = end_watch(&left);
	const char *beyond = and_beyond ? " and all after" : "";
	if (r != 0 && (r != -ENOMEM || !fail_at))
		fail_msg("'%s' without allocation %u%s: %s", t->name, fail_at, beyond,
			strerror(-r));
	if (left)
		fail_msg("'%s' without allocation %u%s kept %u blocks", t->name, fail_at,
			beyond, left);
	if (open_descriptors() != t->descriptors)
		fail_msg("'%s' without allocation %u%s kept a descriptor", t->name,
			fail_at, beyond);
	return count;
}

/* From where on, and how far from one place to the next. */
static void choose_places(unsigned count, unsigned *ret_first, unsigned *ret_step)
{
	const char *wish = getenv("LARDER_SCARCE");
	*ret_first = *ret_step = 1;
	if (wish && strcmp(wish, "all") != 0) {
		*ret_first = (unsigned)strtoul(wish, NULL, 10);
	} else if (!wish && count > SCARCE_TRIES) {
		*ret_step = (count + SCARCE_TRIES - 1) / SCARCE_TRIES;
		*ret_first = 1 + (unsigned)getpid() % *ret_step;
	}
}

static void try_all(const struct trial *t, unsigned first, unsigned step)
{
	for (unsigned at = first; at < RUNS_MOST; at += step) {
		unsigned one = run_once(t, at, false);
		run_once(t, at, true);
		if (one < at)
			return;
	}
	fail_msg("'%s' takes ever more memory", t->name);
}

void scarce_try(const char *name, scarce_fn *fn, void *arg)
{
	struct trial t = {name, fn, arg};
	void (*on_segv)(int) = signal(SIGSEGV, on_signal);
	void (*on_abort)(int) = signal(SIGABRT, on_signal);
	if (fn(arg) != 0) /* once, so that what is made once is there */
		fail_msg("'%s' does not work at all", name);
	t.descriptors = open_descriptors();
	unsigned first, step, count = run_once(&t, 0, false);
	choose_places(count, &first, &step);
	print_message("%s: %u allocations, step %u from %u\n", name, count, step, first);
	try_all(&t, first, step);
	run_once(&t, 0, false);
	signal(SIGSEGV, on_segv);
	signal(SIGABRT, on_abort);
}
