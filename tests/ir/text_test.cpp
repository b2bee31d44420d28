// The text form: exact text, exact way back, exact messages.
#include "ir/text.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// Parses and prints; the text must be a fixed point, also by way of canonicalize.
void expect_round_trip(const Graph& graph) {
  std::string text = print(graph);
  Graph back = parse(text, elided_tensors(graph));
  EXPECT_EQ(print(back), text);
  verify(back);
  Graph canonical = clone(graph);
  canonicalize(canonical);
  EXPECT_EQ(print(canonical), text);
  ASSERT_EQ(canonical.size(), back.size());
  for (size_t i = 0; i < back.size(); i++) {
    const Node &a = *canonical.nodes()[i], &b = *back.nodes()[i];
    EXPECT_EQ(&a.op(), &b.op());
    EXPECT_EQ(a.types(), b.types());
    EXPECT_EQ(a.origin, b.origin);
    EXPECT_EQ(a.phase, b.phase);
    EXPECT_EQ(a.offsets, b.offsets);
    EXPECT_EQ(a.id(), b.id());
  }
}

std::string error_of(std::string_view text) {
  try {
    parse(text);
  } catch (const Error& e) {
    return e.hint().empty() ? e.what() : std::string(e.what()) + " | " + e.hint();
  }
  return "no error";
}

Graph small_graph() {
  Graph g;
  Value unused = g.input("unused", {DType::i64, {2}});
  Value x = g.input("x", {DType::f32, {8, 4}});
  g.origin = {"fc1"};
  Value w = g.state("fc1.weight", {DType::f32, {3, 4}}, StateKind::parameter);
  Value step = g.state("odd name", {DType::f32, {8, 3}}, StateKind::slot, 0.5);
  Value y = dot(x, w, {.trans_b = true});
  g.phase = Phase::backward;
  g.origin = {"a b", "backward", "fc1"};
  Value z = transpose(y, {1, 0});
  g.phase = Phase::update;
  g.origin = {};
  g.outputs = {{"z", z}, {"the y", y}};
  g.updates = {{step.node, reshape(z, {8, 3}), true}};
  (void)unused;
  return g;
}

TEST(Text, ShowsLeavesAttributesOriginsAndUpdates) {
  EXPECT_EQ(print(small_graph()), R"(graph main {
  input %unused : i64[2]
  input %x : f32[8,4]
  state $fc1.weight : f32[3,4]  ; fc1
  state $"odd name" kind="slot" init=0.5 : f32[8,3]  ; fc1
  %0 = Dot(%x, $fc1.weight) trans_b=1 : f32[8,3]  ; fc1
  %1 = Transpose(%0) perm=[1,0] : f32[3,8]  ; backward "a b", "backward", fc1
  %2 = Reshape(%1) shape=[8,3] allowzero=1 : f32[8,3]  ; update
  output z = %1
  output "the y" = %0
  update $"odd name" = %2 unconditional
}
)");
  expect_round_trip(small_graph());
}

TEST(Text, NumbersDoNotDependOnTheOrderOfCreation) {
  auto build = [](bool swapped) {
    Graph g;
    Value x = g.input("x", {DType::f32, {2, 3}});
    Value a, b;
    if (swapped) b = slice(x, {1}, {2}, {0}, {1});
    a = slice(x, {0}, {1}, {0}, {1});
    if (!swapped) b = slice(x, {1}, {2}, {0}, {1});
    reshape(x, {6});  // dead
    g.outputs = {{"y", concat({a, b}, 0)}};
    return print(g);
  };
  EXPECT_EQ(build(false), build(true));
  EXPECT_THAT(build(true), testing::Not(testing::HasSubstr("Reshape")));
}

TEST(Text, ConstantsComeBackBitForBit) {
  Graph g;
  double inf = std::numeric_limits<double>::infinity();
  Tensor odd = Tensor::of({4}, {std::nan(""), -0.0, 1, 2});
  odd.as<uint32_t>()[2] = 0x7fc00123;  // a NaN with a payload
  odd.as<uint32_t>()[3] = 1;           // the least subnormal
  Values all = {
      g.constant(Tensor::of({6}, {0.1, -inf, inf, 1e-45, 16777216, 3.4028234663852886e38})),
      g.constant(Tensor::of({3}, {0.1, 1.0 / 3, 5e-324}, DType::f64)),
      g.constant(Tensor::of({3}, {0.1, 65504, 6e-8}, DType::f16)),
      g.constant(Tensor::of({2}, {0.1, 3e38}, DType::bf16)),
      g.constant(Tensor::of({2}, {1, 0}, DType::boolean)),
      g.constant(Tensor::of({0}, {})),
      g.constant(7, DType::i64),
      g.constant(0.25, DType::f32, {1000, 3}),  // equal elements: one number
      g.constant(odd),
  };
  Tensor wide({DType::u64, {2}}), narrow({DType::i64, {2}});
  wide.set_int(0, -1);
  narrow.set_int(0, INT64_MIN);
  all.push_back(g.constant(wide));
  all.push_back(g.constant(narrow));
  for (size_t i = 0; i < all.size(); i++) g.outputs.push_back({"o" + std::to_string(i), all[i]});
  expect_round_trip(g);
  Graph back = parse(print(g));
  for (const Output& o : g.outputs)
    EXPECT_TRUE(*constant_of(o.value) == *constant_of(back.find_output(o.name)));
  EXPECT_THAT(print(g), testing::HasSubstr("Constant {nan, -0, 0x7fc00123, 1e-45} : f32[4]"));
  EXPECT_THAT(print(g), testing::HasSubstr("Constant 0.25 : f32[1000,3]"));
  EXPECT_THAT(print(g), testing::HasSubstr("{18446744073709551615, 0} : u64[2]"));
}

TEST(Text, LargeConstantsAreElidedByContent) {
  Graph g;
  Tensor t({DType::f32, {5, 5}});
  for (int i = 0; i < 25; i++) t.set(i, i);
  g.outputs = {{"a", g.constant(t)}, {"b", g.constant(t)}};
  TensorMap tensors = elided_tensors(g);
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_THAT(print(g), testing::HasSubstr("Constant @" + tensors.begin()->first + " : f32[5,5]"));
  expect_round_trip(g);
  EXPECT_THAT(error_of(print(g)),
              testing::HasSubstr("is not at hand | the constants of a dump are in .npy files beside it"));
  t.set(24, 0);
  Graph other;
  other.outputs = {{"a", other.constant(t)}};
  EXPECT_EQ(elided_tensors(other).count(tensors.begin()->first), 0u);
}

TEST(Text, KernelsShowTheirBodies) {
  auto body = std::make_unique<Graph>();
  body->name = "k0";
  Value a = body->input("a", {DType::f32, {4}}), b = body->input("b", {DType::f32, {4}});
  body->outputs = {{"0", concat({a, b}, 0)}, {"1", reshape(a, {2, 2})}};
  Graph g;
  Value x = g.input("x", {DType::f32, {4}});
  g.phase = Phase::backward;
  Node* kernel = g.add(get_op("Kernel"), {x, x}, {}, std::move(body));
  kernel->offsets = {64, -2};
  g.outputs = {{"y", kernel->out(1)}, {"z", kernel->out(0)}};
  g.scheduled = true;
  g.arena_bytes = 96;
  EXPECT_EQ(print(g), R"(graph main scheduled arena=96 {
  input %x : f32[4]
  %0, %1 = Kernel(%x, %x) : f32[8]@64, f32[2,2]@state  ; backward
    body k0 {
      input %a : f32[4]
      input %b : f32[4]
      %0 = Concat(%a, %b) axis=0 : f32[8]
      %1 = Reshape(%a) shape=[2,2] allowzero=1 : f32[2,2]
      output "0" = %0
      output "1" = %1
    }
  output y = %1
  output z = %0
}
)");
  verify(g);
  expect_round_trip(g);
}

TEST(Text, NamesOfGraphs) {
  for (const char* name : {"main", "graph", "body", "scheduled", "arena", "two words", "{"}) {
    Graph g;
    g.name = name;
    EXPECT_EQ(parse(print(g)).name, name);
    auto body = std::make_unique<Graph>();
    body->name = name;
    body->outputs = {{"0", body->constant(1)}};
    Graph outer;
    outer.outputs = {{"y", outer.add(get_op("Kernel"), {}, {}, std::move(body))->out()}};
    expect_round_trip(outer);
    EXPECT_EQ(parse(print(outer)).nodes()[0]->body->name, name);
  }
  EXPECT_EQ(print(Graph()), "graph main {\n}\n");
}

TEST(Text, HandwrittenFormIsAccepted) {
  Graph g = parse(R"(
# a comment
graph main {

  input %x: f32[2]   ; conv
  %sum = Concat(%x, %x) axis=0: f32[4]
  # another
  output y = %sum
}
)");
  EXPECT_EQ(g.nodes()[0]->origin, Origin{"conv"});
  EXPECT_EQ(g.nodes()[1]->origin, Origin{});
  EXPECT_THAT(print(g), testing::HasSubstr("%0 = Concat(%x, %x) axis=0 : f32[4]"));
}

TEST(Text, ErrorsNameLineAndColumn) {
  auto body = [](std::string line) {
    return error_of("graph g {\n  input %x : f32[2,3]\n  " + line + "\n}\n");
  };
  EXPECT_EQ(body("%0 = Concta(%x) axis=0 : f32[2,3]"), "3:8: unknown op 'Concta' | did you mean Concat?");
  EXPECT_EQ(body("%0 = Concat(%y) axis=0 : f32[2,3]"), "3:15: %y is not defined above");
  EXPECT_EQ(body("%0 = Concat(%x) axes=0 : f32[2,3]"), "3:19: Concat has no attribute 'axes' | it has axis");
  EXPECT_EQ(body("%0 = Concat(%x) axis=one : f32[2,3]"), "3:24: 'one' is not an integer");
  EXPECT_EQ(body("%0 = Concat(%x) axis=2 : f32[2,3]"), "3:3: Concat: axis 2 is out of range for rank 2");
  EXPECT_EQ(body("%0 = Concat(%x) axis=0 : f32[3,2]"), "3:28: the type is f32[2,3]");
  EXPECT_EQ(body("%0 = Concat(%x) axis=0 : f33[3,2]"),
            "3:28: unknown element type 'f33' | f32, bf16, f16, i64, bool ...");
  EXPECT_EQ(body("%0 = Concat(%x) : f32[2,3]"), "3:3: Concat: attribute 'axis' is missing");
  EXPECT_EQ(body("%0 = Concat(%x) axis=0 axis=0 : f32[2,3]"), "3:26: attribute 'axis' is given twice");
  EXPECT_EQ(body("%0 = Constant {1, 2} : f32[3]"), "3:17: 2 elements for f32[3]");
  EXPECT_EQ(body("%0 = Constant {1, x} : f32[2]"), "3:21: 'x' is not f32");
  EXPECT_EQ(body("%0 = Constant 300 : u8[2]"), "3:17: '300' is not u8");
  EXPECT_EQ(body("%0 = Constant 1 : f32[1099511627776]"), "3:17: a constant this large cannot be written so");
  EXPECT_EQ(body("%0 = Kernel(%x) : f32[2]"), "3:3: a Kernel needs a body");
  EXPECT_EQ(body("update %x = %x"), "3:10: only a state can be updated");
  EXPECT_EQ(body("input %x : f32[2]"), "3:9: %x is defined twice");
  EXPECT_EQ(body("output \"y = %x"), "3:10: this string does not end");
  EXPECT_EQ(body("return %x"), "3:3: expected input, state, output, update, a value or '}'");
  EXPECT_EQ(error_of("graph g {\n"), "2:1: expected input, state, output, update, a value or '}'");
  EXPECT_EQ(error_of(""), "1:1: expected 'graph'");
  EXPECT_EQ(error_of("graph g {\n}\ngraph h {\n}"), "3:1: expected nothing behind the graph");
}

// Every text cut short or with one byte changed either parses or is refused with an Error.
TEST(Text, NoDamageCrashesTheParser) {
  std::string text = print(small_graph());
  for (size_t i = 0; i < text.size(); i++) {
    if (i + 1 < text.size()) {
      EXPECT_NE(error_of(text.substr(0, i)), "no error") << i;
    }
    for (char c : {'"', '{', '-', '9', ':', '\n', '\0', '\xff'}) {
      std::string damaged = text;
      damaged[i] = c;
      error_of(damaged);
    }
  }
}

TEST(Verify, NamesTheWrongNode) {
  Graph g = small_graph();
  verify(g);
  auto message = [](const Graph& graph) {
    try {
      verify(graph);
    } catch (const InternalError& e) {
      return std::string(e.what());
    }
    return std::string("valid");
  };
  g.nodes()[4]->set_attr("trans_b", int64_t{0});
  EXPECT_EQ(message(g),
            "verify: inner extents of f32[8,4] and f32[3,4] differ\n"
            "  in: %0 = Dot(%x, $fc1.weight) : f32[8,3]  ; fc1");
  g = small_graph();
  g.nodes()[5]->set_attr("perm", Ints{0, 1});
  EXPECT_THAT(message(g),
              testing::StartsWith("verify: output 0 is f32[3,8], inferred f32[8,3]\n  in: %1 = "));
  g = small_graph();
  g.nodes()[5]->set_attr("perm", int64_t{1});
  EXPECT_THAT(message(g), testing::StartsWith("verify: attribute 'perm' has another type"));
  g = small_graph();
  g.updates[0].value = g.outputs[0].value;
  EXPECT_THAT(message(g), testing::HasSubstr("updates 'odd name' which is f32[8,3]"));
  g = small_graph();
  g.outputs[1].name = "z";
  EXPECT_THAT(message(g), testing::HasSubstr("two outputs are named 'z'"));
  g = small_graph();
  g.input("x", {DType::f32, {}});
  EXPECT_THAT(message(g), testing::HasSubstr("two leaves have one name"));
  g = small_graph();
  g.nodes()[4]->offsets = {4};
  EXPECT_THAT(message(g), testing::HasSubstr("ends behind the arena of 0 bytes"));
  Graph other = small_graph();
  g = small_graph();
  g.outputs[0].value = other.outputs[0].value;
  EXPECT_EQ(message(g), "verify: output 'z' is not a value of the graph");
}

}  // namespace
}  // namespace mezzo::ir
