#include "fetch/home.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

int home_append(struct buf *b)
{
	const char *home = getenv("HOME");
	if (home && home[0] == '/')
		return buf_append_str(b, home);
	char memory[4096];
	struct passwd entry, *found = NULL;
	getpwuid_r(geteuid(), &entry, memory, sizeof(memory), &found);
	return found && found->pw_dir[0] == '/' ? buf_append_str(b, found->pw_dir)
						: -ENOENT;
}
