// model.h: an .onnx file that was read and checked.
#pragma once
#include <memory>
#include <string>

#include "mezzo/options.h"
#include "mezzo/trainer.h"

namespace mezzo {

class Model {
 public:
  // Reads and checks the file. Throws Error: bad_input for what cannot be read or is malformed, unsupported
  // for versions and ops Mezzo does not know (all of them in one message).
  static Model load(const std::string& path);
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  // A trainer whose weights start from the file's. When all input shapes are known (from `options.inputs` and
  // the file) the step is compiled now, otherwise on the first batch. Throws Error: usage for options that
  // contradict each other, unsupported for ops without a gradient, bad_input for shapes that do not fit.
  Trainer compile(const CompileOptions& options) const;

  // Inference: outputs by name from inputs by name, in f32 (or the file's own types). `device`: cpu or
  // reference.
  Tensors run(const Tensors& feeds, Device device = Device::cpu) const;

 private:
  struct State;
  explicit Model(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace mezzo
