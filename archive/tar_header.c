#include "archive/tar_header.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "archive/format.h"

#define NAME_FIELD   100 /* bytes */
#define PREFIX_FIELD 155
#define OCTAL7_MAX   UINT64_C(07777777)
#define OCTAL11_MAX  UINT64_C(077777777777)

/* POSIX.1-2017, pax, "ustar Header Block". */
struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char chksum[8];
	char typeflag;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char pad[12];
};

_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is a block");

/* Counts bytes; writes them as well where out is not NULL. */
struct sink {
	uint8_t *out;
	size_t len;
};

static void put(struct sink *s, const void *data, size_t len)
{
	if (s->out && len)
		memcpy(s->out + s->len, data, len);
	s->len += len;
}

static bool is_ascii(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] > 0x7f)
			return false;
	return true;
}

/* How a name or target that may be too long for its field is given. */
enum place {
	IN_FIELD,
	IN_PREFIX, /* and the field: names only */
	IN_PAX,
	IN_GNU,
};

static enum place place_of_long(const char *p, size_t len)
{
	return is_ascii(p, len) ? IN_PAX : IN_GNU;
}

/* Where the prefix ends: at the last '/' that it can reach. 0: there is none. */
static size_t find_split(const char *path, size_t len)
{
	size_t last = len - 2 < PREFIX_FIELD ? len - 2 : PREFIX_FIELD;
	const char *slash = memrchr(path, '/', last + 1);
	if (!slash || slash == path || len - (size_t)(slash - path) - 1 > NAME_FIELD)
		return 0;
	return (size_t)(slash - path);
}

static enum place place_of_path(const struct tar_member *m)
{
	if (m->path_len <= NAME_FIELD)
		return IN_FIELD;
	if (find_split(m->path, m->path_len))
		return IN_PREFIX;
	return place_of_long(m->path, m->path_len);
}

static enum place place_of_target(const struct tar_member *m)
{
	if (m->target_len <= NAME_FIELD)
		return IN_FIELD;
	return place_of_long(m->target, m->target_len);
}

static size_t digits_of(uint64_t n)
{
	size_t digits = 1;
	for (; n >= 10; n /= 10)
		digits++;
	return digits;
}

/* Decimal, with leading zeros up to `least` digits, at most 20: printf() took a tenth of
 * a header's time. */
static void put_decimal(struct sink *s, uint64_t n, size_t least)
{
	char text[20];
	size_t digits = digits_of(n) < least ? least : digits_of(n);
	for (size_t i = digits; i-- > 0; n /= 10)
		text[i] = (char)('0' + n % 10);
	put(s, text, digits);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts its own digits. */
static void put_record(
	struct sink *s, const struct sink *key, const void *value, size_t value_len)
{
	size_t rest = key->len + value_len + 3;
	size_t len = rest + digits_of(rest);
	if (digits_of(len) > digits_of(rest))
		len = rest + digits_of(len);
	put_decimal(s, len, 1);
	put(s, " ", 1);
	put(s, key->out, key->len);
	put(s, "=", 1);
	put(s, value, value_len);
	put(s, "\n", 1);
}

static void put_named(
	struct sink *s, const char *key, const void *value, size_t value_len)
{
	struct sink k = {.out = (uint8_t *)(uintptr_t)key, .len = strlen(key)};
	put_record(s, &k, value, value_len);
}

static void put_number(struct sink *s, const char *key, uint64_t number)
{
	uint8_t text[20];
	struct sink value = {.out = text};
	put_decimal(&value, number, 1);
	put_named(s, key, value.out, value.len);
}

/* -1.25 s is { -2, 750000000 } in a timespec. */
static void put_mtime(struct sink *s, const struct tar_member *m)
{
	bool negative = m->mtime_s < 0;
	uint64_t seconds = negative ? -(uint64_t)m->mtime_s : (uint64_t)m->mtime_s;
	uint32_t ns = m->mtime_ns;
	if (negative && ns) {
		seconds--;
		ns = 1000000000 - ns;
	}
	uint8_t text[40];
	struct sink value = {.out = text};
	put(&value, "-", negative);
	put_decimal(&value, seconds, 1);
	if (ns) {
		put(&value, ".", 1);
		put_decimal(&value, ns, 9);
		while (text[value.len - 1] == '0')
			value.len--;
	}
	put_named(s, "mtime", text, value.len);
}

/* GNU tar writes and reads '%' and '=' of a name like this. */
static void put_xattr(struct sink *s, const struct xattr *x)
{
	uint8_t name[13 + 3 * XATTR_NAME_LIMIT];
	struct sink key = {.out = name};
	put(&key, "SCHILY.xattr.", 13);
	for (size_t i = 0; i < x->name_len; i++) {
		char c = x->name[i];
		if (c == '%' || c == '=')
			put(&key, c == '%' ? "%25" : "%3D", 3);
		else
			put(&key, &c, 1);
	}
	put_record(s, &key, x->value, x->value_len);
}

static bool mtime_fits(const struct tar_member *m)
{
	return m->mtime_s >= 0 && (uint64_t)m->mtime_s <= OCTAL11_MAX;
}

/* What another name of an inode needs: the first one has said the rest. */
static void put_name_records(struct sink *s, const struct tar_member *m)
{
	if (place_of_path(m) == IN_PAX)
		put_named(s, "path", m->path, m->path_len);
	if (place_of_target(m) == IN_PAX)
		put_named(s, "linkpath", m->target, m->target_len);
}

static void put_records(struct sink *s, const struct tar_member *m)
{
	put_name_records(s, m);
	if (m->type == TAR_HARD_LINK)
		return;
	if (m->size > OCTAL11_MAX)
		put_number(s, "size", m->size);
	if (m->mtime_ns || !mtime_fits(m))
		put_mtime(s, m);
	if (m->uid > OCTAL7_MAX)
		put_number(s, "uid", m->uid);
	if (m->gid > OCTAL7_MAX)
		put_number(s, "gid", m->gid);
	struct xattr x;
	for (size_t cursor = 0; xattrs_next(m->xattrs, &cursor, &x);)
		put_xattr(s, &x);
}

/* A header of its own and the body, padded. */
static size_t extra_size(size_t body)
{
	return body ? TAR_BLOCK + body + tar_padding(body) : 0;
}

/* The long name's bytes with their NUL; 0: no such header. */
static size_t gnu_size(enum place place, size_t len)
{
	return place == IN_GNU ? len + 1 : 0;
}

int tar_header_size(const struct tar_member *m, size_t *ret)
{
	struct sink records = {0};
	put_records(&records, m);
	size_t name = gnu_size(place_of_path(m), m->path_len);
	size_t target = gnu_size(place_of_target(m), m->target_len);
	if (records.len > TAR_EXTRA_MAX || name > TAR_EXTRA_MAX || target > TAR_EXTRA_MAX)
		return -E2BIG;
	*ret = extra_size(target) + extra_size(name) + extra_size(records.len) +
	       TAR_BLOCK;
	return 0;
}

/* width - 1 octal digits and a NUL. */
static void put_octal(char *field, size_t width, uint64_t value)
{
	field[width - 1] = '\0';
	for (size_t i = width - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static uint64_t or_zero(uint64_t value, uint64_t most)
{
	return value <= most ? value : 0;
}

/* The sum is taken with the field itself as spaces; six digits, NUL, space. */
static void put_checksum(struct ustar *u)
{
	memset(u->chksum, ' ', sizeof(u->chksum));
	const uint8_t *p = (const uint8_t *)u;
	uint32_t sum = 0;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += p[i];
	put_octal(u->chksum, 7, sum);
}

static void begin_ustar(struct ustar *u, char type, uint16_t mode, uint64_t size)
{
	memset(u, 0, sizeof(*u));
	u->typeflag = type;
	memcpy(u->magic, "ustar", 6);
	memcpy(u->version, "00", 2);
	put_octal(u->mode, sizeof(u->mode), mode);
	put_octal(u->uid, sizeof(u->uid), 0);
	put_octal(u->gid, sizeof(u->gid), 0);
	put_octal(u->size, sizeof(u->size), or_zero(size, OCTAL11_MAX));
	put_octal(u->mtime, sizeof(u->mtime), 0);
}

/* Writes the header of an extra member; returns where its body goes, zero-padded. */
static uint8_t *begin_extra(uint8_t *out, char type, const char *name, size_t body)
{
	struct ustar *u = (struct ustar *)out;
	begin_ustar(u, type, 0644, body);
	memcpy(u->name, name, strlen(name));
	put_checksum(u);
	memset(out + TAR_BLOCK + body, 0, tar_padding(body));
	return out + TAR_BLOCK;
}

static uint8_t *write_gnu(uint8_t *out, char type, const char *text, size_t len)
{
	uint8_t *body = begin_extra(out, type, "././@LongLink", len + 1);
	memcpy(body, text, len);
	body[len] = 0;
	return out + extra_size(len + 1);
}

static uint8_t *write_pax(uint8_t *out, const struct tar_member *m)
{
	struct sink count = {0};
	put_records(&count, m);
	if (!count.len)
		return out;
	struct sink body = {.out = begin_extra(out, 'x', "././@PaxHeader", count.len)};
	put_records(&body, m);
	return out + extra_size(count.len);
}

static void put_path(struct ustar *u, const struct tar_member *m)
{
	const char *name = m->path;
	size_t len = m->path_len;
	if (place_of_path(m) == IN_PREFIX) {
		size_t split = find_split(name, len);
		memcpy(u->prefix, name, split);
		name += split + 1;
		len -= split + 1;
	}
	memcpy(u->name, name, len < NAME_FIELD ? len : NAME_FIELD);
}

static void write_ustar(uint8_t *out, const struct tar_member *m)
{
	struct ustar *u = (struct ustar *)out;
	begin_ustar(u, (char)m->type, m->mode, m->size);
	put_octal(u->uid, sizeof(u->uid), or_zero(m->uid, OCTAL7_MAX));
	put_octal(u->gid, sizeof(u->gid), or_zero(m->gid, OCTAL7_MAX));
	if (mtime_fits(m))
		put_octal(u->mtime, sizeof(u->mtime), (uint64_t)m->mtime_s);
	put_path(u, m);
	memcpy(u->linkname, m->target,
		m->target_len < NAME_FIELD ? m->target_len : NAME_FIELD);
	put_checksum(u);
}

void tar_header_write(const struct tar_member *m, uint8_t *out)
{
	if (place_of_target(m) == IN_GNU)
		out = write_gnu(out, 'K', m->target, m->target_len);
	if (place_of_path(m) == IN_GNU)
		out = write_gnu(out, 'L', m->path, m->path_len);
	out = write_pax(out, m);
	write_ustar(out, m);
}
