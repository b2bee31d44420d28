// op_errors_test.cpp: arguments that do not fit an op give an Error that says so, before anything is
// computed.
#include <gtest/gtest.h>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

struct Wrong {
  const char* op;
  std::vector<Type> inputs;
  Attrs attrs;
  const char* message;  // how the error ends
};

const DType f32 = DType::f32, i64 = DType::i64, f16 = DType::f16;
const Type kImage{f32, {1, 4, 5, 5}};

const std::vector<Wrong> kWrong = {
    {"Conv", {kImage, {f32, {2, 4, 3}}}, {}, "weight [2,4,3] does not fit an input of shape [1,4,5,5]"},
    {"Conv", {{f32, {4, 5}}, {f32, {2, 4}}}, {}, "weight [2,4] does not fit an input of shape [4,5]"},
    {"Conv",
     {kImage, {f32, {2, 3, 3, 3}}},
     {},
     "weight [2,3,3,3] with group 1 does not fit 4 input channels"},
    {"Conv", {kImage, {f32, {2, 4, 3, 3}}}, {{"group", int64_t{0}}}, "group 0 must be at least 1"},
    {"Conv",
     {kImage, {f32, {3, 2, 3, 3}}},
     {{"group", int64_t{2}}},
     "group 2 does not divide the 3 output channels"},
    {"Conv", {kImage, {f32, {2, 4, 3, 3}}, {f32, {3}}}, {}, "bias [3] must be [2]"},
    {"Conv", {kImage, {f16, {2, 4, 3, 3}}}, {}, "input is f32, weight is f16"},
    {"Conv",
     {kImage, {f32, {2, 4, 3, 3}}},
     {{"kernel_shape", Ints{2, 2}}},
     "kernel_shape [2,2] is not that of the weight [2,4,3,3]"},
    {"Conv",
     {kImage, {f32, {2, 4, 3, 3}}},
     {{"strides", Ints{1, 0}}},
     "strides 0 is out of range: at least 1"},
    {"Conv", {kImage, {f32, {2, 4, 3, 3}}}, {{"strides", Ints{1}}}, "strides has 1 numbers, expected 2"},
    {"Conv",
     {kImage, {f32, {2, 4, 3, 3}}},
     {{"dilations", Ints{-1, 1}}},
     "dilations -1 is out of range: at least 1"},
    {"Conv",
     {kImage, {f32, {2, 4, 3, 3}}},
     {{"dilations", Ints{int64_t{1} << 60, 1}}},
     "dilations 1152921504606846976 is out of range: at least 1"},
    {"Conv",
     {kImage, {f32, {2, 4, 3, 3}}},
     {{"pads", Ints{0, 0, 0, -1}}},
     "pads -1 is out of range: at least 0"},
    {"Conv",
     {kImage, {f32, {2, 4, 6, 3}}},
     {},
     "a window of 6 does not fit into the padded extent 5 of spatial axis 0"},
    {"Conv",
     {kImage, {f32, {2, 4, 3, 3}}},
     {{"auto_pad", "SAME"}},
     "auto_pad 'SAME' is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER"},
    {"MaxPool", {kImage}, {{"kernel_shape", Ints{2}}}, "kernel_shape has 1 numbers for 2 spatial axes"},
    {"MaxPool", {kImage}, {{"kernel_shape", Ints{2, 0}}}, "kernel extent 0 is out of range: at least 1"},
    {"MaxPool",
     {{f32, {1, 4}}},
     {{"kernel_shape", Ints{2}}},
     "input [1,4] must have a batch, a channel and 1 to 3 spatial axes"},
    {"GlobalMaxPool", {{f32, {1, 4, 0}}}, {}, "the maximum over no elements is not defined"},
    {"GlobalAveragePool", {{f32, {1, 4, 0}}}, {}, "the mean over no elements is not defined"},
    {"Gemm", {{f32, {2, 3}}, {f32, {2, 3}}}, {}, "operands [2,3] and [2,3] do not fit together"},
    {"Gemm", {{f32, {2, 3}}, {f32, {3}}}, {}, "operands [2,3] and [3] must be matrices"},
    {"Gemm", {{f32, {2, 3}}, {f32, {3, 4}}, {f32, {5}}}, {}, "shapes [5] and [2,4] do not broadcast"},
    {"Gemm", {{f32, {1, 3}}, {f32, {3, 4}}, {f32, {2, 4}}}, {}, "C [2,4] does not broadcast to [1,4]"},
    {"MatMul", {{f32, {2, 3}}, {f32, {2, 3}}}, {}, "operands [2,3] and [2,3] do not fit together"},
    {"MatMul", {{f32, {}}, {f32, {2, 3}}}, {}, "operands [] and [2,3] must not be scalars"},
    {"BatchNormalization",
     {kImage, {f32, {4}}, {f32, {4}}, {f32, {4}}, {f32, {3}}},
     {},
     "input 4 [3] must be [4]"},
    {"BatchNormalization",
     {{f32, {0, 4}}, {f32, {4}}, {f32, {4}}, {f32, {4}}, {f32, {4}}},
     {{"training_mode", int64_t{1}}},
     "a batch without elements has no statistics"},
    {"LRN", {kImage}, {{"size", int64_t{0}}}, "size 0 must be at least 1"},
    {"Softmax", {{i64, {2}}}, {}, "input is i64, expected a float"},
    {"SoftmaxCrossEntropyLoss",
     {{f32, {2, 3}}, {f32, {2}}},
     {},
     "labels are f32, expected i64 or i32 class ids"},
    {"SoftmaxCrossEntropyLoss", {{f32, {2, 3}}, {i64, {3}}}, {}, "labels [3] must be [2] for scores [2,3]"},
    {"SoftmaxCrossEntropyLoss", {{f32, {2, 3}}, {i64, {2}}, {f32, {2}}}, {}, "class weights [2] must be [3]"},
    {"SoftmaxCrossEntropyLoss", {{f32, {2, 0}}, {i64, {2}}}, {}, "scores have 0 classes"},
    {"SoftmaxCrossEntropyLoss",
     {{f32, {2, 3}}, {i64, {2}}},
     {{"reduction", "avg"}},
     "reduction 'avg' is none of mean, sum, none"},
    {"NegativeLogLikelihoodLoss",
     {{f32, {2}}, {i64, {2}}},
     {},
     "scores [2] must have a batch and a class axis"},
    {"MeanSquaredError",
     {{f32, {2, 3}}, {f32, {3, 2}}},
     {},
     "predictions [2,3] and targets [3,2] must have one shape"},
    {"Dropout", {{f32, {2}}}, {{"ratio", 1.5}}, "ratio 1.5 is not in [0, 1]"},
    {"Dropout", {{f32, {2}}}, {{"training_mode", int64_t{1}}}, "training needs a random key"},
    {"Dropout", {{f32, {2}}, {i64, {2}}}, {}, "the random key is i64[2], expected u32[2]"},
    {"Squeeze", {{f32, {2, 1}}}, {{"axes", Ints{0}}}, "axis 0 of [2,1] is not of extent 1"},
    {"Squeeze", {{f32, {2, 1}}}, {{"axes", Ints{1, -1}}}, "axis -1 occurs twice"},
    {"Unsqueeze", {{f32, {2}}}, {{"axes", Ints{0, 0}}}, "axis 0 occurs twice"},
};

TEST(OpErrors, SayWhatDoesNotFit) {
  for (const Wrong& wrong : kWrong) {
    SCOPED_TRACE(mezzo::concat(wrong.op, ": ", wrong.message));
    Graph graph;
    Values inputs;
    for (const Type& t : wrong.inputs) inputs.push_back(graph.input(mezzo::concat("x", inputs.size()), t));
    try {
      graph.add(get_op(wrong.op), inputs, wrong.attrs);
      ADD_FAILURE() << "was accepted";
    } catch (const Error& e) {
      const std::string what = e.what(), message = wrong.message;
      EXPECT_TRUE(what.size() >= message.size() && what.substr(what.size() - message.size()) == message)
          << what;
      EXPECT_NE(what.find(wrong.op), std::string::npos) << "the op is not named: " << what;
    }
  }
}

TEST(OpErrors, AxesOutOfRange) {
  for (const char* op : {"Softmax", "LogSoftmax", "Flatten"}) {
    Graph graph;
    Value x = graph.input("x", {f32, {2, 3}});
    EXPECT_THROW(apply(op, {x}, {{"axis", int64_t{3}}}), Error) << op;
    EXPECT_THROW(apply(op, {x}, {{"axis", int64_t{-3}}}), Error) << op;
  }
}

}  // namespace
}  // namespace mezzo::ir
