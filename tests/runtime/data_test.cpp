#include "runtime/data.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

namespace mezzo::runtime {
namespace {

using ir::DType;
using ir::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return Error(ErrorCode::usage, "no error");
}

TEST(ConvertFeed, NumbersBecomeFloats) {
  EXPECT_EQ(convert_feed("x", Tensor::of({2}, {3, 250}, DType::u8), {DType::f32, {2}}),
            Tensor::of({2}, {3, 250}));
  EXPECT_EQ(convert_feed("x", Tensor::of({1}, {0.1}, DType::f64), {DType::f32, {1}}),
            Tensor::of({1}, {0.1f}));
  EXPECT_EQ(convert_feed("x", Tensor::of({2}, {-3, 5}, DType::i8), {DType::i64, {2}}),
            Tensor::of({2}, {-3, 5}, DType::i64));
}

TEST(ConvertFeed, RefusesWhatLosesMeaning) {
  auto message = [](const Tensor& t, const ir::Type& type) {
    return std::string(error_of([&] { convert_feed("ids", t, type); }).what());
  };
  EXPECT_THAT(message(Tensor::of({1}, {1}), {DType::i64, {1}}),
              HasSubstr("input 'ids' holds f32, the model takes i64"));
  EXPECT_THAT(message(Tensor::of({1}, {300}, DType::i64), {DType::u8, {1}}), HasSubstr("position 0"));
  EXPECT_THAT(message(Tensor::of({1}, {-1}, DType::i64), {DType::u64, {1}}), HasSubstr("does not fit u64"));
  EXPECT_THAT(message(Tensor::of({2}, {1, 2}), {DType::f32, {3}}),
              HasSubstr("shape [2], the model takes [3]"));
}

Arrays digits() {
  return {{"input", Tensor::of({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7})},
          {"labels", Tensor::of({4}, {0, 1, 2, 3}, DType::i64)}};
}

TEST(Dataset, GathersRows) {
  Dataset data(digits(), {"input"}, "labels", "d.npz");
  Arrays rows = data.gather({3, 1});
  EXPECT_EQ(rows.at("input"), Tensor::of({2, 2}, {6, 7, 2, 3}));
  EXPECT_EQ(rows.at("labels"), Tensor::of({2}, {3, 1}, DType::i64));
}

TEST(Dataset, LabelsUnderAnotherKey) {
  Arrays arrays = digits();
  arrays.insert({"class", arrays.at("labels")});
  arrays.erase("labels");
  EXPECT_EQ(Dataset(arrays, {"input"}, "class", "d.npz").gather({0}).count("class"), 1u);
}

TEST(Dataset, SaysWhatIsWrong) {
  auto error = [](Arrays arrays, const std::string& key = "labels") {
    return error_of([&] { Dataset(std::move(arrays), {"input"}, key, "d.npz"); });
  };
  Arrays arrays = digits();
  EXPECT_THAT(error(arrays, "label").what(), HasSubstr("has no array 'label' (the labels)"));
  EXPECT_THAT(error(arrays, "label").hint(), HasSubstr("did you mean 'labels'?"));
  EXPECT_THAT(error(arrays, "").what(), HasSubstr("an array 'labels' that the model does not take"));
  arrays.erase("input");
  arrays.insert({"inputs", Tensor::of({4}, {1, 2, 3, 4})});
  EXPECT_THAT(error(arrays).what(), HasSubstr("has no array 'input'"));
  EXPECT_THAT(error(arrays).hint(), HasSubstr("did you mean 'inputs'?"));
  arrays = digits();
  arrays.at("labels") = Tensor::of({3}, {0, 1, 2}, DType::i64);
  EXPECT_THAT(error(arrays).what(), HasSubstr("'labels' has 3 samples, 'input' has 4"));
  arrays = digits();
  arrays.at("input").set(5, std::nan(""));
  EXPECT_THAT(error(arrays).what(), HasSubstr("'input' holds NaN at position 5 of 8"));
  EXPECT_EQ(error(arrays).code(), ErrorCode::bad_input);
  arrays = {{"input", Tensor({DType::f32, {0, 2}})}, {"labels", Tensor({DType::i64, {0}})}};
  EXPECT_THAT(error(arrays).what(), HasSubstr("no samples"));
}

TEST(BatchOrder, EveryEpochVisitsAllOnceWithAShorterLastBatch) {
  BatchOrder order(7, 3, true, 42);
  for (int64_t epoch = 0; epoch < 3; epoch++) {
    std::set<int64_t> seen;
    for (size_t size : {3, 3, 1}) {
      EXPECT_EQ(order.epoch(), epoch);
      auto batch = order.next();
      EXPECT_EQ(batch.size(), size);
      seen.insert(batch.begin(), batch.end());
    }
    EXPECT_EQ(seen.size(), 7u);
  }
}

TEST(BatchOrder, SeedDecidesTheOrder) {
  auto first = [](uint64_t seed) { return BatchOrder(1000, 1000, true, seed).next(); };
  EXPECT_EQ(first(1), first(1));
  EXPECT_NE(first(1), first(2));
  BatchOrder order(1000, 1000, true, 1);
  EXPECT_NE(order.next(), order.next());
  EXPECT_THAT(BatchOrder(4, 2, false, 1).next(), ElementsAre(0, 1));
}

TEST(NearestName, FindsSlipsOnly) {
  EXPECT_EQ(nearest_name("lables", {"input", "labels"}), "labels");
  EXPECT_EQ(nearest_name("x", {"input", "labels"}), "");
}

}  // namespace
}  // namespace mezzo::runtime
