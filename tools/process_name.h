/*
 * What a process calls itself.
 */
#ifndef LARDER_TOOLS_PROCESS_NAME_H
#define LARDER_TOOLS_PROCESS_NAME_H

#include <stdbool.h>
#include <sys/types.h>

#define PROCESS_NAME_SIZE 64 /* the kernel's own threads have longer ones than 16 */

/* Its comm (proc(5)), which may be of any bytes; false, and "", when there is no such process.
 * The number may be of another pid namespace, and then be anybody's here. */
bool process_name(pid_t pid, char ret[static PROCESS_NAME_SIZE]);

#endif
