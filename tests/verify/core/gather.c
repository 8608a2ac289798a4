/* SPDX-License-Identifier: Apache-2.0 */
/* What a gatherer asks of the core: a walk over a tree, its files read into values, all processes of
 * this node; with `start`, a program is started too.
 *
 *   gather TREE [start]
 *
 * TREE has a directory `leaf` with the files cpu.stat, io.stat and memory.max. */
#include "spawn/start.h"
#include "units/processes.h"
#include "units/read.h"
#include "units/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what);                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { VALUES = 2, SMALL = 24 };

static const struct shm_unit_key KEYS[] = {{"usage_usec", 10}, {"no_such_key", 11}};
static const uint32_t PLACES[] = {0, 1};
static const double DIVISORS[] = {1e6, 1};

static void walk(const char *tree)
{
    char *before = malloc(4096), *now = malloc(SMALL);
    MUST(before && now);
    struct shm_unit_walk first = {.records = before, .size_bytes = 4096, .is_thorough = true};
    MUST(shm_unit_walk(&first, tree) == 0 && first.used_bytes > 0 && !first.has_left_out);
    struct shm_unit_walk again = {
        .records = now,
        .size_bytes = SMALL, /* exactly one record, of an inode, a level, a length and `leaf` */
        .before = before,
        .before_bytes = first.used_bytes,
    };
    MUST(shm_unit_walk(&again, tree) == 0);
    MUST(again.used_bytes <= SMALL);
    again.size_bytes = 1;
    MUST(shm_unit_walk(&again, tree) == 0 && again.has_left_out);
    MUST(shm_unit_walk(&again, "/no/such") == ENOENT);
    free(before);
    free(now);
}

static int opened(const char *tree, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/leaf/%s", tree, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

static void read_files(const char *tree)
{
    char *buffer = malloc(SHM_UNIT_BUFFER_BYTES);
    double *values = malloc(VALUES * sizeof *values), *shown = malloc(VALUES * sizeof *shown);
    struct shm_unit_devices *devices = calloc(1, sizeof *devices);
    MUST(buffer && values && shown && devices);
    struct shm_unit_file file = {SHM_UNIT_KEYED, VALUES, KEYS, PLACES, DIVISORS};
    int fd = opened(tree, "cpu.stat");
    MUST(shm_unit_read(fd, &file, buffer, values, devices) == 0);
    MUST(values[0] > 0 && isnan(values[1]));
    close(fd);
    shown[0] = shown[1] = NAN;
    MUST(shm_unit_settle(values, shown, 1, VALUES) == SHM_UNIT_CAME_OR_WENT);
    MUST(shm_unit_settle(values, shown, 1, VALUES) == SHM_UNIT_SAME);
    file.form = SHM_UNIT_FIELDS;
    file.n_values = 1;
    fd = opened(tree, "memory.max");
    MUST(shm_unit_read(fd, &file, buffer, values, devices) == 0 && isnan(values[0]));
    close(fd);
    file.form = SHM_UNIT_IO_STAT;
    file.n_values = 0;
    fd = opened(tree, "io.stat");
    MUST(shm_unit_read(fd, &file, buffer, values, devices) == 0 && devices->n == 1);
    close(fd);
    MUST(shm_unit_read(-1, &file, buffer, values, devices) != 0 || devices->n == 1);
    free(devices);
    free(shown);
    free(values);
    free(buffer);
}

static void processes(void)
{
    struct shm_unit_processes all = {.most = 1};
    all.records = malloc(sizeof *all.records); /* there are more of them */
    MUST(all.records);
    MUST(shm_unit_processes(&all, "/proc") == 0);
    MUST(all.n == 1 && all.has_left_out && all.records[0].pid > 0);
    free(all.records);
}

static void start(void)
{
    char *arguments[] = {"true", NULL}, *environment[] = {NULL};
    int null = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, 3);
    MUST(null >= 3);
    struct shm_start wanted = {
        .path = "/bin/true",
        .arguments = arguments,
        .environment = environment,
        .directory = "/",
        .input = null,
        .output = null,
        .errors = null,
        .cgroup_procs = -1,
    };
    for (int i = 0; i < SHM_START_LIMITS; i++)
        wanted.limits[i] = (struct shm_start_limit){4 /* RLIMIT_CORE */, 0};
    int status;
    pid_t pid = shm_start(&wanted);
    MUST(pid > 0);
    MUST(waitpid(pid, &status, 0) == pid && status == 0);
    wanted.path = "/no/such";
    MUST(shm_start(&wanted) == -1 && wanted.step == SHM_START_EXEC && wanted.error == ENOENT);
}

int main(int count, char **words)
{
    MUST(count > 1);
    walk(words[1]);
    read_files(words[1]);
    processes();
    if (count > 2)
        start();
    puts("gathered");
    return 0;
}
