// model_gradients.h: loss and gradients of a model that a test made.
#pragma once
#include "frontend/onnx.pb.h"
#include "runtime/session.h"
#include "tests/frontend/model_builder.h"

namespace mezzo::runtime {

// The model's first output is the loss.
inline GradientOutcome gradients(const test::ModelBuilder& m, const Arrays& feeds, Precision precision,
                                 Device device = Device::cpu) {
  test::TemporaryDirectory folder;
  test::write_file(folder / "m.onnx", m.bytes());
  CompileOptions options;
  options.precision = precision;
  options.device = device;
  options.loss = Loss::output();
  options.cache_dir = "none";
  return Session(std::make_shared<LoadedModel>(folder / "m.onnx"), options).gradients(feeds);
}

}  // namespace mezzo::runtime
