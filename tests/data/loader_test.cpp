#include "runtime/data/batch_loader.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/data/files.h"

namespace mezzo::runtime {
namespace {

using testing::HasSubstr;

// Samples that are their index and the epoch; the one called `broken` cannot be read.
class Numbers : public DataSource {
 public:
  explicit Numbers(int64_t samples, int64_t broken = -1) : samples_(samples), broken_(broken) {}
  int64_t samples() const override { return samples_; }
  std::string describe() const override { return "numbers"; }
  Rows gather(const std::vector<int64_t>& indices, int64_t epoch) const override {
    Rows rows;
    rows.samples = static_cast<int64_t>(indices.size());
    ir::Tensor x({ir::DType::i64, {rows.samples}});
    for (size_t i = 0; i < indices.size(); i++) {
      if (indices[i] == broken_) throw Error(ErrorCode::bad_input, "sample is broken");
      x.set_int(static_cast<int64_t>(i), 1000 * epoch + indices[i]);
    }
    rows.arrays.emplace("x", std::move(x));
    return rows;
  }

 private:
  int64_t samples_, broken_;
};

TEST(BatchLoader, AThreadChangesNothing) {
  Numbers data(23);
  BatchLoader direct(data, BatchOrder(23, 4, true, 5), 0), ahead(data, BatchOrder(23, 4, true, 5), 3);
  EXPECT_EQ(ahead.batches_per_epoch(), 6);
  for (int i = 0; i < 40; i++) {
    Batch a = direct.next(), b = ahead.next();
    if (i % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(a.rows.arrays, b.rows.arrays) << i;
    ASSERT_EQ(a.ends_epoch, b.ends_epoch);
    ASSERT_EQ(a.next.epoch, b.next.epoch);
    ASSERT_EQ(a.next.taken, b.next.taken);
    EXPECT_EQ(a.ends_epoch, i % 6 == 5);
  }
}

TEST(BatchLoader, AnErrorComesWithItsBatch) {
  Numbers data(12, 7);
  for (int64_t depth : {0, 2, 8}) {
    BatchLoader loader(data, BatchOrder(12, 3, false, 0), depth);
    EXPECT_EQ(loader.next().rows.samples, 3) << depth;
    EXPECT_EQ(loader.next().rows.samples, 3) << depth;
    EXPECT_THAT(error_of([&] { loader.next(); }).what(), HasSubstr("broken")) << depth;
  }
}

TEST(BatchLoader, EndsWhileBatchesWait) {
  Numbers data(100);
  for (int i = 0; i < 20; i++) {
    BatchLoader loader(data, BatchOrder(100, 3, true, 1), 4);
    if (i % 2) loader.next();
  }
}

TEST(BatchOrder, GoesOnFromAPlace) {
  Numbers data(10);
  BatchLoader whole(data, BatchOrder(10, 3, true, 9), 2);
  BatchOrder::Place place;
  for (int i = 0; i < 6; i++) place = whole.next().next;
  EXPECT_EQ(place.epoch, 1);
  EXPECT_EQ(place.taken, 6);
  BatchOrder order(10, 3, true, 9);
  order.go_to(place);
  BatchLoader rest(data, std::move(order), 2);
  for (int i = 0; i < 9; i++) ASSERT_EQ(rest.next().rows.arrays, whole.next().rows.arrays);
}

}  // namespace
}  // namespace mezzo::runtime
