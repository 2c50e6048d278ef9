#include "tools/process_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"

bool process_name(pid_t pid, char ret[static PROCESS_NAME_SIZE])
{
	CLEANUP(cleanup_free) char *name = NULL;
	char path[64];
	size_t len;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	*ret = '\0';
	if (read_small_file(path, PROCESS_NAME_SIZE - 1, &name, &len) < 0)
		return false;
	memcpy(ret, name, len + 1);
	if (len && ret[len - 1] == '\n')
		ret[len - 1] = '\0';
	return true;
}
