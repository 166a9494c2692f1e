/* Preloaded into a member: its wall clock is off by so many seconds as the file that SINKCTL_PROVE_CLOCK names says (an int64).
   A change counts at once. Only CLOCK_REALTIME is off, as on a host whose clock is set; waits that have a time of that clock as
   their end see the change too, also those that are under way. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("SINKCTL_PROVE_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) abort();
  close(file);
  offset = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (syscall(SYS_clock_gettime, clock, now)) return -1;
  if ((clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && offset) now->tv_sec += *offset;
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec it;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &it);
  *now = (struct timeval){it.tv_sec, it.tv_nsec / 1000};
  return 0;
}

time_t time(time_t *now) {
  struct timespec it;
  clock_gettime(CLOCK_REALTIME, &it);
  if (now) *now = it.tv_sec;
  return it.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* A time of less than thirty years since its beginning is one of the monotonic clock: not off. */
static int is_monotonic(const struct timespec *end) { return end->tv_sec < 1000000000; }

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict end) {
  if (is_monotonic(end)) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, end);
  for (;;) {
    struct timespec now, step;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left = (int64_t)(end->tv_sec - now.tv_sec) * 1000000000 + end->tv_nsec - now.tv_nsec;
    if (left <= 0) return ETIMEDOUT;
    if (left > 100000000) left = 100000000;
    clock_gettime(CLOCK_MONOTONIC, &step);
    step.tv_nsec += left;
    step.tv_sec += step.tv_nsec / 1000000000;
    step.tv_nsec %= 1000000000;
    int status = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &step);
    if (status != ETIMEDOUT) return status;
  }
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict end) {
  switch (pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, end)) {
  case 0: return thrd_success;
  case ETIMEDOUT: return thrd_timedout;
  default: return thrd_error;
  }
}
