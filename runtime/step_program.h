// step_program.h: a graph that can be run on named arrays, and the states it shares with other graphs.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "codegen/device.h"
#include "codegen/program.h"
#include "ir/graph.h"
#include "ir/philox.h"
#include "runtime/npz.h"

namespace mezzo::runtime {

struct Port {
  std::string name;
  ir::Type type;
  bool updated = false;  // of a state: the graph gives it a new value
};

// The values that outlive a step, by name: parameters, statistics, optimizer slots, counters. Several graphs
// (one per input signature, the evaluation graph ...) read and update the same ones. Storage is 64-byte
// aligned.
// With a device, a value is where it was written last, and moves when the other side asks for it; values of
// one element that a step updates come back to the host with its results, so that reading a counter waits for
// nothing.
class States {
 public:
  States() = default;
  explicit States(std::shared_ptr<codegen::Device> device) : device_(std::move(device)) {}
  // Makes the states of `graph` that do not exist yet, with their start values. InternalError when one exists
  // with another type, Error(bad_input) when it was restored.
  void adopt(const ir::Graph& graph);
  // Takes these values in place of all it has; throws Error(bad_input), before anything changed, where one of
  // them has another type than before.
  void restore(Arrays values);
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  // Whether it is a parameter in 16 bits: adopt() and restore() make those from the parameters.
  bool is_copy(const std::string& name) const { return copies_.count(name) > 0; }
  ir::Tensor& at(const std::string& name);  // to be changed
  const ir::Tensor& at(const std::string& name) const;
  void set(const std::string& name, ir::Tensor value);  // of the same type
  const std::map<std::string, ir::Tensor>& all() const;
  std::vector<std::string> names() const;
  const ir::Type& type(const std::string& name) const { return values_.at(name).type(); }
  int64_t bytes() const;
  // Bytes that the states of `graph` still lack on the device.
  int64_t missing_bytes(const ir::Graph& graph) const;

  // Where programs find the present value.
  std::byte* storage(const std::string& name);
  // Where a program writes the new value beside its storage; null where it shall not.
  std::byte* host_copy(const std::string& name);
  // A program has written storage and host copy.
  void written(const std::string& name);
  // After a run of a program that updates these: makes the copies anew whose parameters are among them and
  // that are not, because it reads no 16-bit copy of them where another program does.
  void renew_copies(const std::set<std::string>& updated);

 private:
  enum class Newer : uint8_t { host, device, neither };
  struct Mirror {
    codegen::DeviceMemory memory;
    Newer newer = Newer::host;
  };
  bool comes_back(const ir::Tensor& value) const { return device_ && value.count() == 1; }
  void fetch(const std::string& name) const;

  std::shared_ptr<codegen::Device> device_;           // null: the host's memory is the device's
  mutable std::map<std::string, ir::Tensor> values_;  // on the host
  mutable std::map<std::string, Mirror> mirrors_;     // on the device, of those that a program has used
  std::map<std::string, std::string> copies_;         // by name: the parameter
  bool restored_ = false;
};

// Memory that programs of one trainer take turns to use.
class Arena {
 public:
  Arena() = default;
  explicit Arena(std::shared_ptr<codegen::Device> device) : device_(std::move(device)) {}
  // At least `bytes`, 64-byte aligned. Throws Error(out_of_memory).
  std::byte* reserve(int64_t bytes);
  int64_t bytes() const { return device_ ? on_device_.bytes() : storage_.bytes(); }

 private:
  std::shared_ptr<codegen::Device> device_;
  codegen::DeviceMemory on_device_;
  ir::Tensor storage_;
};

class StepProgram {
 public:
  virtual ~StepProgram() = default;
  // Runs the graph once: `feeds` holds every input with its exact type; `states` has adopted the graph and is
  // updated. Returns the outputs by name.
  Arrays run(const Arrays& feeds, States& states, Arena& arena) {
    start(feeds, states, arena);
    return finish(states);
  }
  // The same in two parts, see codegen::Program. Only what finish() returns tells whether the run went well.
  // `staged`: the feeds are those that were staged last.
  virtual void start(const Arrays& feeds, States& states, Arena& arena, bool staged = false) = 0;
  virtual Arrays finish(States& states) = 0;
  virtual size_t most_under_way() const { return 1; }
  // Whether a run leaves the random key as the next draw needs it.
  bool counts_draws() const { return updated_.count(ir::kRandomKey) > 0; }
  // Sends the feeds of a later run ahead; false where there is nothing to be won.
  virtual bool stage(const Arrays& /*feeds*/) { return false; }
  // The time of each launch of the last run is added to `nanoseconds`; empty where a program has no launches.
  virtual Arrays run_timed(const Arrays& feeds, States& states, Arena& arena,
                           std::vector<int64_t>& nanoseconds) = 0;
  virtual const std::vector<codegen::LaunchInfo>& launches() const = 0;
  virtual size_t graph_nodes() const { return 0; }
  virtual int64_t arena_bytes() const = 0;

  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& states() const { return states_; }
  const std::vector<Port>& outputs() const { return outputs_; }

 protected:
  explicit StepProgram(const ir::Graph& graph);
  std::vector<Port> inputs_, states_, outputs_;
  std::set<std::string> updated_;  // the names of the states that the graph gives new values
};

// The interpreter that defines the meaning of every op, on a graph that need not be planned.
std::unique_ptr<StepProgram> reference_program(ir::Graph graph);
// A backend's program for a planned graph.
std::unique_ptr<StepProgram> backend_program(
    ir::Graph planned, const std::function<std::unique_ptr<codegen::Program>(const ir::Graph&)>& compile);

}  // namespace mezzo::runtime
