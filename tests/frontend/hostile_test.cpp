// hostile_test.cpp: files made to break a reader. Every one of them must end in an Error that says what is
// wrong.
#include <gmock/gmock.h>

#include "frontend/limits.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using testing::HasSubstr;

ModelBuilder identity_model() {
  ModelBuilder m;
  m.input("x", {2}).output("y").node("Relu", {"x"}, {"y"}, "relu");
  return m;
}
std::string load_error(const ModelBuilder& m) {
  return error_of([&] { m.import(); });
}

TEST(Hostile, EveryTruncationIsAnErrorOrAModel) {
  ModelBuilder m = identity_model();
  m.weight("w", {2}, {1, 2});
  std::string bytes = m.bytes();
  int errors = 0;
  for (size_t n = 0; n < bytes.size(); n++)
    errors += error_of([&] {
                frontend::import_model(frontend::ModelFile::from_bytes(bytes.substr(0, n)));
              }) != "(no error)";
  EXPECT_EQ(errors,
            static_cast<int>(bytes.size()));  // the opset import comes last: nothing shorter is a model
}

TEST(Hostile, EveryByteFlippedNeverCrashes) {
  ModelBuilder m = identity_model();
  m.weight("w", {2}, {1, 2});
  std::string bytes = m.bytes();
  int models = 0;
  for (size_t i = 0; i < bytes.size(); i++)
    for (int bit = 0; bit < 8; bit++) {
      std::string mutant = bytes;
      mutant[i] = static_cast<char>(mutant[i] ^ (1 << bit));
      models +=
          error_of([&] { frontend::import_model(frontend::ModelFile::from_bytes(mutant)); }) == "(no error)";
    }
  EXPECT_GT(models, 0);  // names may change without harm
}

TEST(Hostile, NotAModel) {
  EXPECT_THAT(error_of([] { frontend::ModelFile::from_bytes("\x89PNG\r\n"); }),
              HasSubstr("not a valid ONNX file"));
  EXPECT_THAT(error_of([] { frontend::ModelFile::from_bytes(""); }), HasSubstr("holds no graph"));
  EXPECT_THAT(
      error_of([] {
        frontend::ModelFile::from_bytes(std::string("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11));
      }),
      HasSubstr("longer than what is left"));
  EXPECT_THAT(error_of([] { frontend::ModelFile::from_bytes(std::string(12, '\xff')); }),
              HasSubstr("more than 10 bytes"));
  EXPECT_THAT(error_of([] { frontend::ModelFile::read("/nonexistent/model.onnx"); }),
              HasSubstr("No such file"));
  EXPECT_THAT(error_of([] { frontend::ModelFile::read("/"); }), HasSubstr("not a regular file"));
  EXPECT_THAT(error_of([] { frontend::ModelFile::read("/dev/zero"); }), HasSubstr("not a regular file"));
}

TEST(Hostile, Versions) {
  ModelBuilder m = identity_model();
  m.proto.set_ir_version(2);
  EXPECT_THAT(load_error(m), HasSubstr("IR version 2"));
  m.proto.set_ir_version(15);
  EXPECT_THAT(load_error(m), HasSubstr("IR version 15"));
  m.proto.set_ir_version(8);
  m.proto.mutable_opset_import(0)->set_version(999);
  EXPECT_THAT(load_error(m), HasSubstr("operator set 999"));
  m.proto.mutable_opset_import(0)->set_version(17);
  *m.proto.add_opset_import() = m.proto.opset_import(0);
  m.proto.mutable_opset_import(1)->set_domain("ai.onnx");  // the same domain spelt out
  EXPECT_THAT(load_error(m), HasSubstr("twice"));
  m.proto.clear_opset_import();
  EXPECT_THAT(load_error(m), HasSubstr("no operator set of domain ''"));
}

TEST(Hostile, NestedBodies) {
  ModelBuilder m;
  m.input("c", {}, 9).output("y");
  onnx::GraphProto* graph = &m.graph();
  for (int i = 0; i < 1000; i++) {
    auto& node = add_node(*graph->mutable_node(), "If", {"c"}, {"y"});
    auto* a = node.add_attribute();
    a->set_name("then_branch");
    a->set_type(5);
    graph = a->mutable_g();
    graph->add_output()->set_name("y");
  }
  EXPECT_THAT(load_error(m), HasSubstr("nested more than"));
}

TEST(Hostile, Cycle) {
  ModelBuilder m;
  m.input("x", {2}).output("c");
  m.node("Add", {"x", "b"}, {"a"}, "first");
  m.node("Relu", {"a"}, {"b"}, "second");
  m.node("Relu", {"b"}, {"c"}, "behind");
  std::string why = load_error(m);
  EXPECT_THAT(why, HasSubstr("depends on its own output"));
  EXPECT_THAT(why, testing::Not(HasSubstr("behind")));
}

TEST(Hostile, Names) {
  ModelBuilder twice = identity_model();
  twice.node("Relu", {"x"}, {"y"}, "other");
  EXPECT_THAT(load_error(twice), HasSubstr("'y' is defined twice"));
  ModelBuilder undefined = identity_model();
  undefined.node("Relu", {"nowhere"}, {"z"}, "lost");
  EXPECT_THAT(load_error(undefined), HasSubstr("uses 'nowhere', which nothing defines"));
  ModelBuilder no_output = identity_model();
  no_output.output("z");
  EXPECT_THAT(load_error(no_output), HasSubstr("output 'z' is not defined"));
  ModelBuilder same = identity_model();
  same.weight("w", {1}, {1}).weight("w", {1}, {2});
  EXPECT_THAT(load_error(same), HasSubstr("'w' is given twice"));
  ModelBuilder broken = identity_model();
  broken.graph().mutable_node(0)->set_name("\xc0\x80\x1b[31m");
  EXPECT_THAT(load_error(broken), HasSubstr("\\xc0\\x80\\x1b"));
  ModelBuilder nul = identity_model();
  nul.graph().mutable_node(0)->set_name(std::string("a\0b", 3));
  EXPECT_THAT(load_error(nul), HasSubstr("not valid UTF-8"));
  ModelBuilder longest = identity_model();
  longest.graph().mutable_node(0)->set_name(std::string(5000, 'n'));
  EXPECT_THAT(load_error(longest), HasSubstr("longer than"));
}

// Names of the IR's own operators must not be reachable from a file.
TEST(Hostile, InternalOperators) {
  for (const char* op :
       {"State", "Input", "Kernel", "Dot", "LossSeed", "Iota", "Window", "Convolution", "MeanSquaredError"}) {
    ModelBuilder m = identity_model();
    m.graph().mutable_node(0)->set_op_type(op);
    EXPECT_THAT(load_error(m), HasSubstr("ONNX has no such operator")) << op;
  }
}

TEST(Hostile, Sizes) {
  struct Case {
    std::vector<int64_t> dims;
    const char* message;
  };
  for (const Case& c : {Case{{-1}, "negative dimension"}, Case{{int64_t{1} << 40, int64_t{1} << 40}, ""},
                        Case{{int64_t{1} << 62, 4, 0, 1}, ""}, Case{{int64_t{1} << 40}, ""},
                        Case{std::vector<int64_t>(17, 1), "17 dimensions"}}) {
    ModelBuilder m = identity_model();
    m.tensor("w", c.dims, 1).set_raw_data(std::string(16, '\0'));
    m.node("Add", {"x", "w"}, {"z"}, "add");
    std::string why = load_error(m);
    EXPECT_NE(why, "(no error)");
    EXPECT_THAT(why, HasSubstr(c.message));
  }
  ModelBuilder huge_input;
  huge_input.input("x", {int64_t{1} << 40, 1 << 20}).output("y").node("Relu", {"x"}, {"y"});
  EXPECT_NE(load_error(huge_input), "(no error)");
}

TEST(Hostile, ComputedSizes) {
  auto error = [](const std::string& op, const std::vector<int64_t>& shape) {
    ModelBuilder m;
    m.input("x", {2}).integers("s", shape).output("y");
    m.node(op, op == "ConstantOfShape" ? std::vector<std::string>{"s"} : std::vector<std::string>{"x", "s"},
           {"y"});
    return error_of([&] { m.import(); });
  };
  EXPECT_NE(error("ConstantOfShape", {int64_t{1} << 40, 1 << 20}), "(no error)");
  EXPECT_NE(error("ConstantOfShape", {-1}), "(no error)");
  EXPECT_NE(error("ConstantOfShape", std::vector<int64_t>(1000, 1)), "(no error)");
  EXPECT_NE(error("Expand", {int64_t{1} << 62, 2}), "(no error)");
  EXPECT_NE(error("Reshape", {-5}), "(no error)");
  EXPECT_NE(error("Reshape", {int64_t{1} << 62, 4}), "(no error)");
  ModelBuilder range;
  range.integers("s", {0})
      .integers("l", {INT64_MAX})
      .integers("d", {1})
      .output("y")
      .node("Range", {"s", "l", "d"}, {"y"});
  EXPECT_THAT(load_error(range), HasSubstr("elements; at most"));
  ModelBuilder still;
  still.integers("s", {0}).integers("d", {0}).output("y").node("Range", {"s", "s", "d"}, {"y"});
  EXPECT_THAT(load_error(still), HasSubstr("delta is 0"));
}

// Each Concat doubles the last one: 2^40 elements in 40 nodes, were all of it evaluated.
TEST(Hostile, FoldingHasABudget) {
  ModelBuilder m;
  m.input("x", {2}).integers("c0", std::vector<int64_t>(1024, 1)).output("y");
  for (int i = 0; i < 28; i++) {
    std::string from = "c" + std::to_string(i);
    set(m.node("Concat", {from, from}, {"c" + std::to_string(i + 1)}), "axis", int64_t{0});
  }
  m.node("Relu", {"x"}, {"y"});
  EXPECT_EQ(load_error(m), "(no error)");
}

TEST(Hostile, Payloads) {
  auto error = [](const std::function<void(onnx::TensorProto&)>& change) {
    ModelBuilder m = identity_model();
    change(m.tensor("w", {2}, 1));
    m.node("Add", {"x", "w"}, {"z"}, "add");
    return error_of([&] { m.import(); });
  };
  EXPECT_THAT(error([](auto& t) { t.set_raw_data("1234567"); }),
              HasSubstr("7 bytes of raw data for 8 bytes"));
  EXPECT_THAT(error([](auto&) {}), HasSubstr("has no values"));
  EXPECT_THAT(error([](auto& t) { t.add_float_data(1); }), HasSubstr("has 1 values for shape [2]"));
  EXPECT_THAT(error([](auto& t) { t.add_int32_data(1); }), HasSubstr("has its values in int32_data"));
  EXPECT_THAT(error([](auto& t) {
                t.set_raw_data("12345678");
                t.add_float_data(1);
                t.add_float_data(2);
              }),
              HasSubstr("stored twice"));
  EXPECT_THAT(error([](auto& t) { t.mutable_segment()->set_begin(0); }), HasSubstr("segments"));
  EXPECT_THAT(error([](auto& t) { t.set_data_type(99); }), HasSubstr("element type type 99"));
  EXPECT_THAT(error([](auto& t) { t.set_data_type(8); }), HasSubstr("element type string"));
  EXPECT_THAT(error([](auto& t) {
                t.set_data_type(10);
                t.add_int32_data(1);
                t.add_int32_data(70000);
              }),
              HasSubstr("beyond 16 bits"));
  EXPECT_THAT(error([](auto& t) {
                t.set_data_type(3);
                t.add_int32_data(1);
                t.add_int32_data(200);
              }),
              HasSubstr("out of range of i8"));
}

}  // namespace
}  // namespace mezzo::test
