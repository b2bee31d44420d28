// data_dependent_test.cpp: indices and shapes that follow from data, sequences, and what is refused of them.
#include <gmock/gmock.h>

#include "ir/eval.h"
#include "ir/text.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using ir::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

// chunk and split as exporters write them.
TEST(DataDependent, SequencesAtKnownPositions) {
  ModelBuilder m;
  m.input("x", {5}).integers("two", {2}).integers("last", {-1}).output("y");
  m.node("Squeeze", {"two"}, {"part"});
  m.node("SplitToSequence", {"x", "part"}, {"s"});
  m.node("Squeeze", {"last"}, {"at"});
  m.node("SequenceAt", {"s", "at"}, {"tail"});
  m.node("SequenceInsert", {"s", "tail"}, {"t"});
  set(m.node("ConcatFromSequence", {"t"}, {"y"}), "axis", int64_t{0});
  EXPECT_THAT(run(m.import(), {{"x", Tensor::of({5}, {1, 2, 3, 4, 5})}}), ElementsAre(1, 2, 3, 4, 5, 5));
}

TEST(DataDependent, SequenceWhereATensorIsExpected) {
  ModelBuilder m;
  m.input("x", {5}).output("y");
  m.node("SplitToSequence", {"x"}, {"s"});
  m.node("Relu", {"s"}, {"y"}, "relu");
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("'s' is a sequence, where a tensor is expected"));
  ModelBuilder far;
  far.input("x", {3}).integers("nine", {9}).output("y");
  far.node("SplitToSequence", {"x"}, {"s"});
  far.node("Squeeze", {"nine"}, {"at"});
  far.node("SequenceAt", {"s", "at"}, {"y"}, "pick");
  EXPECT_THAT(error_of([&] { far.import(); }), HasSubstr("'pick': position 9 in a sequence of 3"));
}

TEST(DataDependent, CompressByAKnownCondition) {
  ModelBuilder m;
  m.input("x", {2, 3}).input("keep", {3}, 9).output("y");
  set(m.node("Compress", {"x", "keep"}, {"y"}, "pick"), "axis", int64_t{1});
  EXPECT_THAT(error_of([&] { m.import(); }),
              HasSubstr("'pick': the condition is computed from the model's data"));
  auto keep = std::make_shared<const Tensor>(Tensor::of({3}, {1, 0, 1}, ir::DType::boolean));
  EXPECT_THAT(run(m.import({.values = {{"keep", keep}}}),
                  {{"x", Tensor::of({2, 3}, {1, 2, 3, 4, 5, 6})}, {"keep", *keep}}),
              ElementsAre(1, 3, 4, 6));
}

TEST(DataDependent, RangeByAValueThatIsGiven) {
  ModelBuilder m;
  m.input("x", {1}, 7).integers("zero", {0}).integers("one", {1}).output("y");
  m.node("Range", {"zero", "x", "one"}, {"y"}, "count");
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("'count': how many elements there are is not known"));
  auto three = std::make_shared<const Tensor>(Tensor::of({1}, {3}, ir::DType::i64));
  EXPECT_THAT(run(m.import({.values = {{"x", three}}}), {{"x", *three}}), ElementsAre(0, 1, 2));
}

TEST(DataDependent, ResultsOfUnknownSizeAreRefused) {
  for (const char* op : {"NonZero", "Unique"}) {
    ModelBuilder m;
    m.input("x", {4}).output("y").node(op, {"x"}, {"y"}, "sparse");
    EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("'sparse'")) << op;
    EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("is not known when the step is compiled")) << op;
  }
}

TEST(DataDependent, ConstantIndexOutOfRangeNamesTheNode) {
  ModelBuilder m;
  m.input("x", {4, 2}).integers("rows", {0, 4}).output("y").node("Gather", {"x", "rows"}, {"y"}, "look");
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("'look': "));
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("index 4 is out of range of extent 4"));
}

}  // namespace
}  // namespace mezzo::test
