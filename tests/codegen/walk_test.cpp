// The walk over kernel bodies by itself, with an emitter that only counts.
#include <gmock/gmock.h>

#include "codegen/emit.h"
#include "ir/build.h"

namespace mezzo::codegen {
namespace {

using ir::DType;
using ir::Value;

class Counter : public Emitter {
 public:
  Reg constant(DType, ir::Number) override { return next(); }
  Reg apply(ir::Code, DType, DType, std::span<const Reg>) override {
    applied++;
    return next();
  }
  Reg call_real(const ir::OpDef&, std::span<const Reg>) override { return next(); }
  Reg number(const ir::Expr&, DType) override { return next(); }
  Reg inside(const ir::Condition&, Reg) override { return next(); }
  Reg load(int, DType, const ir::Expr&, int64_t, Reg) override {
    loads++;
    return next();
  }
  void bind(int, Reg) override {}
  int go_to(int depth) override { return std::exchange(depth_, depth); }
  int applied = 0, loads = 0;

 private:
  Reg next() { return {next_++}; }
  int next_ = 0, depth_ = 1;
};

void walk(Counter& counter, const ir::Graph& body, Value result) {
  Walk w(counter, body);
  std::vector<int> loops;
  for (int i = 0; i < result.rank(); i++) loops.push_back(i);
  w.open(loops);
  w.value(result, coordinates(result.dims()));
  w.close();
}

TEST(Walk, DepthOfABodyIsNotThatOfTheCalls) {
  ir::Graph body;
  Value v = body.input("x", {DType::f32, {2, 4}}), y = body.input("y", {DType::f32, {2, 4}});
  constexpr int kDepth = 100000;
  for (int i = 0; i < kDepth; i++)
    v = i % 10 == 9 ? ir::transpose(ir::transpose(v, {1, 0}) * 2, {1, 0}) : v + y;
  Counter counter;
  walk(counter, body, v);
  EXPECT_EQ(counter.applied, kDepth);
  EXPECT_EQ(counter.loads, 2);
}

TEST(Walk, DiamondsAreGeneratedOnce) {
  ir::Graph body;
  Value v = body.input("x", {DType::f32, {8}});
  for (int i = 0; i < 500; i++) v = v * 3 + v;
  Counter counter;
  walk(counter, body, v);
  EXPECT_EQ(counter.applied, 1000);
}

// Every Concat reads its operands under conditions, which nest.
TEST(Walk, ConditionsNestedTooDeeplyAreRefused) {
  ir::Graph body;
  Value x = body.input("x", {DType::f32, {1}}), v = x;
  for (int i = 0; i < 40; i++) v = ir::apply("Concat", {v, x}, {{"axis", int64_t{0}}}) * 2;
  Counter counter;
  walk(counter, body, v);  // what nets do is far from the limit
  for (int i = 0; i < 1000; i++) v = ir::apply("Concat", {v, x}, {{"axis", int64_t{0}}}) * 2;
  EXPECT_THROW(walk(counter, body, v), Unsupported);
}

}  // namespace
}  // namespace mezzo::codegen
