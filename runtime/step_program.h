// step_program.h: a graph that can be run on named arrays, and the states it shares with other graphs.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codegen/program.h"
#include "ir/graph.h"
#include "runtime/npz.h"

namespace mezzo::runtime {

// The values that outlive a step, by name: parameters, statistics, optimizer slots, counters. Several graphs
// (one per input signature, the evaluation graph ...) read and update the same ones. Storage is 64-byte
// aligned.
class States {
 public:
  // Makes the states of `graph` that do not exist yet, with their start values. InternalError when one exists
  // with another type, Error(bad_input) when it was restored.
  void adopt(const ir::Graph& graph);
  // Takes these values in place of all it has; throws Error(bad_input), before anything changed, where one of
  // them has another type than before.
  void restore(Arrays values);
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  ir::Tensor& at(const std::string& name);
  const ir::Tensor& at(const std::string& name) const;
  const std::map<std::string, ir::Tensor>& all() const { return values_; }

 private:
  std::map<std::string, ir::Tensor> values_;
  bool restored_ = false;
};

// Memory that programs of one trainer take turns to use.
class Arena {
 public:
  // At least `bytes`, 64-byte aligned. Throws Error(out_of_memory).
  std::byte* reserve(int64_t bytes);
  int64_t bytes() const { return storage_.bytes(); }

 private:
  ir::Tensor storage_;
};

struct Port {
  std::string name;
  ir::Type type;
};

class StepProgram {
 public:
  virtual ~StepProgram() = default;
  // Runs the graph once: `feeds` holds every input with its exact type; `states` has adopted the graph and is
  // updated. Returns the outputs by name.
  virtual Arrays run(const Arrays& feeds, States& states, Arena& arena) = 0;
  // The time of each launch of the last run is added to `nanoseconds`; empty where a program has no launches.
  virtual Arrays run_timed(const Arrays& feeds, States& states, Arena& arena,
                           std::vector<int64_t>& nanoseconds) = 0;
  virtual const std::vector<codegen::LaunchInfo>& launches() const = 0;
  virtual int64_t arena_bytes() const = 0;

  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& states() const { return states_; }
  const std::vector<Port>& outputs() const { return outputs_; }

 protected:
  explicit StepProgram(const ir::Graph& graph);
  std::vector<Port> inputs_, states_, outputs_;
};

// The interpreter that defines the meaning of every op, on a graph that need not be planned.
std::unique_ptr<StepProgram> reference_program(ir::Graph graph);
// The CPU backend on a planned graph.
std::unique_ptr<StepProgram> cpu_program(ir::Graph planned, const codegen::CpuOptions& options);

}  // namespace mezzo::runtime
