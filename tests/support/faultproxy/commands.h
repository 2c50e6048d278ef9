/* SPDX-License-Identifier: Apache-2.0 */
/* What the control commands do. */
#ifndef FAULTPROXY_COMMANDS_H
#define FAULTPROXY_COMMANDS_H

#include <stdio.h>

struct proxy;

/* Runs one command, a line without its newline, which it cuts up; prints the reply. */
void command_run(struct proxy *proxy, char *line, FILE *reply);

#endif
