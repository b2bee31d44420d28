// fiber.h: a stack that can be left and entered again, for x86-64 System V. Without system calls: the
// simulator switches hundreds of thousands of times per launch.
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace mezzo::cuda_sim {

// Saves the registers that a callee must keep on the running stack and its pointer in `save`; goes on where
// `load` was saved.
extern "C" void mezzo_switch_stack(void** save, void* load);

class Fiber {
 public:
  Fiber() = default;
  Fiber(Fiber&& other) noexcept : stack_(std::exchange(other.stack_, nullptr)), pointer(other.pointer) {}
  ~Fiber() {
    if (stack_) munmap(stack_, kStack);
  }

  // The next switch to it runs `entry`, which must not return. What ran here before is abandoned.
  void prepare(void (*entry)()) {
    if (!stack_) {
      void* p =
          mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) throw std::bad_alloc();
      stack_ = static_cast<char*>(p);
      mprotect(stack_, kPage, PROT_NONE);  // an overflow faults instead of running into a neighbour
    }
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(stack_ + kPage,
                                kStack - kPage);  // an abandoned fiber leaves its frames marked
#endif
    // Six registers and the address to return to. In `entry` the stack pointer is 8 mod 16, as after a call.
    auto** top = reinterpret_cast<void**>(stack_ + kStack - 128);
    std::fill_n(top, 8, nullptr);
    top[6] = reinterpret_cast<void*>(entry);
    pointer = top;
  }

 private:
  static constexpr size_t kStack = 128 << 10, kPage = 4096;
  char* stack_ = nullptr;

 public:
  void* pointer = nullptr;
};

}  // namespace mezzo::cuda_sim
