#include "runtime/data/batch_loader.h"

namespace mezzo::runtime {

BatchLoader::BatchLoader(const DataSource& source, BatchOrder order, int64_t depth)
    : source_(source),
      order_(std::move(order)),
      depth_(depth),
      batches_per_epoch_(order_.batches_per_epoch()) {
  if (depth_ > 0) thread_ = std::thread([this] { work(); });
}

BatchLoader::~BatchLoader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Batch BatchLoader::make() {
  const int64_t epoch = order_.epoch();
  Batch batch;
  batch.rows = source_.gather(order_.next(), epoch);
  batch.ends_epoch = order_.at_epoch_start();
  batch.next = order_.place();
  return batch;
}

void BatchLoader::work() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || static_cast<int64_t>(ready_.size()) < depth_; });
      if (stop_) return;
    }
    try {
      Batch batch = make();
      std::lock_guard lock(mutex_);
      ready_.push_back(std::move(batch));
    } catch (...) {
      std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    changed_.notify_all();
    std::lock_guard lock(mutex_);
    if (failure_) return;
  }
}

Batch BatchLoader::next() {
  if (depth_ == 0) return make();
  Batch batch;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || !ready_.empty(); });
    if (ready_.empty()) std::rethrow_exception(failure_);
    batch = std::move(ready_.front());
    ready_.pop_front();
  }
  changed_.notify_all();
  return batch;
}

}  // namespace mezzo::runtime
