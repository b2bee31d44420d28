// kernel_harness.h: a kernel body through the CPU backend and through the evaluator, on the same numbers.
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "codegen/cpu/jit.h"
#include "codegen/program.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"

namespace mezzo::codegen::testing {

using ir::DType;
using ir::Graph;
using ir::Tensor;
using ir::Type;
using ir::Value;

// Numbers of a type, some of them special: zeros, subnormals, infinities, NaN, ties of the 16-bit formats.
inline Tensor random_tensor(Type type, unsigned seed, bool special = true) {
  std::mt19937 gen(seed);
  Tensor t(type);
  const double odd[] = {0.0,  -0.0,  INFINITY, -INFINITY, NAN, 1e-40, -3e-42,   1.00390625, 65519.0, 65520.0,
                        3e38, -1e-8, 6e-8,     0.5,       1.5, 2.5,   1.001953, 4.0e-38,    88.7,    -104.0};
  for (int64_t i = 0; i < t.count(); i++) {
    if (type.dtype == DType::boolean) {
      t.set_int(i, gen() & 1);
    } else if (!ir::is_float(type.dtype)) {
      t.set_int(i, static_cast<int64_t>(gen()) - (int64_t{1} << 31));
    } else if (special && gen() % 8 == 0) {
      t.set(i, odd[gen() % std::size(odd)]);
    } else {
      t.set(i, std::normal_distribution<double>(0, 2)(gen));
    }
  }
  return t;
}

// Runs a planned (or unplanned) graph once. States start from `states`, in order, and hold the new values
// afterwards.
inline std::vector<Tensor> run_program(Program& program, const Graph& g, const std::vector<Tensor>& inputs,
                                       std::vector<Tensor>* states = nullptr) {
  Bindings b;
  Tensor arena({DType::u8, {program.arena_bytes() + 64}});
  std::memset(arena.data(), 0xcd, static_cast<size_t>(arena.bytes()));
  b.arena = arena.data();
  for (const Tensor& t : inputs) b.inputs.push_back(t.data());
  if (states)
    for (Tensor& t : *states) b.states.push_back(t.data());
  std::vector<Tensor> out;
  for (const ir::Output& o : g.outputs) out.emplace_back(o.value.type());
  for (Tensor& t : out) b.outputs.push_back(t.data());
  program.run(b);
  return out;
}

// A graph with one Kernel node made of this body.
inline Graph around(const Graph& body) {
  Graph g;
  ir::Values inputs;
  for (const auto& n : body.nodes())
    if (ir::is_input(*n)) inputs.push_back(g.input(n->s("name"), n->type()));
  ir::Node* kernel = g.add(ir::get_op("Kernel"), inputs, {}, std::make_unique<Graph>(ir::clone(body)));
  for (size_t k = 0; k < body.outputs.size(); k++)
    g.outputs.push_back({body.outputs[k].name, kernel->out(static_cast<int>(k))});
  return g;
}

inline std::vector<Tensor> run_kernel(const Graph& body, const std::vector<Tensor>& inputs,
                                      CpuOptions options = {}) {
  Graph g = around(body);
  auto program = compile_cpu(g, options);
  EXPECT_EQ(program->launches().size(), 1u);
  if (cpu::jit_available()) {
    EXPECT_EQ(program->launches()[0].detail.substr(0, 3), "jit") << program->launches()[0].detail;
  }
  return run_program(*program, g, inputs);
}

inline std::vector<Tensor> expected(const Graph& body, const std::vector<Tensor>& inputs) {
  std::map<std::string, Tensor> feeds;
  size_t i = 0;
  for (const auto& n : body.nodes())
    if (ir::is_input(*n)) feeds.emplace(n->s("name"), inputs[i++]);
  auto result = ir::evaluate(body, feeds, ir::EvalMode::rounded);
  std::vector<Tensor> out;
  for (const ir::Output& o : body.outputs) out.push_back(result.outputs.at(o.name));
  return out;
}

// Equal bits; any NaN equals any NaN.
inline void expect_same_bits(const Tensor& got, const Tensor& want, const std::string& what) {
  ASSERT_EQ(got.type(), want.type()) << what;
  int shown = 0;
  for (int64_t i = 0; i < got.count() && shown < 5; i++) {
    bool same = ir::is_float(got.dtype())
                    ? std::bit_cast<uint64_t>(got.get(i)) == std::bit_cast<uint64_t>(want.get(i)) ||
                          (std::isnan(got.get(i)) && std::isnan(want.get(i)))
                    : got.get_int(i) == want.get_int(i);
    if (!same) shown++;
    EXPECT_TRUE(same) << what << " element " << i << ": " << got.get(i) << ", expected " << want.get(i);
  }
}

// |got - want| <= tolerance * max(1, |want|).
inline void expect_near(const Tensor& got, const Tensor& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.type(), want.type()) << what;
  int shown = 0;
  for (int64_t i = 0; i < got.count() && shown < 5; i++) {
    double a = got.get(i), b = want.get(i);
    bool same = a == b || (std::isnan(a) && std::isnan(b)) ||
                std::fabs(a - b) <= tolerance * std::max(1.0, std::fabs(b));
    if (!same) shown++;
    EXPECT_TRUE(same) << what << " element " << i << ": " << a << ", expected " << b;
  }
}

inline void check_exact(const Graph& body, const std::vector<Tensor>& inputs) {
  auto got = run_kernel(body, inputs), want = expected(body, inputs);
  for (size_t k = 0; k < got.size(); k++) expect_same_bits(got[k], want[k], body.outputs[k].name);
}

// Within the tolerance, and the same bits with one thread, with three, and when run again.
inline void check_near(const Graph& body, const std::vector<Tensor>& inputs, double tolerance) {
  auto got = run_kernel(body, inputs, {.threads = 1}), want = expected(body, inputs);
  auto again = run_kernel(body, inputs, {.threads = 3});
  for (size_t k = 0; k < got.size(); k++) {
    expect_near(got[k], want[k], tolerance, body.outputs[k].name);
    expect_same_bits(got[k], again[k], body.outputs[k].name + " with other threads");
  }
}

}  // namespace mezzo::codegen::testing
