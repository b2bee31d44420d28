// interrupt.h: Ctrl-C as a question between two steps.
#pragma once

namespace mezzo::cli {

// While alive, SIGINT and SIGTERM are noted instead of ending the process; a second one ends it at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  bool requested() const;
};

}  // namespace mezzo::cli
