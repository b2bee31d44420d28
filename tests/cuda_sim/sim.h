// sim.h: a GPU for the text of CUDA kernels, as far as results go. The text is compiled as host C++; every
// CUDA thread is a fiber that runs until it must wait, so the schedule is the simulator's. It checks bounds
// and alignment of every access to global memory, that barriers and warp operations are reached by all, that
// nobody writes behind shared arrays and buffers, and counts bytes. Memory starts poisoned: 0xff makes NaN of
// every float. Not covered: races whose orders give equal bits, bank conflicts, speed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo::cuda_sim {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// What a kernel did wrong.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// In which order ready threads, and the blocks of a grid, get their turn.
enum class Order : uint8_t { ascending, descending, shuffled };

// Kernels, compiled.
class Module {
 public:
  // Each text as it would stand behind the prelude. They are compiled in groups, several compilers at a time,
  // into shared objects that are kept in the build folder under the hash of what they are made of. Throws
  // Fault with the compiler's messages.
  static std::shared_ptr<const Module> load(const std::vector<std::string>& texts);
  virtual ~Module() = default;
  virtual bool has(std::string_view function) const = 0;

 protected:
  friend class Simulator;
  using Entry = void (*)(void* const* pointers);
  struct Function {
    Entry entry;
    struct Machine** machine;  // the module's variable
    int parameters;
  };
  virtual const Function& find(std::string_view function) const = 0;
};

// Bytes that kernels moved.
struct Traffic {
  uint64_t read = 0, written = 0;
};

// Device memory, and launches on it. One at a time per thread of the host.
class Simulator {
 public:
  Simulator();
  ~Simulator();

  // Poisoned memory between red zones, aligned to 256 bytes. `bytes` may be 0.
  std::byte* allocate(size_t bytes, std::string name);
  void release(const std::byte* memory);
  void poison(std::byte* memory);
  // Of the whole allocation that starts there.
  Traffic traffic(const std::byte* memory) const;
  void reset_traffic();

  // Runs one function to its end. Throws Fault, naming function and thread.
  void launch(const Module& module, std::string_view function, Dim3 grid, Dim3 block, size_t shared_bytes,
              const std::vector<void*>& pointers, Order order = Order::ascending);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mezzo::cuda_sim
