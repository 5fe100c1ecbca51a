/*
 * Getting a thread out of KVM_RUN.
 *
 * A kick sets kvm_run.immediate_exit and then signals the thread that is running: either the kernel sees the flag when
 * it enters KVM_RUN, or the thread is past that point and the signal takes it out of the guest. The signal's handler has
 * nothing to do, so a signal that comes too late (even to another thread that got the number) is harmless.
 *
 * The watchdog is a timer that signals a thread in KVM_RUN (or another long wait) every few milliseconds. Nothing else
 * would tell a thread that sits in the kernel that its worker has been terminated.
 */
#include "binding.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define TICK_NANOSECONDS 20000000
#define IDLE_TICKS 5

struct watchdog {
  timer_t timer;
  bool created;
  int thread;
  volatile sig_atomic_t running;
  volatile sig_atomic_t armed;
  volatile sig_atomic_t ticked;
  volatile sig_atomic_t idle;
};

/* initial-exec: a signal handler must not be the first to touch a thread's copy, which could allocate. */
static __thread __attribute__((tls_model("initial-exec"))) struct watchdog watchdog;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int signal_number;

static void watchdog_set(long nanoseconds) {
  struct itimerspec time = {.it_interval.tv_nsec = nanoseconds, .it_value.tv_nsec = nanoseconds};
  watchdog.armed = nanoseconds != 0;
  timer_settime(watchdog.timer, 0, &time, NULL);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)context;
  if (info->si_code != SI_TIMER || info->si_value.sival_ptr != &watchdog) return;
  if (watchdog.running) {
    watchdog.ticked = 1;
    watchdog.idle = 0;
  } else if (++watchdog.idle > IDLE_TICKS) {
    watchdog_set(0);
  }
}

static void install(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigemptyset(&action.sa_mask);
  /* The first real-time signal that nobody uses; SIGRTMIN itself is popular. */
  for (int number = SIGRTMIN + 1; number <= SIGRTMAX; number++) {
    struct sigaction old;
    if (sigaction(number, NULL, &old) != 0 || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL) continue;
    if (sigaction(number, &action, NULL) == 0) {
      signal_number = number;
      return;
    }
  }
}

/* 0, or a negative errno when no signal is free. */
int interrupt_prepare(void) {
  pthread_once(&once, install);
  return signal_number == 0 ? -ENOSYS : 0;
}

int interrupt_signal(void) { return signal_number; }

void interrupt_thread(int thread) { syscall(SYS_tgkill, getpid(), thread, signal_number); }

int thread_id(void) {
  if (watchdog.thread == 0) watchdog.thread = (int)syscall(SYS_gettid);
  return watchdog.thread;
}

static void watchdog_create(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal_number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal_number};
  event.sigev_value.sival_ptr = &watchdog;
  event.sigev_notify_thread_id = thread_id();
  watchdog.created = timer_create(CLOCK_MONOTONIC, &event, &watchdog.timer) == 0;
}

void watchdog_enter(void) {
  watchdog.running = 1; /* before the test: the handler disarms only what does not run */
  if (!watchdog.armed) {
    if (!watchdog.created) watchdog_create();
    watchdog.idle = 0;
    if (watchdog.created) watchdog_set(TICK_NANOSECONDS);
  }
}

void watchdog_leave(void) { watchdog.running = 0; }

bool watchdog_ticked(void) {
  if (!watchdog.ticked) return false;
  watchdog.ticked = 0;
  return true;
}

/* Called on the thread itself when its environment ends. */
void watchdog_stop(void) {
  if (!watchdog.created) return;
  timer_delete(watchdog.timer);
  watchdog.created = false;
  watchdog.armed = 0;
}
