#include "fetch/settings.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fetch/base/buf.h"
#include "fetch/base/bytes.h"
#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/home.h"
#include "fetch/origin.h"

#define DURATION_MAX_NS (UINT64_C(365) * 24 * 3600 * NS_PER_SECOND)
#define REGION_MAX      63
#define PATH_TEXT_MAX   (2 * PATH_MAX)

static int read_region(const char *text, char **ret, struct error *e);
static int read_any(const char *text, char **ret, struct error *e);

/* clang-format off */
const struct setting_info settings_table[] = {
	{ "endpoint-url", "URL", { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL" }, SETTING_TEXT,
	  "the S3 server, http(s)://host[:port]",
	  offsetof(struct settings, endpoint_url), .read = origin_parse },
	{ "region", "NAME", { "AWS_REGION", "AWS_DEFAULT_REGION" }, SETTING_TEXT,
	  "the region to sign for",
	  offsetof(struct settings, region), .read = read_region },
	{ "profile", "NAME", { "AWS_PROFILE", "AWS_DEFAULT_PROFILE" }, SETTING_TEXT,
	  "the profile in AWS's configuration files",
	  offsetof(struct settings, profile) },
	{ "path-style", NULL, { NULL }, SETTING_FLAG,
	  "put the bucket into the path, not the host name",
	  offsetof(struct settings, path_style) },
	{ "no-sign-request", NULL, { NULL }, SETTING_FLAG,
	  "send requests without credentials",
	  offsetof(struct settings, no_sign_request) },
	{ "ca-bundle", "FILE", { "AWS_CA_BUNDLE" }, SETTING_TEXT,
	  "certificates to trust, PEM",
	  offsetof(struct settings, ca_bundle) },
	{ "concurrency", "N", { "LARDER_CONCURRENCY" }, SETTING_COUNT,
	  "connections at once (16)",
	  offsetof(struct settings, concurrency), 1, 1024 },
	{ "timeout", "TIME", { "LARDER_TIMEOUT" }, SETTING_DURATION,
	  "most time for one operation (30s)",
	  offsetof(struct settings, timeout_ns) },
	{ "stall-timeout", "TIME", { NULL }, SETTING_DURATION,
	  "ask again when so long under 1 KB/s (10s)",
	  offsetof(struct settings, stall_timeout_ns) },
	{ "retries", "N", { NULL }, SETTING_COUNT,
	  "attempts after a failed one (3)",
	  offsetof(struct settings, retries), 0, 100 },
	{ "cache-dir", "DIR", { "LARDER_CACHE_DIR" }, SETTING_TEXT,
	  "where fetched data is kept; '' for no cache",
	  offsetof(struct settings, cache_dir), .read = read_any },
	{ "cache-size", "SIZE", { NULL }, SETTING_SIZE,
	  "most bytes kept there (10G)",
	  offsetof(struct settings, cache_size) },
};
/* clang-format on */
const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

void settings_init(struct settings *s)
{
	*s = (struct settings){
		.concurrency = 16,
		.timeout_ns = 30 * NS_PER_SECOND,
		.stall_timeout_ns = 10 * NS_PER_SECOND,
		.retries = 3,
		.cache_size = UINT64_C(10) << 30,
	};
}

static char **text_field(struct settings *s, const struct setting_info *info)
{
	return (char **)(void *)((char *)s + info->offset);
}

void settings_finish(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < settings_count; i++)
		if (settings_table[i].kind == SETTING_TEXT)
			cleanup_free(text_field(s, &settings_table[i]));
}

int settings_copy(struct settings *dst, const struct settings *src)
{
	struct settings copy = *src;
	bool lost = false;
	for (size_t i = 0; i < settings_count; i++) {
		if (settings_table[i].kind != SETTING_TEXT)
			continue;
		char **text = text_field(&copy, &settings_table[i]);
		bool had = *text != NULL;
		*text = had ? strdup(*text) : NULL;
		lost |= had && !*text;
	}
	if (lost) {
		settings_finish(&copy);
		return -ENOMEM;
	}
	*dst = copy;
	return 0;
}

static const struct setting_info *find_setting(const char *name)
{
	for (size_t i = 0; i < settings_count; i++)
		if (!strcmp(settings_table[i].name, name))
			return &settings_table[i];
	return NULL;
}

static uint32_t given_bit(const struct setting_info *info)
{
	return UINT32_C(1) << (info - settings_table);
}

bool settings_given(const struct settings *s, const char *name)
{
	const struct setting_info *info = find_setting(name);
	return info && (s->given & given_bit(info));
}

bool settings_given_by_option(const struct settings *s, const char *name)
{
	const struct setting_info *info = find_setting(name);
	return info && (s->given & ~s->from_environment & given_bit(info));
}

/* --- values ------------------------------------------------------------------------ */

static int copy_text(const char *text, char **ret, struct error *e)
{
	char *copy = strdup(text);
	if (!copy)
		return error_set_errno(e, -ENOMEM, "cannot keep a setting");
	*ret = copy;
	return 0;
}

static int read_any(const char *text, char **ret, struct error *e)
{
	return copy_text(text, ret, e);
}

static int read_some(const char *text, char **ret, struct error *e)
{
	if (!*text)
		return error_set(e, -EINVAL, "needs a value that is not empty");
	return copy_text(text, ret, e);
}

bool region_is_valid(const char *region)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t len = strlen(region);
	return len >= 1 && len <= REGION_MAX && strspn(region, allowed) == len;
}

static int read_region(const char *text, char **ret, struct error *e)
{
	if (!region_is_valid(text))
		return error_set(e, -EINVAL,
			"'%.64s' is not a region: letters, digits, '-' and '_', at most "
			"%d",
			text, REGION_MAX);
	return copy_text(text, ret, e);
}

/* strtoull() would take signs, blanks and other bases. */
static int parse_digits(const char *text, uint64_t *ret, const char **ret_rest)
{
	uint64_t n = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9'; p++)
		if (!checked_mul(n, 10, &n) || !checked_add(n, (uint64_t)(*p - '0'), &n))
			return -EINVAL;
	if (p == text)
		return -EINVAL;
	*ret = n;
	*ret_rest = p;
	return 0;
}

int parse_duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"", NS_PER_SECOND},
		{"ms", NS_PER_MS},
		{"s", NS_PER_SECOND},
		{"m", 60 * NS_PER_SECOND},
		{"h", 3600 * NS_PER_SECOND},
	};
	uint64_t n;
	const char *unit;
	if (parse_digits(text, &n, &unit) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (!checked_mul(n, units[i].ns, &n) || n > DURATION_MAX_NS)
			return -EINVAL;
		*ret_ns = n;
		return 0;
	}
	return -EINVAL;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char powers[] = "KMGTP";
	uint64_t n;
	const char *unit;
	if (parse_digits(text, &n, &unit) < 0)
		return -EINVAL;
	unsigned shift = 0;
	const char *power = *unit ? strchr(powers, toupper((unsigned char)*unit)) : NULL;
	if (power) {
		shift = 10 * (unsigned)(power - powers + 1);
		unit++;
	}
	if (*unit && strcasecmp(unit, "B") && !(shift && !strcasecmp(unit, "iB")))
		return -EINVAL;
	if (!checked_mul(n, UINT64_C(1) << shift, &n) || n > INT64_MAX)
		return -EINVAL;
	*ret_bytes = n;
	return 0;
}

int parse_count(const char *text, unsigned most, unsigned *ret)
{
	uint64_t n;
	const char *rest;
	if (parse_digits(text, &n, &rest) < 0 || *rest || n > most)
		return -EINVAL;
	*ret = (unsigned)n;
	return 0;
}

/* --- setting ----------------------------------------------------------------------- */

static int set_text(
	char **field, const struct setting_info *info, const char *value, struct error *e)
{
	char *text = NULL;
	int r = info->read ? info->read(value, &text, e) : read_some(value, &text, e);
	if (r < 0)
		return r;
	free(*field);
	*field = text;
	return 0;
}

static int set_count(unsigned *field, const struct setting_info *info, const char *value,
	struct error *e)
{
	unsigned n;
	if (parse_count(value, info->most, &n) < 0 || n < info->least)
		return error_set(e, -EINVAL, "'%.64s' is not a number from %u to %u",
			value, info->least, info->most);
	*field = n;
	return 0;
}

static int set_duration(uint64_t *field, const char *value, struct error *e)
{
	uint64_t ns;
	if (parse_duration(value, &ns) < 0 || ns == 0)
		return error_set(e, -EINVAL,
			"'%.64s' is not a time such as 30s, 500ms or 2m", value);
	*field = ns;
	return 0;
}

static int set_size(uint64_t *field, const char *value, struct error *e)
{
	if (parse_size(value, field) < 0)
		return error_set(e, -EINVAL,
			"'%.64s' is not a size such as 4096, 64k or 10G", value);
	return 0;
}

static int set_value(struct settings *s, const struct setting_info *info,
	const char *value, struct error *e)
{
	void *field = (char *)s + info->offset;
	if (info->kind == SETTING_FLAG) {
		if (value)
			return error_set(e, -EINVAL, "takes no value");
		*(bool *)field = true;
		return 0;
	}
	if (!value)
		return error_set(e, -EINVAL, "needs a value");
	switch (info->kind) {
	case SETTING_COUNT:
		return set_count(field, info, value, e);
	case SETTING_DURATION:
		return set_duration(field, value, e);
	case SETTING_SIZE:
		return set_size(field, value, e);
	default:
		return set_text(field, info, value, e);
	}
}

/* `said` is how the user knows it: "--timeout" or "LARDER_TIMEOUT". */
static int apply(struct settings *s, const struct setting_info *info, const char *said,
	const char *value, struct error *e)
{
	int r = set_value(s, info, value, e);
	if (r < 0) {
		error_prefix(e, "%s: ", said);
		return r;
	}
	s->given |= given_bit(info);
	return 0;
}

int settings_set(struct settings *s, const char *name, const char *value, struct error *e)
{
	const struct setting_info *info = find_setting(name);
	if (!info)
		return error_set(e, -ENOENT, "there is no option '--%s'", name);
	char said[64];
	snprintf(said, sizeof(said), "--%s", name);
	int r = apply(s, info, said, value, e);
	if (r == 0)
		s->from_environment &= ~given_bit(info);
	return r;
}

static bool environment_hides(const struct setting_info *info)
{
	const char *hide = getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	return hide && !strcasecmp(hide, "true") && !strcmp(info->name, "endpoint-url");
}

static int apply_variables(
	struct settings *s, const struct setting_info *info, struct error *e)
{
	for (const char *const *v = info->variables; *v; v++) {
		const char *value = getenv(*v);
		if (!value || !*value)
			continue;
		s->from_environment |= given_bit(info);
		return apply(s, info, *v, value, e);
	}
	return 0;
}

int settings_from_environment(struct settings *s, struct error *e)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < settings_count; i++) {
		const struct setting_info *info = &settings_table[i];
		if (!(s->given & given_bit(info)) && !environment_hides(info))
			r = apply_variables(s, info, e);
	}
	return r;
}

/* --- defaults ---------------------------------------------------------------------- */

/* XDG base directories: a relative $XDG_CACHE_HOME is to be ignored. */
static int default_cache_dir(char **ret)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(PATH_TEXT_MAX);
	const char *own = getenv("LARDER_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME");
	int r;
	if (own && *own) {
		r = buf_append_str(&b, own);
	} else if (xdg && xdg[0] == '/') {
		r = buf_printf(&b, "%s/larder", xdg);
	} else {
		r = home_append(&b);
		if (r == 0)
			r = buf_append_str(&b, "/.cache/larder");
		else if (r == -ENOENT)
			r = buf_append_str(&b, "");
	}
	if (r == 0)
		*ret = buf_steal(&b);
	return r;
}

static int make_absolute(char **path, struct error *e)
{
	if (!*path || !**path || **path == '/')
		return 0;
	CLEANUP(cleanup_free) char *here = getcwd(NULL, 0);
	if (!here)
		return error_set_errno(e, -errno,
			"cannot tell where '%s' lies: working directory", *path);
	char *absolute;
	if (asprintf(&absolute, "%s/%s", here, *path) < 0)
		return error_set_errno(e, -ENOMEM, "cannot keep the path '%s'", *path);
	free(*path);
	*path = absolute;
	return 0;
}

int settings_finish_defaults(struct settings *s, struct error *e)
{
	int r = 0;
	if (!s->cache_dir)
		r = default_cache_dir(&s->cache_dir);
	if (r < 0)
		return error_set_errno(e, r, "cannot make up a cache directory");
	r = make_absolute(&s->cache_dir, e);
	return r < 0 ? r : make_absolute(&s->ca_bundle, e);
}
