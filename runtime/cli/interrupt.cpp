#include "runtime/cli/interrupt.h"

#include <atomic>
#include <csignal>

namespace mezzo::cli {
namespace {

std::atomic<bool> requested_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // else a signal handler must not touch it

void on_signal(int number) {
  requested_flag = true;
  std::signal(number, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  requested_flag = false;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}
InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}
bool InterruptGuard::requested() const { return requested_flag; }

}  // namespace mezzo::cli
