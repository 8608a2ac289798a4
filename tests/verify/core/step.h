/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a child one instruction at a time, and shows every state of shared memory that a kill could
 * leave behind. */
#ifndef STEP_H
#define STEP_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls check(context, n) after the n-th change that work(context) makes to the memory, and at the
 * end. Returns the number of changes; exits with 1 if the child did not come to its end. */
static unsigned long step_through(const void *memory, size_t size_bytes, void *context,
                                  void (*work)(void *), void (*check)(void *, unsigned long))
{
    unsigned long changes = 0;
    int status;
    void *before = malloc(size_bytes);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        work(context);
        _exit(0);
    }
    waitpid(child, &status, 0);
    memcpy(before, memory, size_bytes);
    while (WIFSTOPPED(status)) {
        if (memcmp(before, memory, size_bytes) != 0) {
            memcpy(before, memory, size_bytes);
            check(context, ++changes);
        }
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0) {
            perror("ptrace");
            exit(1);
        }
        waitpid(child, &status, 0);
    }
    free(before);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "the child died after %lu changes\n", changes);
        exit(1);
    }
    check(context, changes);
    return changes;
}

#endif
