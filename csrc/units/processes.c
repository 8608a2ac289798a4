/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"

enum {
    STAT_BYTES = 2048, /* 52 numbers and a name of 64 bytes at most */
    PID_DIGITS = 10,
    PATH_BYTES = PID_DIGITS + 6, /* and /stat */
};

/* Reads one file whole into a buffer. Returns how many bytes, or -1. */
static ssize_t read_file(int proc, const char *path, char *buffer)
{
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buffer, STAT_BYTES);
    close(fd);
    return n;
}

/* Returns whether a name is a number, and so that of a process. */
static bool is_pid(const char *name, uint64_t *pid)
{
    *pid = 0;
    size_t n = strlen(name);
    if (n > PID_DIGITS)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        *pid = *pid * 10 + (uint64_t)(name[i] - '0');
    }
    return n > 0;
}

/* Returns how many files a process has open: its directory of them says so since Linux 6.2. */
static uint64_t count_files(int proc, const char *path)
{
    struct stat status;
    bool is_known = fstatat(proc, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_size > 0;
    return is_known ? (uint64_t)status.st_size : 0;
}

static bool read_process(int proc, const char *name, bool asks_files,
                         struct shm_unit_process_record *record)
{
    char path[PATH_BYTES], text[STAT_BYTES];
    struct shm_unit_process found;
    size_t n_name = strlen(name); /* that of a pid */
    memcpy(path, name, n_name);
    memcpy(path + n_name, "/stat", sizeof "/stat");
    ssize_t n = read_file(proc, path, text);
    if (n <= 0 || !shm_unit_process(text, (size_t)n, &found))
        return false;
    memcpy(path + n_name, "/fd", sizeof "/fd");
    record->files = asks_files ? count_files(proc, path) : SHM_UNIT_NOT_ASKED;
    record->start_ticks = found.start_ticks;
    record->state = (unsigned char)found.state;
    record->parent = found.parent;
    record->user_ticks = found.user_ticks;
    record->system_ticks = found.system_ticks;
    record->threads = found.threads;
    record->virtual_bytes = found.virtual_bytes;
    record->rss_pages = found.rss_pages;
    return true;
}

int shm_unit_processes(struct shm_unit_processes *processes, const char *proc)
{
    processes->n = 0;
    processes->has_left_out = false;
    DIR *directory = opendir(proc);
    if (directory == NULL)
        return errno;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        uint64_t pid;
        if (!is_pid(entry->d_name, &pid))
            continue;
        if (processes->n == processes->most) {
            processes->has_left_out = true;
            break;
        }
        struct shm_unit_process_record *record = &processes->records[processes->n];
        record->pid = pid;
        bool asks_files = processes->number == 0 ||
                          (pid + processes->number) % processes->turns == 0;
        if (read_process(dirfd(directory), entry->d_name, asks_files, record))
            processes->n++;
    }
    closedir(directory);
    return 0;
}
