#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/json_out.h"
#include "fetch/key.h"
#include "tools/command.h"
#include "tools/file_checksum.h"
#include "tools/key_template.h"

static const char *variable(void *arg, const char *name)
{
	return getenv(name);
}

static int checksum(void *arg, const char *const *globs, size_t count, struct buf *ret,
	struct error *e)
{
	struct digest d;
	char hex[DIGEST_HEX_SIZE];
	int r = file_checksum(AT_FDCWD, globs, count, &d, e);
	if (r < 0)
		return r == -ENOENT ? -EINVAL : r;
	digest_hex(&d, hex);
	return buf_append_str(ret, hex);
}

/* Debian's names of architectures, which most image and package names go by. */
static const char *name_machine(const char *machine)
{
	static const struct {
		const char *machine, *name;
	} names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "armhf"},
		{"armv6l", "armel"}, {"i386", "i386"}, {"i486", "i386"}, {"i586", "i386"},
		{"i686", "i386"}, {"ppc64le", "ppc64el"}, {"loongarch64", "loong64"}};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].machine, machine))
			return names[i].name;
	return machine;
}

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

int cmd_key(const struct options *o, struct error *e)
{
	CLEANUP(buf_finish) struct buf key = BUF_INIT(KEY_MAX);
	struct utsname system;
	if (uname(&system) < 0)
		return error_set_errno(e, -errno, "cannot ask for the system's name");
	lower(system.sysname);
	const struct key_facts facts = {
		.os = system.sysname,
		.arch = name_machine(system.machine),
		.now_s = clock_realtime_s(),
		.variable = variable,
		.checksum = checksum,
	};
	int r = key_template_expand(o->arguments.data[0], &facts, &key, e);
	if (r == 0)
		r = key_check(buf_str(&key), e);
	if (r < 0)
		return r == -EMSGSIZE ? -EINVAL : r;
	if (!o->json) {
		puts(buf_str(&key));
		return 0;
	}
	printf("{\"key\":");
	json_string(stdout, buf_str(&key));
	puts("}");
	return 0;
}
