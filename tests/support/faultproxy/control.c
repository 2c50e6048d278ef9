/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "commands.h"
#include "relay.h"

struct client {
	struct source source;
	struct list node;
	struct control *control;
	int out; /* the same descriptor, or standard output */
	char line[CONTROL_LINE_MAX];
	size_t length;
	char *reply; /* Owned: what is still to be sent */
	size_t reply_length, reply_sent;
	bool ended, dead;
	struct task bury;
};

static void client_bury(struct task *task)
{
	free(container_of(task, struct client, bury));
}

static void client_close(struct client *client)
{
	int fd = client->source.fd;

	if (client->dead)
		return;
	client->dead = true;
	loop_unwatch(&client->control->proxy->loop, &client->source);
	close(fd);
	free(client->reply);
	list_remove(&client->node);
	task_queue(&client->control->proxy->loop, &client->bury);
}

static void client_run(struct client *client, char *line)
{
	char *reply = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&reply, &length);

	if (!out) {
		client_close(client);
		return;
	}
	command_run(client->control->proxy, line, out);
	fclose(out);
	free(client->reply);
	client->reply = reply;
	client->reply_length = length;
	client->reply_sent = 0;
}

/* Sends the reply; true when all of it is gone. */
static bool client_flush(struct client *client)
{
	while (client->reply_sent < client->reply_length) {
		ssize_t n = write(client->out, client->reply + client->reply_sent,
			client->reply_length - client->reply_sent);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			client_close(client);
			return false;
		}
		client->reply_sent += (size_t)n;
	}
	return true;
}

/* Runs the first whole line that was received; false when there is none. */
static bool client_step(struct client *client)
{
	char *end = memchr(client->line, '\n', client->length);
	size_t used;

	if (!end)
		return false;
	*end = '\0';
	used = (size_t)(end + 1 - client->line);
	client_run(client, client->line);
	if (client->dead)
		return false;
	memmove(client->line, client->line + used, client->length - used);
	client->length -= used;
	return true;
}

static bool client_receive(struct client *client)
{
	ssize_t n = read(client->source.fd, client->line + client->length,
		sizeof(client->line) - client->length);

	if (n > 0) {
		client->length += (size_t)n;
		return true;
	}
	if (n == 0 || errno != EAGAIN)
		client_close(client);
	return false;
}

static void client_on_ready(struct source *source, uint32_t events)
{
	struct client *client = container_of(source, struct client, source);

	(void)events;
	while (!client->dead && client_flush(client)) {
		if (client_step(client))
			continue;
		if (client->dead)
			return;
		if (client->length == sizeof(client->line)) {
			client_close(client);
			return;
		}
		if (!client_receive(client))
			return;
	}
}

static int client_new(struct control *control, int in, int out, uint32_t events)
{
	struct client *client = calloc(1, sizeof(*client));
	int error;

	if (!client)
		return -ENOMEM;
	client->control = control;
	client->out = out;
	client->source.on_ready = client_on_ready;
	client->bury.run = client_bury;
	list_init(&client->bury.node);
	error = loop_watch(&control->proxy->loop, &client->source, in, events);
	if (error) {
		free(client);
		return error;
	}
	list_append(&control->clients, &client->node);
	return 0;
}

static void control_on_ready(struct source *source, uint32_t events)
{
	struct control *control = container_of(source, struct control, source);
	int fd;

	(void)events;
	while ((fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		if (client_new(control, fd, fd, EPOLLIN | EPOLLOUT) < 0)
			close(fd);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (!lstat(path, &status) && S_ISSOCK(status.st_mode))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 16))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static int control_stdin(struct control *control)
{
	int flags = fcntl(STDIN_FILENO, F_GETFL);

	if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return client_new(control, STDIN_FILENO, STDOUT_FILENO, EPOLLIN);
}

int control_init(struct control *control, struct proxy *proxy, const char *path)
{
	int fd, error;

	*control = (struct control){
		.proxy = proxy,
		.source = {.fd = -1, .on_ready = control_on_ready},
	};
	list_init(&control->clients);
	if (!strcmp(path, "-"))
		return control_stdin(control);
	fd = listen_at(path);
	if (fd < 0)
		return fd;
	control->path = path;
	error = loop_watch(&proxy->loop, &control->source, fd, EPOLLIN);
	if (error)
		close(fd);
	return error;
}

void control_finish(struct control *control)
{
	int fd = control->source.fd;

	while (!list_empty(&control->clients)) {
		struct client *client =
			container_of(control->clients.next, struct client, node);

		client_close(client);
		list_remove(&client->bury.node);
		free(client);
	}
	loop_unwatch(&control->proxy->loop, &control->source);
	if (fd >= 0)
		close(fd);
	if (control->path)
		unlink(control->path);
}
